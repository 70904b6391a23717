"""Read tables of pairs to predict labels for: an item, and a user or a history.

Shape suffixes: P pairs, R histories, N events.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from seqrec.errors import InputError
from seqrec.inference.user_tables import UserTable, read_histories_of_users, without_unknown
from seqrec.interactions.candidates import encode_candidates
from seqrec.interactions.column_names import choose_columns, possible_columns
from seqrec.interactions.histories import Histories
from seqrec.interactions.interactions import require_ids, require_no_nulls
from seqrec.interactions.polars_threads import require_polars
from seqrec.interactions.raw_ids import Unknown
from seqrec.interactions.request_reading import read_requests
from seqrec.interactions.seconds import are_seconds
from seqrec.interactions.table_reading import read_table
from seqrec.interactions.timed_requests import ask_at
from seqrec.interactions.timestamps import parse_timestamps, to_plain_numbers
from seqrec.interactions.tokenization_items import ItemTokenizer

__all__ = ["Pairs", "histories_in_pairs", "histories_of_pairs", "read_pairs"]

HISTORY = "history"
PAIR_COLUMNS = ("user_id", "item_id", "timestamp")
ADVICE = {
    "item_id": "Name the one that holds the items in `columns` (--item_id_column), or rename it.",
    "user_id": "Name the one that holds the users in `columns` (--user_id_column), or rename it.",
    HISTORY: "Add the items of each pair's history, or give the users' interactions as `histories` (--histories).",
}


@dataclass(frozen=True)
class Pairs:
    """Pairs to predict labels for.

    Attributes:
        table: The pairs' columns by our names.
        token_ids_P: Token ids of the items.
    """

    table: pl.DataFrame
    token_ids_P: np.ndarray

    def candidates_of(self, row_P: np.ndarray, num_histories: int) -> tuple[list[np.ndarray], np.ndarray]:
        """Return the token ids of each history's items, and the order of the pairs in which they are (P,).

        Args:
            row_P: Each pair's history.
            num_histories: Number of histories R.
        """
        order_P = row_P.argsort(kind="stable")
        ends_R = np.bincount(row_P, minlength=num_histories).cumsum()
        return np.split(self.token_ids_P[order_P], ends_R[:-1]), order_P

    def with_predictions(self, predictions: Mapping[str, np.ndarray], order_P: np.ndarray) -> pl.DataFrame:
        """Return the pairs' users, items and times with predictions, which are in another order of the pairs."""
        table = self.table.drop(HISTORY, strict=False)
        back_P = np.empty_like(order_P)
        back_P[order_P] = np.arange(len(order_P))
        return table.with_columns(pl.Series(name, values[back_P]) for name, values in predictions.items())


def read_pairs(
    source: Any,
    tokenizer: ItemTokenizer,
    *,
    has_histories: bool,
    columns: Mapping[str, str] | None = None,
    remembered: Mapping[str, str] | None = None,
) -> Pairs:
    """Read a table of pairs.

    Args:
        source: A file or frame; see `Recommender.predict_frame`.
        tokenizer: The vocabulary.
        has_histories: Whether the histories are in another table, by `user_id`, rather than in the column `history`.
        columns: Other names of the table's columns.
        remembered: Names of the columns of the table that the model was trained on.

    Raises:
        InputError: If the table cannot be read, lacks a column, or has unusable or unknown ids or unreadable times.
    """
    require_polars()
    possible = possible_columns(columns, remembered)
    text_columns = [*possible["user_id"], *possible["item_id"], HISTORY]
    table = read_table(source, text_columns=text_columns, used_columns=[*text_columns, *possible["timestamp"]])
    names = choose_columns(table.columns, columns, remembered)
    required = ["user_id" if has_histories else HISTORY, "item_id"]
    names[HISTORY] = HISTORY
    for name in required:
        if names[name] not in table.columns:
            raise InputError(
                f"The pairs have no column {names[name]!r}. They have: {', '.join(table.columns)}. {ADVICE[name]}"
            )
    found = {name: table[names[name]].alias(name) for name in (*PAIR_COLUMNS, HISTORY) if names[name] in table.columns}
    for name in required:
        require_no_nulls(found[name])
    found["item_id"] = require_ids(found["item_id"]).cast(pl.String)
    if has_histories:
        found["user_id"] = require_ids(found["user_id"])
    if "timestamp" in found:
        require_no_nulls(found["timestamp"])
        found["timestamp"] = parse_timestamps(found["timestamp"])
    token_ids_P = encode_candidates(found["item_id"].to_list(), tokenizer.look_up)
    return Pairs(pl.DataFrame(found), token_ids_P)


def histories_of_pairs(
    pairs: Pairs,
    source: Any,
    tokenizer: ItemTokenizer,
    *,
    event_columns: Sequence[str],
    label_tasks: Sequence[str] = (),
    at: Any = None,
    columns: Mapping[str, str] | None = None,
    remembered: Mapping[str, str] | None = None,
    protocol: object = None,
    unknown: Unknown = "skip",
) -> tuple[Histories, np.ndarray]:
    """Read the histories of the pairs' users: their events before the time of the pair, or all without times.

    Args:
        pairs: The pairs, with `user_id` and optionally `timestamp`.
        source: A file or frame of interactions.
        tokenizer: The vocabulary.
        event_columns: The event columns that the model reads, the items first.
        label_tasks: The labels that the model predicts; see `read_user_table`.
        at: When the items are asked for; None if the pairs have times.
        columns: Other names of the table's columns.
        remembered: Names of the columns of the table that the model was trained on.
        protocol: The protocol of the model's training, for labels that were derived.
        unknown: `"skip"` to leave out unknown items of histories with a warning, `"error"` to raise.

    Returns:
        The known items of different histories, and each pair's row in them (P,).

    Raises:
        InputError: As in `read_user_table`, or if both `at` and times are given.
    """
    users = read_histories_of_users(
        source,
        tokenizer,
        event_columns=event_columns,
        label_tasks=label_tasks,
        columns=columns,
        remembered=remembered,
        protocol=protocol,
        unknown=unknown,
    )
    user_P = rows_of_users(pairs.table["user_id"], users.user_ids)
    if "timestamp" not in pairs.table.columns:
        rows_R, row_P = np.unique(user_P, return_inverse=True)
        histories = first_events(users, rows_R, None)
        return without_unknown(ask_at(histories, at, event_columns, is_single=True)), row_P
    if at is not None:
        raise InputError("The pairs have a column timestamp, so `at` has no effect. Leave one of them out.")
    times_P = to_plain_numbers(pairs.table["timestamp"]).to_numpy()
    require_one_kind_of_time(times_P, users.histories.columns["timestamps"])
    length_P = num_before(users.histories, user_P, times_P)
    is_told = "request_times" in event_columns
    keys_RK, row_P = np.unique(
        np.stack([user_P, length_P, times_P if is_told else np.zeros_like(times_P)], axis=1),
        axis=0,
        return_inverse=True,
    )
    histories = first_events(users, keys_RK[:, 0].astype(np.int64), keys_RK[:, 1].astype(np.int64))
    histories = ask_at(histories, keys_RK[:, 2].tolist() if is_told else None, event_columns, is_single=False)
    return without_unknown(histories), row_P.reshape(-1)


def rows_of_users(wanted: pl.Series, known: pl.Series) -> np.ndarray:
    """Return the row of each user id among the known ones, compared as text; −1 for users that have none."""
    rows = {user: row for row, user in enumerate(known.cast(pl.String).to_list())}
    return np.array([rows.get(user, -1) for user in wanted.cast(pl.String).to_list()], dtype=np.int64)


def require_one_kind_of_time(times_P: np.ndarray, times_N: np.ndarray) -> None:
    """Raise an `InputError` if either pairs or events have times, and the others numbers that only order them."""
    kinds = {True: "times", False: "numbers that are no times"}
    given, known = (kinds[bool(are_seconds(times))] for times in (times_P, times_N))
    if given != known:
        raise InputError(
            f"The column timestamp holds {given} in the pairs, but {known} in the histories. Give both the same kind."
        )


def num_before(histories: Histories, user_P: np.ndarray, times_P: np.ndarray) -> np.ndarray:
    """Count the events of each pair's user before the pair's time (P,)."""
    user_N = np.repeat(np.arange(len(histories)), histories.lengths_R)
    values, ranks = np.unique(np.concatenate([histories.columns["timestamps"], times_P]), return_inverse=True)
    event_keys_N = user_N * len(values) + ranks[: len(user_N)]  # ascending, as events are sorted by user and time
    keys_P = user_P * len(values) + ranks[len(user_N) :]
    return np.where(user_P < 0, 0, np.searchsorted(event_keys_N, keys_P) - histories.starts_R[user_P])


def first_events(users: UserTable, rows_R: np.ndarray, lengths_R: np.ndarray | None) -> Histories:
    """Return the first events of users, or all of them; none for row −1."""
    histories = replace(users.histories, rows={})
    lengths_R = histories.lengths_R[rows_R] if lengths_R is None else lengths_R
    return Histories(histories.columns, histories.starts_R[rows_R], np.where(rows_R < 0, 0, lengths_R))


def histories_in_pairs(
    pairs: Pairs, tokenizer: ItemTokenizer, *, event_columns: Sequence[str], at: Any = None, unknown: Unknown = "skip"
) -> tuple[Histories, np.ndarray]:
    """Read the histories in the column `history` of the pairs: lists of raw ids, or text in which commas separate them.

    Returns:
        The known items of different histories, and each pair's row in them (P,).

    Raises:
        InputError: If the model reads more than the items of a history, or a history holds no ids.
    """
    further = [name for name in event_columns if name != "input_ids"]
    if further:
        raise InputError(
            f"Besides the items of a history, the model reads {', '.join(further)}. Give the users' interactions as "
            "`histories` (--histories)."
        )
    rows: dict[tuple[str, ...], int] = {}
    row_P = np.array([rows.setdefault(tuple(ids_of(one)), len(rows)) for one in pairs.table[HISTORY].to_list()])
    requests = read_requests([list(ids) for ids in rows], tokenizer.look_up, at=at, unknown=unknown)
    return requests.histories, row_P


def ids_of(history: Any) -> list[str]:
    """Return the raw ids of a history, given as a list or as text."""
    if isinstance(history, str):
        return [item_id for part in history.split(",") if (item_id := part.strip())]
    if not isinstance(history, list):
        raise InputError(f"A history is a list of item ids or text such as '50,181', but {history!r:.60} was given.")
    return [str(item_id) for item_id in history]

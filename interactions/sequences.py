"""Encode tables of interactions as histories of token ids.

Shape suffixes: N interactions, U users, R rows of a part.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import polars as pl

from seqrec.errors import InputError
from seqrec.interactions.column_names import REQUIRED_COLUMNS
from seqrec.interactions.events import SOURCES, event_column
from seqrec.interactions.histories import Histories
from seqrec.interactions.impressions import add_impressions
from seqrec.interactions.interactions import sort_interactions
from seqrec.interactions.label_columns import is_label, label_names
from seqrec.interactions.label_names import RATING, target_key
from seqrec.interactions.splitting import PARTS, Split
from seqrec.interactions.timestamps import to_plain_numbers
from seqrec.interactions.tokenization_items import ItemTokenizer

__all__ = ["build_histories", "build_sequences", "further", "histories_of", "views_of_parts"]

ALWAYS_READ = ("input_ids", "timestamps")  # event columns that every history has


def build_sequences(
    split: Split,
    tokenizer: ItemTokenizer,
    columns: Sequence[str] = (),
    *,
    impressions: pl.DataFrame | None = None,
    by_time: bool = False,
) -> dict[str, Histories]:
    """Encode a split.

    Args:
        split: Training, validation and test interactions.
        tokenizer: The catalogue; items outside it become `<|unk|>`.
        columns: Names of registered event columns to read from the table, in addition to `input_ids` and
            `timestamps`.
        impressions: A table of impressions, which become targets of the task `click`; see `add_impressions`.
        by_time: Whether the split has cut-off times, which then apply to impressions too.

    Returns:
        `train`, with one row per user with training interactions: `user_id`, `input_ids` (int32, oldest first),
        `timestamps` (seconds since 1970, UTC, where the table's are datetimes or numbers of any unit that
        `to_plain_numbers` recognises; other numbers, such as 0, 1, 2, …, stay) and the given columns.
        `validation` and `test`, with one row per held-out interaction that has a history: the same columns, with all
        earlier events of the user, and `target` (int32), `target_timestamp` and, for each label column, the label of
        the target, `target_<name>` (float32, NaN if it has none). All rows are views on the same events.

    Raises:
        InputError: If not all of a user's training interactions come before the held-out ones, or a column cannot be
            read (see `build_histories`).
    """
    log = build_histories(split.interactions, tokenizer, columns)
    sequences = views_of_parts(log, split.part_N)
    if impressions is None:
        return sequences
    return add_impressions(sequences, log, split, impressions, tokenizer, by_time=by_time)


def views_of_parts(log: Histories, part_N: np.ndarray) -> dict[str, Histories]:
    """Return the rows of the parts of a split, without impressions, as views on the histories of all users.

    Args:
        log: The histories.
        part_N: Part of each event, as an index into `PARTS`.

    Raises:
        InputError: If a user's parts are out of order in time.
    """
    user_N = np.repeat(np.arange(len(log)), log.lengths_R)
    require_order(log, user_N, part_N)
    num_train_U = np.bincount(user_N[part_N == 0], minlength=len(log))
    users_R = np.flatnonzero(num_train_U)
    sequences = {"train": first_events(log, users_R, num_train_U[users_R])}
    num_before_N = np.arange(len(user_N)) - log.starts_R[user_N]
    for index, name in enumerate(PARTS[1:], start=1):
        targets_R = np.flatnonzero((part_N == index) & (num_before_N > 0))
        sequences[name] = first_events(
            log,
            user_N[targets_R],
            num_before_N[targets_R],
            target=log.columns["input_ids"][targets_R],
            target_timestamp=log.columns["timestamps"][targets_R],
            **{target_key(name): log.columns[name][targets_R] for name in label_names(log.columns)},
        )
    return sequences


def build_histories(interactions: pl.DataFrame, tokenizer: ItemTokenizer, columns: Sequence[str] = ()) -> Histories:
    """Encode a table of interactions: one row per user, with the columns of the training sequences.

    Args:
        interactions: The table.
        tokenizer: The catalogue; items outside it become `<|unk|>`.
        columns: See `build_sequences`.

    Raises:
        InputError: If a column is not registered, is missing from the table, or holds unsuitable values.
    """
    ordered = sort_interactions(interactions)
    return histories_of(
        ordered, tokenizer.encode_item_ids(ordered["item_id"]), to_plain_numbers(ordered["timestamp"]), columns
    )


def histories_of(ordered: pl.DataFrame, ids_N: np.ndarray, times: pl.Series, columns: Sequence[str] = ()) -> Histories:
    """Make histories of a sorted table, its token ids and its times.

    Raises:
        InputError: See `build_histories`.
    """
    users = ordered["user_id"].rle().struct.unnest()
    lengths_U = users["len"].cast(pl.Int64).to_numpy()
    events = {
        "input_ids": ids_N.astype(np.int32),
        "timestamps": times.to_numpy(),
        **{name: read_column(ordered, name) for name in further(columns)},
    }
    return Histories(events, lengths_U.cumsum() - lengths_U, lengths_U, {"user_id": users["value"].to_numpy()})


def further(columns: Iterable[str]) -> list[str]:
    """Return the columns to read from a table, other than those that every history has."""
    return [name for name in columns if name not in ALWAYS_READ and name not in SOURCES]


def read_column(interactions: pl.DataFrame, name: str) -> np.ndarray:
    """Encode a registered event column of a table."""
    column = event_column(name)
    if name not in interactions.columns:
        use = "is the label of a task" if is_label(name) else "the model reads for each event"
        advice = f"Add it, or rename the one that holds it{derivation(interactions, name)}."
        raise InputError(
            f"The interactions have no column '{name}', which {use}. Their columns are "
            f"{', '.join(interactions.columns)}. {advice}"
        )
    return column.encode(interactions[name])


def derivation(interactions: pl.DataFrame, name: str) -> str:
    """Suggest to derive a binary label, if the table has a column of numbers to derive it from."""
    numbers = [column for column, dtype in interactions.schema.items() if dtype.is_numeric()]
    sources = [column for column in numbers if column not in REQUIRED_COLUMNS]
    if not (is_label(name) and name != RATING and sources):
        return ""
    return f", or derive it, for instance by derive='{name}={sources[0]}>=4'"


def first_events(log: Histories, users_R: np.ndarray, lengths_R: np.ndarray, **rows: np.ndarray) -> Histories:
    """Return views on the first events of users; a user may occur several times."""
    of_users = {name: values_U[users_R] for name, values_U in log.rows.items()}
    return Histories(log.columns, log.starts_R[users_R], lengths_R, {**of_users, **rows})


def require_order(log: Histories, user_N: np.ndarray, part_N: np.ndarray) -> None:
    """Refuse a split in which a user's parts are out of order in time."""
    wrong_N = (user_N[1:] == user_N[:-1]) & (part_N[1:] < part_N[:-1])
    if wrong_N.any():
        user = log.rows["user_id"][user_N[1:][wrong_N][0]]
        raise InputError(
            f"User '{user}' has training interactions after held-out ones, or validation ones after test ones. "
            "Split so that each user's training interactions come first in time, then validation, then test."
        )

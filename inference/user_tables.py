"""Turn a table of interactions into its users' histories, and lists of recommendations into a table.

Shape suffixes: R users, K list length.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from seqrec.interactions.catalogue import Catalogue
from seqrec.interactions.derived_labels import derive_labels, remembered_derivations
from seqrec.interactions.events import event_column
from seqrec.interactions.histories import Histories
from seqrec.interactions.interactions import read_interactions
from seqrec.interactions.item_rows import rows_of
from seqrec.interactions.label_columns import label_names
from seqrec.interactions.label_names import CLICK
from seqrec.interactions.raw_ids import Unknown, look_up, read_ids
from seqrec.interactions.sequences import build_histories
from seqrec.interactions.special_tokens import UNK_ID
from seqrec.interactions.timed_requests import ask_at
from seqrec.interactions.timestamps import require_times
from seqrec.interactions.tokenization_items import ItemTokenizer

__all__ = ["UserTable", "read_histories_of_users", "read_user_table", "user_lists", "without_unknown"]


@dataclass(frozen=True)
class UserTable:
    """The users of a table, and their histories."""

    user_ids: pl.Series
    histories: Histories


def read_user_table(
    frame: Any,
    tokenizer: ItemTokenizer,
    *,
    event_columns: Sequence[str] = ("input_ids",),
    label_tasks: Sequence[str] = (),
    at: Any = None,
    columns: Mapping[str, str] | None = None,
    remembered: Mapping[str, str] | None = None,
    protocol: object = None,
    unknown: Unknown = "skip",
) -> UserTable:
    """Read a table of interactions, and when the items are asked for; unknown items are left out.

    Args:
        frame: A file or frame; see `Recommender.recommend_frame`.
        tokenizer: The vocabulary.
        event_columns: The event columns that the model reads, the items first. Columns of labels may be missing.
        label_tasks: The labels that the model predicts: with `click`, rows whose click is 0 are impressions, which are
            no part of histories.
        at: When the items are asked for; see `ask_at`.
        columns: Other names of the table's columns.
        remembered: Names of the columns of the table that the model was trained on; see `read_interactions`.
        protocol: The protocol of the model's training, for labels that were derived.
        unknown: `"skip"` to leave out unknown items with a warning, `"error"` to raise.

    Raises:
        InputError: If the table cannot be read, lacks a column, holds no times although the model reads them, or, with
            `unknown="error"`, holds an unknown item; or if `at` cannot be used.
    """
    found = read_histories_of_users(
        frame,
        tokenizer,
        event_columns=event_columns,
        label_tasks=label_tasks,
        columns=columns,
        remembered=remembered,
        protocol=protocol,
        unknown=unknown,
    )
    histories = ask_at(found.histories, at, event_columns, is_single=True)
    return UserTable(found.user_ids, without_unknown(histories))


def read_histories_of_users(
    frame: Any,
    tokenizer: ItemTokenizer,
    *,
    event_columns: Sequence[str],
    label_tasks: Sequence[str],
    columns: Mapping[str, str] | None,
    remembered: Mapping[str, str] | None,
    protocol: object,
    unknown: Unknown,
) -> UserTable:
    """Read a table of interactions, with `UNK_ID` for unknown items; for arguments, see `read_user_table`."""
    interactions = read_interactions(frame, columns=columns, remembered=remembered, for_training=False)
    item_ids = read_ids(interactions["item_id"].unique(maintain_order=True), where="the table")
    look_up(item_ids, tokenizer.look_up, where="the table", unknown=unknown)
    if "timestamps" in event_columns:
        require_times(interactions["timestamp"])
    read = [*event_columns, *({CLICK} & {*label_tasks})]
    labelled = with_all_labels(interactions, read, protocol)
    histories = build_histories(labelled, tokenizer, event_columns[1:])
    if CLICK in label_tasks:
        histories = histories.keep(event_column(CLICK).encode(labelled[CLICK]) != 0)
    return UserTable(pl.Series(histories["user_id"], dtype=interactions["user_id"].dtype), histories)


def without_unknown(histories: Histories) -> Histories:
    """Leave out the events of unknown items."""
    return histories.keep(histories.columns["input_ids"] != UNK_ID)


def with_all_labels(interactions: pl.DataFrame, event_columns: Sequence[str], protocol: object) -> pl.DataFrame:
    """Add those columns of labels that a table lacks: derived as in training if possible, else without values."""
    derivations = remembered_derivations(protocol, event_columns, interactions.columns)
    interactions = derive_labels(interactions, derivations)
    absent = [name for name in label_names(event_columns) if name not in interactions.columns]
    return interactions.with_columns([pl.lit(None).alias(name) for name in absent])


def user_lists(
    user_ids: pl.Series,
    scores_RK: np.ndarray,
    token_ids_RK: np.ndarray,
    items: Catalogue,
    item_columns: Sequence[str] = (),
) -> pl.DataFrame:
    """Return lists as a table of `user_id`, `rank`, `item_id`, `score` and columns of the items.

    Warns of users whose list is empty.
    """
    num_without = int((token_ids_RK == 0).all(axis=1).sum())
    if num_without:
        warnings.warn(
            f"No item is left to recommend to {num_without} of {len(user_ids)} users, who have no row in the result.",
            stacklevel=3,
        )
    rows, places = np.nonzero(token_ids_RK)
    item_rows = rows_of(token_ids_RK[rows, places])
    return pl.DataFrame(
        {
            "user_id": user_ids[rows],
            "rank": places + 1,
            "item_id": items.frame["item_id"][item_rows],
            "score": scores_RK[rows, places],
            **{name: items.frame[name][item_rows] for name in item_columns},
        }
    )

"""Pairs of a user and an item with a label, from histories, their held-out rows and impressions.

Shape suffixes: R rows of histories, N pairs, M impressions.
"""

from collections.abc import Mapping

import numpy as np

from seqrec.evaluation.task_baselines import LabelledPairs
from seqrec.interactions.histories import Histories, as_histories
from seqrec.interactions.impressions import impressions_of
from seqrec.interactions.label_names import CLICK, target_key
from seqrec.interactions.special_tokens import NUM_SPECIAL_TOKENS

__all__ = ["has_label", "held_out_pairs", "rows_with_outcomes", "training_pairs", "users_of", "with_shown"]


def rows_with_outcomes(sequences: Mapping[str, Histories], split: str) -> Histories:
    """Return the rows of a held-out split, followed by its impressions, if there are any."""
    return with_shown(as_histories(sequences[split]), sequences.get(f"{split}_impressions"))


def with_shown(rows: Histories, shown: Histories | None) -> Histories:
    """Append held-out impressions, whose only label is a click of 0, to the rows of the same events."""
    if shown is None or len(shown) == 0:
        return rows
    none_M = np.full(len(shown), np.nan, dtype=np.float32)
    by_row = {
        name: np.concatenate([values_R, shown.rows.get(name, none_M)])
        for name, values_R in rows.rows.items()
        if name in shown.rows or name.startswith(target_key(""))
    }
    starts_R = np.concatenate([rows.starts_R, shown.starts_R])
    return Histories(rows.columns, starts_R, np.concatenate([rows.lengths_R, shown.lengths_R]), by_row)


def users_of(rows: Histories) -> np.ndarray:
    """Return the user of each row (R,): the `user_id` or, in prepared sets, which have none, where its events begin."""
    return rows.rows.get("user_id", rows.starts_R)


def has_label(rows: Histories, task: str) -> np.ndarray:
    """Return whether each held-out row (R,) counts in the evaluation of a task: its item is known, and has a label."""
    return ~np.isnan(rows.rows[target_key(task)]) & (rows.rows["target"] >= NUM_SPECIAL_TOKENS)


def training_pairs(train: Histories, task: str) -> LabelledPairs:
    """Return the labelled events of training histories, of known items; of clicks, also the impressions."""
    columns, lengths_R = train.compact(["input_ids", task])
    items_N, labels_N = columns["input_ids"], columns[task].astype(np.float64)
    counts_N = ~np.isnan(labels_N) & (items_N >= NUM_SPECIAL_TOKENS)
    users_R = users_of(train)
    pairs = LabelledPairs(users_R.repeat(lengths_R)[counts_N], items_N[counts_N], labels_N[counts_N])
    if task != CLICK or train.impressions is None:
        return pairs
    row_M, _, item_M = impressions_of(train)
    return LabelledPairs(
        np.concatenate([pairs.users_N, users_R[row_M]]),
        np.concatenate([pairs.items_N, item_M]),
        np.concatenate([pairs.labels_N, np.zeros(len(item_M))]),
    )


def held_out_pairs(rows: Histories, task: str) -> LabelledPairs:
    """Return the labelled targets of held-out rows; see `has_label`."""
    counts_R = has_label(rows, task)
    labels_N = rows.rows[target_key(task)][counts_R].astype(np.float64)
    return LabelledPairs(users_of(rows)[counts_R], rows.rows["target"][counts_R], labels_N)

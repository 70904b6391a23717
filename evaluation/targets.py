"""Check held-out targets: whether a model can rank them, and which of them no model can hit.

Shape suffixes: U evaluated rows, N events.
"""

import warnings

import numpy as np
from datasets import Dataset

from seqrec.errors import InputError
from seqrec.interactions.histories import Histories, as_histories
from seqrec.interactions.special_tokens import NUM_SPECIAL_TOKENS, UNK_ID, UNK_TOKEN

__all__ = ["require_rankable", "require_token_ids", "share_beyond_reach", "warn_of_repeats"]

LARGE_SHARE = 0.1  # warn if this share of the targets is in their users' histories


def require_rankable(histories: Histories, vocab_size: int) -> None:
    """Check that a model with this vocabulary can rank the rows; warn of unknown targets.

    Args:
        histories: Rows with `input_ids` and `target`.
        vocab_size: V.

    Raises:
        InputError: If there are no rows, a column does not hold integers, or token ids are outside the vocabulary.
    """
    if len(histories) == 0:
        raise InputError("There is nothing to evaluate: the data set has no rows.")
    targets_U = histories.rows["target"]
    require_token_ids("input_ids", histories.held("input_ids"), vocab_size)
    require_token_ids("target", targets_U, vocab_size)
    num_unknown = np.count_nonzero(targets_U == UNK_ID)
    if num_unknown:
        warnings.warn(
            f"{num_unknown} of {len(histories)} targets are items that the model does not know ({UNK_TOKEN}) and count "
            "as not ranked.",
            stacklevel=3,
        )


def require_token_ids(name: str, ids: np.ndarray, vocab_size: int, *, lowest: int = UNK_ID) -> None:
    """Refuse values that are not token ids of a vocabulary.

    Args:
        name: Name of the ids in errors.
        ids: The ids.
        vocab_size: V.
        lowest: Lowest id allowed; by default that of the unknown item.

    Raises:
        InputError: If they are not integers, or are outside the vocabulary.
    """
    if len(ids) == 0:
        return
    if ids.dtype.kind not in "iu":
        raise InputError(f"{name} must hold token ids, all integers and none missing, but has the type {ids.dtype}.")
    least, most = ids.min(), ids.max()
    if least < lowest or most >= vocab_size:
        raise InputError(
            f"{name} holds token ids from {least} to {most}, but the model's items have ids {NUM_SPECIAL_TOKENS} to "
            f"{vocab_size - 1} ({UNK_ID} is the unknown item). Encode the rows with the model's own tokenizer."
        )


def find_repeats(rows: Histories | Dataset) -> np.ndarray:
    """Return whether the target of each row is in its history: `is_repeat_U` (bool).

    As histories may overlap a lot, they are not scanned one by one: all events are sorted by item and place, and the
    last event with the target item before the end of the history is looked up.
    """
    histories = as_histories(rows, ["input_ids", "target"])
    items_N = histories.columns["input_ids"].astype(np.int64)
    num_events = len(items_N)
    order_N = np.argsort(items_N, kind="stable")
    sorted_N = items_N[order_N] * num_events + order_N
    first_U = histories.rows["target"].astype(np.int64) * num_events + histories.starts_R
    last_U = np.searchsorted(sorted_N, first_U + histories.lengths_R) - 1
    found_U = np.take(sorted_N, last_U, mode="clip") if num_events else np.full(len(histories), -1)
    return (last_U >= 0) & (found_U >= first_U)


def share_beyond_reach(rows: Histories | Dataset, *, exclude_seen: bool) -> float:
    """Return the share of targets that no list can contain: unknown items, and items excluded as seen."""
    histories = as_histories(rows, ["input_ids", "target"])
    is_beyond_U = histories.rows["target"] < NUM_SPECIAL_TOKENS
    if exclude_seen:
        is_beyond_U |= find_repeats(histories)
    return float(is_beyond_U.mean()) if len(histories) else 0.0


def warn_of_repeats(rows: Histories | Dataset, *, exclude_seen: bool, split: str = "validation") -> None:
    """Warn if many targets cannot be hit because they are in their users' histories, as in music or groceries.

    Args:
        rows: Histories with a `target` each.
        exclude_seen: Whether items of the history are left out of the ranking; if not, there is no warning.
        split: Name of the rows in the warning.
    """
    share = find_repeats(rows).mean() if exclude_seen and len(rows) else 0
    if share >= LARGE_SHARE:
        warnings.warn(
            f"{share:.0%} of the {split} targets are in their users' own histories and cannot be hit, because seen "
            "items are not recommended. To predict repeats too, train and evaluate with exclude_seen=False (flags: "
            "train --exclude_seen false, evaluate --include_seen).",
            stacklevel=2,
        )

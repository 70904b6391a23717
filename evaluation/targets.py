"""Held-out targets: whether a model can rank them, and which of them nobody can hit.

Shape suffixes: U evaluated rows, N events.
"""

import warnings

import numpy as np
from datasets import Dataset

from seqrec.errors import InputError
from seqrec.interactions.histories import Histories, as_histories
from seqrec.interactions.special_tokens import NUM_SPECIAL_TOKENS, UNK_ID, UNK_TOKEN

LARGE_SHARE = 0.1  # of targets in their own user's history, from which on it is said


def require_rankable(histories: Histories, vocab_size: int) -> None:
    """Check that rows to evaluate hold what a model of this vocabulary can rank; warn of unknown targets.

    Args:
        histories: Rows with `input_ids` and `target`.
        vocab_size: V.

    Raises:
        ValueError: If there are no rows, a column does not hold integers, or token ids are not of the vocabulary.
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
    """Refuse what is no token id that a model of this vocabulary may be given.

    Args:
        name: What to call the ids in errors.
        ids: The ids.
        vocab_size: V.
        lowest: The least id allowed; by default that of the unknown item.

    Raises:
        ValueError: If they are no integers, or beyond the vocabulary.
    """
    if len(ids) == 0:
        return
    if ids.dtype.kind not in "iu":
        raise InputError(f"{name} must hold token ids, integers all and none missing, but is of type {ids.dtype}.")
    least, most = ids.min(), ids.max()
    if least < lowest or most >= vocab_size:
        raise InputError(
            f"{name} holds token ids from {least} to {most}, but the model's items have ids {NUM_SPECIAL_TOKENS} to "
            f"{vocab_size - 1} ({UNK_ID} is the unknown item). Encode the rows with the model's own tokenizer."
        )


def find_repeats(rows: Histories | Dataset) -> np.ndarray:
    """Return for each row whether its target is in its history: `is_repeat_U`, truth values.

    Histories may overlap by far, so they are not gone through: of each target, the last event before the history's
    end is looked up among all events, in the order of item and place.
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
    """Return the share of targets that no list can hold: unknown items, and those left out as seen."""
    histories = as_histories(rows, ["input_ids", "target"])
    is_beyond_U = histories.rows["target"] < NUM_SPECIAL_TOKENS
    if exclude_seen:
        is_beyond_U |= find_repeats(histories)
    return float(is_beyond_U.mean()) if len(histories) else 0.0


def warn_of_repeats(rows: Histories | Dataset, *, exclude_seen: bool, split: str = "validation") -> None:
    """Warn where many targets cannot be hit because their users had them before, as in music or groceries.

    Args:
        rows: Histories with a `target` each.
        exclude_seen: Whether items of a history are never recommended; if not, there is nothing to warn of.
        split: What to call the rows.
    """
    share = find_repeats(rows).mean() if exclude_seen and len(rows) else 0
    if share >= LARGE_SHARE:
        warnings.warn(
            f"{share:.0%} of the {split} targets are in their users' own histories and cannot be hit, because items "
            "already seen are not recommended: to predict repeats as well, train with --exclude_seen false, and "
            "evaluate with --include_seen.",
            stacklevel=2,
        )

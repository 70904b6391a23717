"""Metrics for parts of the evaluated rows, by length of the history, and by popularity and count of the target.

Shape suffixes: U evaluated rows, V vocabulary, I items of the catalogue.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from seqrec.errors import InputError
from seqrec.evaluation.confidence import confidence_intervals
from seqrec.evaluation.metrics import checked_counts, hit_rate, ndcg

__all__ = ["popularity_thirds", "slice_confidence", "slice_metrics"]

HISTORY_LENGTH_EDGES = (0, 10, 50, 200)  # the longest history in each slice except the last
HISTORY_LENGTHS = ("0", "1-10", "11-50", "51-200", ">200")
LONGEST_SHORT = 2
POPULARITIES = ("head", "middle", "tail")
COUNT_EDGES = (0, 5)  # the highest count in each slice except the last
COUNTS = ("cold", "rare", "frequent")

Slices = dict[str, dict[str, float]]


def slice_metrics(
    ranks_U: ArrayLike,
    *,
    lengths_U: ArrayLike,
    target_counts_U: ArrayLike,
    item_counts_V: ArrayLike,
    k: int = 10,
) -> dict[str, Slices]:
    """Compute metrics by length of the history, and by popularity and count of the target.

    Head, middle and tail items each account for about a third of training interactions. A target belongs to the head
    if all more popular items together have less than one third of the interactions, to the middle if they have less
    than two thirds, and otherwise to the tail. Items with equal counts are in the same slice; targets that do not occur
    in training belong to the tail.

    By count, targets without a training interaction are cold, those with 1 to 5 rare, and all others frequent.
    Histories of at most 2 items are short; if there are any, they are compared with the longer ones.

    Args:
        ranks_U: Rank of each row's target, from 1.
        lengths_U: Number of items in each row's full history.
        target_counts_U: Training interactions of each row's target.
        item_counts_V: Training interactions of each token id, 0 for special tokens.
        k: Length at which lists are cut off.

    Returns:
        `{"history_length": {"1-10": {"num_users": 12, "hr@10": …, "ndcg@10": …}, …},
        "short_history": {"short": …, "longer": …}, "target_popularity": {"head": …, …},
        "target_count": {"cold": …, …}}`, without empty slices.

    Raises:
        InputError: If the arrays differ in length, or ranks, k or counts are out of range.
    """
    metrics = {f"hr@{k}": hit_rate(ranks_U, k), f"ndcg@{k}": ndcg(ranks_U, k)}
    groups = slice_groups(
        len(np.asarray(ranks_U)), lengths_U=lengths_U, target_counts_U=target_counts_U, item_counts_V=item_counts_V
    )
    return {group: average_slices(metrics, slice_U, names) for group, (slice_U, names) in groups.items()}


def slice_confidence(
    ranks_U: ArrayLike,
    *,
    lengths_U: ArrayLike,
    target_counts_U: ArrayLike,
    item_counts_V: ArrayLike,
    k: int = 10,
) -> dict[str, dict[str, dict[str, tuple[float, float]]]]:
    """Compute 95% bootstrap intervals for each slice; for arguments and errors, see `slice_metrics`.

    Returns:
        `{"history_length": {"1-10": {"ndcg@10": (low, high), "hr@10": …}, …}, …}`, without empty slices.
    """
    ranks_U = np.asarray(ranks_U)
    groups = slice_groups(
        len(ranks_U), lengths_U=lengths_U, target_counts_U=target_counts_U, item_counts_V=item_counts_V
    )
    return {
        group: {
            name: confidence_intervals(ranks_U[slice_U == index], [k])
            for index, name in enumerate(names)
            if (slice_U == index).any()
        }
        for group, (slice_U, names) in groups.items()
    }


def slice_groups(
    num_rows: int, *, lengths_U: ArrayLike, target_counts_U: ArrayLike, item_counts_V: ArrayLike
) -> dict[str, tuple[np.ndarray, Sequence[str]]]:
    """Divide rows into slices, in several ways: indices into the names of the slices (U), and these names.

    Raises:
        InputError: If the arrays differ in length, or are out of range.
    """
    for name, values in (("lengths_U", lengths_U), ("target_counts_U", target_counts_U)):
        if np.shape(values) != (num_rows,):
            raise InputError(f"{name} must have shape ({num_rows},), one number per row, got {np.shape(values)}.")
        if np.min(values) < 0:
            raise InputError(f"{name} must not be negative; the lowest given is {np.min(values)}.")
    by_length_U = np.searchsorted(HISTORY_LENGTH_EDGES, lengths_U)
    by_popularity_U = popularity_thirds(target_counts_U, checked_counts(item_counts_V))
    is_longer_U = (np.asarray(lengths_U) > LONGEST_SHORT).astype(np.int64)
    by_shortness = {} if is_longer_U.all() else {"short_history": (is_longer_U, ("short", "longer"))}
    return {
        "history_length": (by_length_U, HISTORY_LENGTHS),
        **by_shortness,
        "target_popularity": (by_popularity_U, POPULARITIES),
        "target_count": (np.searchsorted(COUNT_EDGES, target_counts_U), COUNTS),
    }


def popularity_thirds(target_counts_U: ArrayLike, item_counts_I: np.ndarray) -> np.ndarray:
    """Return the third of training interactions that an item with each count belongs to, from 0 (most popular) to 2.

    >>> popularity_thirds([7, 6, 4, 1, 0], np.array([1, 7, 4, 6]))
    array([0, 1, 2, 2, 2])
    """
    rising_I = np.sort(item_counts_I)
    interactions_up_to = np.concatenate([[0], np.cumsum(rising_I)])
    total = interactions_up_to[-1]
    more_popular_U = total - interactions_up_to[np.searchsorted(rising_I, target_counts_U, side="right")]
    return np.minimum(3 * more_popular_U // total, 2)


def average_slices(metrics: dict[str, np.ndarray], slice_U: np.ndarray, names: Sequence[str]) -> Slices:
    """Average metrics over the rows of each slice; `slice_U` contains indices into `names`."""
    num_users = np.bincount(slice_U, minlength=len(names))
    sums = {metric: np.bincount(slice_U, values_U, len(names)) for metric, values_U in metrics.items()}
    return {
        name: {
            "num_users": int(num_users[index]),
            **{metric: float(values[index] / num_users[index]) for metric, values in sums.items()},
        }
        for index, name in enumerate(names)
        if num_users[index]
    }

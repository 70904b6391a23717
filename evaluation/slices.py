"""For whom, and for which items, a ranking is good: metrics of parts of the evaluated rows.

Shape suffixes: U evaluated rows, V vocabulary, I items of the catalogue.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from seqrec.errors import InputError
from seqrec.evaluation.metrics import checked_counts, hit_rate, ndcg

HISTORY_LENGTH_EDGES = (0, 10, 50, 200)  # the longest history of each slice but the last
HISTORY_LENGTHS = ("0", "1-10", "11-50", "51-200", ">200")
POPULARITIES = ("head", "middle", "tail")

Slices = dict[str, dict[str, float]]


def slice_metrics(
    ranks_U: ArrayLike,
    *,
    lengths_U: ArrayLike,
    target_counts_U: ArrayLike,
    item_counts_V: ArrayLike,
    k: int = 10,
) -> dict[str, Slices]:
    """Measure slices by the length of the history, and by the popularity of the target.

    Head, middle and tail each make about a third of training interactions: a target is of the head if the
    items more popular than it make less than one third of them, of the middle if less than two thirds, else
    of the tail. Items of equal counts are together, and a target that was never in training is of the tail.

    Args:
        ranks_U: Rank of each row's target, from 1.
        lengths_U: Items in each row's whole history.
        target_counts_U: Training interactions of each row's target.
        item_counts_V: Training interactions of each token id, 0 for special tokens.
        k: Where to cut lists off.

    Returns:
        `{"history_length": {"1-10": {"num_users": 12, "hr@10": …, "ndcg@10": …}, …},
        "target_popularity": {"head": …, …}}`, without empty slices.

    Raises:
        ValueError: If the arrays differ in length, or ranks, k or counts are out of range.
    """
    metrics = {f"hr@{k}": hit_rate(ranks_U, k), f"ndcg@{k}": ndcg(ranks_U, k)}
    num_rows = len(np.asarray(ranks_U))
    for name, values in (("lengths_U", lengths_U), ("target_counts_U", target_counts_U)):
        if np.shape(values) != (num_rows,):
            raise InputError(f"{name} must have one number a row, {num_rows}, not the shape {np.shape(values)}.")
        if np.min(values) < 0:
            raise InputError(f"{name} must hold numbers from 0; the least one given is {np.min(values)}.")
    by_length_U = np.searchsorted(HISTORY_LENGTH_EDGES, lengths_U)
    by_popularity_U = popularity_thirds(target_counts_U, checked_counts(item_counts_V))
    return {
        "history_length": average_slices(metrics, by_length_U, HISTORY_LENGTHS),
        "target_popularity": average_slices(metrics, by_popularity_U, POPULARITIES),
    }


def popularity_thirds(target_counts_U: ArrayLike, item_counts_I: np.ndarray) -> np.ndarray:
    """Tell the third of training interactions that an item of each count falls in: 0, the most popular, to 2.

    >>> popularity_thirds([7, 6, 4, 1, 0], np.array([1, 7, 4, 6]))
    array([0, 1, 2, 2, 2])
    """
    rising_I = np.sort(item_counts_I)
    interactions_up_to = np.concatenate([[0], np.cumsum(rising_I)])
    total = interactions_up_to[-1]
    more_popular_U = total - interactions_up_to[np.searchsorted(rising_I, target_counts_U, side="right")]
    return np.minimum(3 * more_popular_U // total, 2)


def average_slices(metrics: dict[str, np.ndarray], slice_U: np.ndarray, names: Sequence[str]) -> Slices:
    """Average metrics over the rows of each slice; `slice_U` holds indices into `names`."""
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

"""Metrics of rankings and recommendation lists: pure functions of ranks and of recommended items.

Rank 1 is the best. Relevance is binary: an item is a target or it is not.

Ranking metrics take integer ranks: (U,) for one target per user, or (U, T) for up to T targets per user, in
any order, padded with 0. `NOT_RANKED`, beyond every k, is the rank of a target that could not be recommended. They
return one float64 value per user (U,), so that confidence intervals and slices use the same values as the averages.

Shape suffixes: U users (evaluated rows), T targets of a user, K list length, V vocabulary (token ids),
I items of the catalogue (the vocabulary without special tokens), N recommendations.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from seqrec.errors import InputError
from seqrec.interactions.item_rows import by_row, rows_of, token_ids_of
from seqrec.interactions.special_tokens import NUM_SPECIAL_TOKENS, PAD_ID
from seqrec.search.scoring import NOT_RANKED

__all__ = [
    "RANKING_METRICS",
    "average_precision",
    "checked_counts",
    "checked_lists",
    "count_exposures",
    "coverage",
    "gini",
    "hit_rate",
    "list_metrics",
    "mrr",
    "ndcg",
    "novelty",
    "popularity_bias",
    "precision",
    "ranking_metrics",
    "recall",
]


def hit_rate(ranks: ArrayLike, k: int) -> np.ndarray:
    """1 if any target is among the first k, else 0.

    Raises:
        InputError: If ranks or k are not positive integers. The other ranking metrics raise it too.

    >>> hit_rate([1, 3, 11], k=10)
    array([1., 1., 0.])
    """
    ranks_UT = sorted_ranks(ranks)
    return (ranks_UT[:, 0] <= checked_k(k)).astype(np.float64)


def recall(ranks: ArrayLike, k: int) -> np.ndarray:
    """Share of a user's targets that are among the first k; equals the hit rate if there is one target.

    >>> recall([[1, 12], [4, 0]], k=10)
    array([0.5, 1. ])
    """
    ranks_UT = sorted_ranks(ranks)
    return (ranks_UT <= checked_k(k)).sum(axis=1) / count_targets(ranks_UT)


def precision(ranks: ArrayLike, k: int) -> np.ndarray:
    """Share of the first k places that hold targets.

    >>> precision([[1, 12], [3, 4]], k=10)
    array([0.1, 0.2])
    """
    ranks_UT = sorted_ranks(ranks)
    return (ranks_UT <= checked_k(k)).sum(axis=1) / k


def mrr(ranks: ArrayLike, k: int) -> np.ndarray:
    """Reciprocal rank of the best target, 0 beyond k (Voorhees 1999, "The TREC-8 Question Answering Track").

    >>> mrr([1, 4, 11], k=10)
    array([1.  , 0.25, 0.  ])
    """
    best_U = sorted_ranks(ranks)[:, 0]
    return np.where(best_U <= checked_k(k), 1 / best_U, 0.0)


def ndcg(ranks: ArrayLike, k: int) -> np.ndarray:
    """Discounted cumulative gain at k, divided by that of the best possible list.

    DCG@k = Σ 1 / log2(1 + rank) over targets ranked within k; the best list begins with min(T, k) targets
    (Järvelin & Kekäläinen 2002, "Cumulated Gain-Based Evaluation of IR Techniques", with the discount of
    Burges et al. 2005, which also distinguishes rank 1 from rank 2).

    >>> ndcg([1, 3, 11], k=10)
    array([1. , 0.5, 0. ])
    """
    ranks_UT = sorted_ranks(ranks)
    gains_U = np.where(ranks_UT <= checked_k(k), 1 / np.log2(1 + ranks_UT), 0.0).sum(axis=1)
    best_gains_T = np.cumsum(1 / np.log2(np.arange(ranks_UT.shape[1]) + 2))
    return gains_U / best_gains_T[np.minimum(count_targets(ranks_UT), k) - 1]


def average_precision(ranks: ArrayLike, k: int) -> np.ndarray:
    """Mean of the precision at each target's rank; its mean over users is MAP@k.

    AP@k = Σ i / rank_i over targets ranked within k, where rank_i is the rank of the i-th best target, divided by
    min(T, k), so that the best list scores 1 (Buckley & Voorhees 2000, "Evaluating Evaluation Measure Stability",
    truncated at k).

    >>> average_precision([[1, 4], [2, 0]], k=10)
    array([0.75, 0.5 ])
    """
    ranks_UT = sorted_ranks(ranks)
    precisions_UT = (np.arange(ranks_UT.shape[1]) + 1) / ranks_UT
    found_U = np.where(ranks_UT <= checked_k(k), precisions_UT, 0.0).sum(axis=1)
    return found_U / np.minimum(count_targets(ranks_UT), k)


RANKING_METRICS: Mapping[str, Callable[[ArrayLike, int], np.ndarray]] = {
    "hr": hit_rate,
    "ndcg": ndcg,
    "mrr": mrr,
    "recall": recall,
    "precision": precision,
    "map": average_precision,
}


def ranking_metrics(ranks: ArrayLike, ks: Sequence[int]) -> dict[str, float]:
    """Average every ranking metric over users, at several k.

    Args:
        ranks: Integer ranks, (U,) or (U, T) padded with 0.
        ks: Lengths at which lists are cut off.

    Returns:
        `{"hr@10": …, "ndcg@10": …, "mrr@10": …, "recall@10": …, "precision@10": …, "map@10": …}`, for each k.

    Raises:
        InputError: If ranks or any k are not positive integers.
    """
    return {f"{name}@{k}": float(metric(ranks, k).mean()) for k in ks for name, metric in RANKING_METRICS.items()}


def coverage(exposures_I: np.ndarray) -> float:
    """Share of the catalogue that is recommended to at least one user (Ge et al. 2010, "Beyond Accuracy").

    Args:
        exposures_I: How often each item is recommended (see `count_exposures`).

    >>> coverage(np.array([3, 1, 0, 0]))
    0.5
    """
    return float((exposures_I > 0).mean())


def novelty(exposures_I: np.ndarray, item_counts_I: np.ndarray) -> float:
    """Mean self-information of recommended items: −log2 of an item's share of all training interactions.

    Zhou et al. 2010, "Solving the apparent diversity-accuracy dilemma of recommender systems", with the share
    of interactions, not of users, as in Vargas & Castells 2011, "Rank and Relevance in Novelty and Diversity
    Metrics". An item without training interactions counts as having one; otherwise its novelty would be infinite.

    Returns:
        Bits, averaged over all recommendations; NaN if there are none.

    >>> novelty(np.array([1, 1, 0]), np.array([2, 1, 1]))
    1.5
    """
    bits_I = np.log2(item_counts_I.sum()) - np.log2(np.maximum(item_counts_I, 1))
    return mean_exposed(bits_I, exposures_I)


def popularity_bias(exposures_I: np.ndarray, item_counts_I: np.ndarray) -> float:
    """Average number of training interactions of recommended items.

    Yin et al. 2012, "Challenging the Long Tail Recommendation".

    Returns:
        Interactions, averaged over all recommendations; NaN if there are none.

    >>> popularity_bias(np.array([3, 1, 0]), np.array([20, 4, 1]))
    16.0
    """
    return mean_exposed(item_counts_I, exposures_I)


def gini(exposures_I: np.ndarray) -> float:
    """Inequality of exposure over the catalogue: 0 if all items are recommended equally often.

    G = Σ (2i − n − 1) x_i / (n Σ x_i) over the n items' exposures x_i in ascending order. The maximum, 1 − 1/n, is
    reached if only one item is ever recommended (Fleder & Hosanagar 2009, "Blockbuster Culture's Next Rise or Fall").

    Returns:
        The coefficient; NaN if nothing is recommended.

    >>> gini(np.array([2, 2, 2, 2])), gini(np.array([0, 8, 0, 0]))
    (0.0, 0.75)
    """
    num_items = len(exposures_I)
    weights_I = 2 * np.arange(1, num_items + 1) - num_items - 1
    return mean_exposed(weights_I, np.sort(exposures_I)) / num_items


def list_metrics(top_UK: ArrayLike, item_counts_V: ArrayLike, ks: Sequence[int]) -> dict[str, float]:
    """Compute metrics of the recommended items, whether they are hits or not, at several k.

    Args:
        top_UK: Token ids, best first; 0 where a list has nothing left to recommend.
        item_counts_V: Training interactions of each token id, 0 for special tokens.
        ks: Lengths at which lists are cut off.

    Returns:
        `{"coverage@10": …, "novelty@10": …, "popularity@10": …, "gini@10": …}`, for each k; see `coverage`, `novelty`,
        `popularity_bias` and `gini`.

    Raises:
        InputError: If a k is less than 1 or more than K, if lists hold ids that are not items, or if there are no
            training interactions.
    """
    item_counts_I = checked_counts(item_counts_V)
    metrics = {}
    for k in ks:
        exposures_I = count_exposures(top_UK, k, num_items=len(item_counts_I))
        metrics[f"coverage@{k}"] = coverage(exposures_I)
        metrics[f"novelty@{k}"] = novelty(exposures_I, item_counts_I)
        metrics[f"popularity@{k}"] = popularity_bias(exposures_I, item_counts_I)
        metrics[f"gini@{k}"] = gini(exposures_I)
    return metrics


def count_exposures(top_UK: ArrayLike, k: int, *, num_items: int) -> np.ndarray:
    """Count how often each item is among the first k of a list.

    Args:
        top_UK: Token ids, best first, 0 for an empty place.
        k: Length at which lists are cut off.
        num_items: Items in the catalogue, I.

    Returns:
        `exposures_I`; index i belongs to token id i + 3.

    Raises:
        InputError: If k is less than 1 or more than K, or if lists hold ids that are not items.

    >>> count_exposures([[3, 5], [3, 0]], k=2, num_items=3)
    array([2, 0, 1])
    """
    listed_UK = checked_lists(top_UK, k, num_items=num_items)
    return np.bincount(rows_of(listed_UK[listed_UK != PAD_ID]), minlength=num_items)


def mean_exposed(values_I: np.ndarray, exposures_I: np.ndarray) -> float:
    """Average an item-level value over all recommendations; NaN if there are none."""
    num_recommendations = exposures_I.sum()
    return float(values_I @ exposures_I / num_recommendations) if num_recommendations else float("nan")


def sorted_ranks(ranks: ArrayLike) -> np.ndarray:
    """Check ranks and return them as `ranks_UT`, best first, with infinity where a user has no more targets."""
    ranks = np.asarray(ranks)
    if ranks.ndim not in (1, 2) or not np.issubdtype(ranks.dtype, np.integer) or ranks.size == 0:
        raise InputError(
            f"Ranks must be integers of shape (users,) or (users, targets), at least one, got {describe(ranks)}."
        )
    given_UT = ranks.reshape(len(ranks), -1)
    least = 1 if ranks.ndim == 1 else 0  # 0 is padding, which only several targets per user need
    if (given_UT < least).any():
        raise InputError(f"Ranks begin at 1 (0 pads rows of several targets); the lowest given is {given_UT.min()}.")
    ranks_UT = np.sort(np.where(given_UT == 0, np.inf, given_UT), axis=1)
    # Ranks of one user are distinct: the second best target ranks at least 2, the third at least 3, and so on.
    possible_U = np.isfinite(ranks_UT[:, 0]) & (ranks_UT > np.arange(ranks_UT.shape[1])).all(axis=1)
    if not possible_U.all():
        row = int(possible_U.argmin())
        raise InputError(
            f"{np.sum(~possible_U)} of {len(ranks)} rows of ranks are impossible (first: row {row}, "
            f"{given_UT[row].tolist()}). Each user needs a target, and the n-th best target must rank at least n."
        )
    return ranks_UT


def count_targets(ranks_UT: np.ndarray) -> np.ndarray:
    """Count each user's targets (U,)."""
    return np.isfinite(ranks_UT).sum(axis=1)


def checked_k(k: int) -> int:
    """Refuse a k that is not a positive integer."""
    if not isinstance(k, int | np.integer) or not 1 <= k < NOT_RANKED:
        raise InputError(f"k must be an integer >= 1 and < {NOT_RANKED}, got {k!r}.")
    return int(k)


def checked_lists(top_UK: ArrayLike, k: int, *, num_items: int) -> np.ndarray:
    """Check lists of token ids and cut them off: (U, k), int64."""
    top_UK = np.asarray(top_UK)
    if top_UK.ndim != 2 or not np.issubdtype(top_UK.dtype, np.integer) or len(top_UK) == 0:
        raise InputError(
            f"Lists must be integer token ids of shape (users, K), with at least one list, got {describe(top_UK)}."
        )
    if checked_k(k) > top_UK.shape[1]:
        raise InputError(f"k={k} exceeds the length of the lists, {top_UK.shape[1]}. Make longer lists.")
    listed_UK = top_UK[:, :k].astype(np.int64)
    ids_N = listed_UK[listed_UK != PAD_ID]
    rows_N = rows_of(ids_N)
    wrong_N = ids_N[(rows_N < 0) | (rows_N >= num_items)]
    if len(wrong_N):
        raise InputError(
            f"{len(wrong_N)} of {len(ids_N)} recommendations are not items (first: token id {wrong_N[0]}). "
            f"Items have ids {NUM_SPECIAL_TOKENS} to {token_ids_of(num_items) - 1}; use 0 for an empty place."
        )
    return listed_UK


def checked_counts(item_counts_V: ArrayLike) -> np.ndarray:
    """Check training interactions by token id and return them without special tokens: `item_counts_I`."""
    counts_V = np.asarray(item_counts_V)
    if counts_V.ndim != 1 or not np.issubdtype(counts_V.dtype, np.integer):
        raise InputError(f"Item counts must be integers of shape (vocabulary,), got {describe(counts_V)}.")
    special, counts_I = counts_V[:NUM_SPECIAL_TOKENS], by_row(counts_V)
    if special.any() or (counts_I < 0).any() or not counts_I.any():
        raise InputError(
            f"Item counts must be 0 for the {NUM_SPECIAL_TOKENS} special tokens, followed by each item's interactions, "
            f"not negative and not all 0. The first ten given are {counts_V[:10].tolist()}."
        )
    return counts_I.astype(np.int64)  # small types give inexact logarithms, unsigned ones float differences


def describe(array: np.ndarray) -> str:
    """Describe an array's type and shape for an error message."""
    return f"{array.dtype} of shape {array.shape}"

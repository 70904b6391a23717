"""Metrics of recommendation lists: how different the items of a list are, and how popular for the user's taste.

Coverage, novelty, popularity and the Gini coefficient of the same lists are in `metrics.py`, metrics by category in
`list_categories.py`. Lists are token ids (U, K), best first, with 0 in empty places.

Shape suffixes: U users, K list length, V vocabulary, D dimensions, N items of all users, S events of all histories.
"""

import numpy as np
from numpy.typing import ArrayLike

from seqrec.evaluation.metrics import checked_lists
from seqrec.interactions.histories import Histories
from seqrec.interactions.item_rows import by_row
from seqrec.interactions.special_tokens import NUM_SPECIAL_TOKENS, PAD_ID

__all__ = ["events_of", "intra_list_distance", "items_of", "mean_distance", "mean_known", "popularity_lift"]

BLOCK_VALUES = 2**22  # numbers gathered at once, to bound memory


def intra_list_distance(top_UK: ArrayLike, vectors_VD: ArrayLike, k: int) -> np.ndarray:
    """Mean cosine distance of all pairs of items among the first k: 1 − cos, from 0 (same direction) to 2 (opposite).

    Ziegler et al. 2005, "Improving Recommendation Lists Through Topic Diversification", as a distance as in Zhang &
    Hurley 2008, "Avoiding Monotony". A vector of zeros has the cosine 0 with every other.

    Args:
        top_UK: Token ids.
        vectors_VD: A vector for each token id.
        k: Length at which lists are cut off.

    Returns:
        `distance_U`, float64; NaN for lists of fewer than two items.

    Raises:
        InputError: If k is less than 1 or more than K, or if lists hold ids that are not items.

    >>> intra_list_distance([[3, 4], [3, 5]], [[0, 0], [0, 0], [0, 0], [1, 0], [2, 0], [0, 1]], k=2)
    array([0., 1.])
    """
    vectors_VD = np.asarray(vectors_VD, dtype=np.float64)
    listed_UK = checked_lists(top_UK, k, num_items=len(by_row(vectors_VD)))
    lengths_V1 = np.linalg.norm(vectors_VD, axis=1, keepdims=True)
    units_VD = np.divide(vectors_VD, lengths_V1, out=np.zeros_like(vectors_VD), where=lengths_V1 > 0)
    units_VD[PAD_ID] = 0
    squares_U = np.zeros(len(listed_UK))
    block = max(1, BLOCK_VALUES // max(1, k * units_VD.shape[1]))
    for start in range(0, len(listed_UK), block):
        sums_UD = units_VD[listed_UK[start : start + block]].sum(axis=1)
        squares_U[start : start + block] = np.square(sums_UD).sum(axis=1)
    own_U = units_VD.any(axis=1)[listed_UK].sum(axis=1)
    return mean_distance(squares_U - own_U, num_U=(listed_UK != PAD_ID).sum(axis=1))


def mean_distance(cosines_U: np.ndarray, num_U: np.ndarray) -> np.ndarray:
    """Turn the sum of the cosines of all ordered pairs of items into the mean distance of a pair, NaN without pairs.

    The sum is that of the squared length of the sum of unit vectors, less the squared length of each.
    """
    pairs_U = num_U * (num_U - 1)
    return np.where(pairs_U > 0, np.maximum(1 - cosines_U / np.maximum(pairs_U, 1), 0), np.nan)  # rounding: not below 0


def popularity_lift(top_UK: ArrayLike, histories: Histories, item_counts_V: ArrayLike, k: int) -> float:
    """Relative difference between the mean popularity of recommended items and of the users' own items.

    Popularity is averaged over the items of each list and of each history, and then over users:
    (recommended − own) / own. It is 0 if lists match the users' taste, 1 if they are twice as popular. Abdollahpouri et
    al. 2020, "The Connection Between Popularity Bias, Calibration, and Fairness in Recommendation".

    Args:
        top_UK: Token ids.
        histories: Token ids `input_ids` of each user's items; unknown items do not count.
        item_counts_V: Training interactions of each token id.
        k: Length at which lists are cut off.

    Returns:
        The lift over users with both a list and a history; NaN if there are none, or if all their items have no
        training interactions.

    Raises:
        InputError: See `intra_list_distance`.
    """
    counts_V = np.asarray(item_counts_V, dtype=np.float64)
    listed_UK = checked_lists(top_UK, k, num_items=len(by_row(counts_V)))
    own_U = mean_by_user(*events_of(histories), counts_V, num_users=len(histories))
    listed_U = mean_by_user(*items_of(listed_UK), counts_V, num_users=len(histories))
    both_U = ~np.isnan(own_U) & ~np.isnan(listed_U)
    own = own_U[both_U].sum()
    return float(listed_U[both_U].sum() / own - 1) if own else float("nan")


def mean_by_user(users_N: np.ndarray, items_N: np.ndarray, values_V: np.ndarray, *, num_users: int) -> np.ndarray:
    """Average values over each user's items: `mean_U`, NaN without any."""
    num_U = np.bincount(users_N, minlength=num_users)
    sums_U = np.bincount(users_N, values_V[items_N], minlength=num_users)
    return np.where(num_U > 0, sums_U / np.maximum(num_U, 1), np.nan)


def items_of(listed_UK: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the user and the token id of each item of all lists: `users_N` and `items_N`."""
    users_N, places_N = np.nonzero(listed_UK != PAD_ID)
    return users_N, listed_UK[users_N, places_N]


def events_of(histories: Histories) -> tuple[np.ndarray, np.ndarray]:
    """Return the user and the token id of each event of a known item: `users_N` and `items_N`, int64."""
    lengths_U = histories.lengths_R
    users_S = np.repeat(np.arange(len(histories)), lengths_U)
    firsts_U = histories.starts_R - (np.cumsum(lengths_U) - lengths_U)
    items_S = histories.columns["input_ids"][np.arange(len(users_S)) + np.repeat(firsts_U, lengths_U)]
    is_item_S = items_S >= NUM_SPECIAL_TOKENS
    return users_S[is_item_S], items_S[is_item_S].astype(np.int64)


def mean_known(values_U: np.ndarray) -> float:
    """Average the values that are not NaN; NaN if there are none."""
    known_U = values_U[~np.isnan(values_U)]
    return float(known_U.mean()) if len(known_U) else float("nan")

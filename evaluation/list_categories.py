"""Metrics of recommendation lists by categories of the items, such as genres.

Lists are token ids (U, K), best first, with 0 in empty places. An item in several categories is divided equally among
them, as in Steck 2018, "Calibrated Recommendations", equations 2 and 3, with the same weight for all places and events;
items without a category do not count.

Shape suffixes: U users, K list length, V vocabulary, M most categories of one item, C categories, N items of all users.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from seqrec.evaluation.list_quality import events_of, items_of, mean_distance, mean_known
from seqrec.evaluation.metrics import checked_lists
from seqrec.interactions.histories import Histories
from seqrec.interactions.item_categories import NO_CATEGORY, ItemCategories
from seqrec.interactions.item_rows import by_row

__all__ = ["category_metrics", "jensen_shannon_divergence", "kullback_leibler_divergence", "list_distances"]

SMOOTHING = 0.01  # Steck's α
BLOCK_SUMS = 2**22  # sums by user and category computed at once, to bound memory


def category_metrics(top_UK: ArrayLike, histories: Histories, categories: ItemCategories, k: int) -> dict[str, float]:
    """Compute all metrics of lists by categories, averaged over the users for whom they are defined.

    Args:
        top_UK: Token ids.
        histories: Token ids `input_ids` of each user's items.
        categories: The items' categories.
        k: Length at which lists are cut off.

    Returns:
        `intra_list_distance@k`: mean cosine distance of pairs of items, see `list_distances`;
        `categories_per_list@k`: mean number of different categories in a list;
        `category_coverage@k`: share of all categories that are in at least one list;
        `calibration_kl@k` and `calibration_js@k`: divergence between the categories of the history and of the list, in
        bits, see `kullback_leibler_divergence` and `jensen_shannon_divergence`. NaN where no user has a value.

    Raises:
        InputError: If k is less than 1 or more than K, or if lists hold ids that are not items.
    """
    listed_UK = checked_lists(top_UK, k, num_items=len(by_row(categories.codes_VM)))
    distances, numbers, kl, js = [], [], [], []
    is_covered_C = np.zeros(len(categories.names), dtype=bool)
    for users in blocks_of_users(len(listed_UK), len(categories.names)):
        block_UK, own = listed_UK[users], histories.select(np.arange(len(listed_UK))[users])
        list_UC = shares(*items_of(block_UK), categories, num_users=len(block_UK))
        history_UC = shares(*events_of(own), categories, num_users=len(block_UK))
        distances.append(list_distances(block_UK, categories))
        numbers.append((list_UC > 0).sum(axis=1, dtype=np.float64))
        is_covered_C |= (list_UC > 0).any(axis=0)
        kl.append(kullback_leibler_divergence(history_UC, list_UC))
        js.append(jensen_shannon_divergence(history_UC, list_UC))
    return {
        f"intra_list_distance@{k}": mean_known(np.concatenate(distances)),
        f"categories_per_list@{k}": mean_known(np.concatenate(numbers)),
        f"category_coverage@{k}": float(is_covered_C.mean()),
        f"calibration_kl@{k}": mean_known(np.concatenate(kl)),
        f"calibration_js@{k}": mean_known(np.concatenate(js)),
    }


def blocks_of_users(num_users: int, num_categories: int) -> Iterator[slice]:
    """Divide users so that a block has a bounded number of sums."""
    size = max(1, BLOCK_SUMS // num_categories)
    for start in range(0, num_users, size):
        yield slice(start, start + size)


def list_distances(listed_UK: np.ndarray, categories: ItemCategories) -> np.ndarray:
    """Mean cosine distance of all pairs of items with categories in a list.

    An item is a vector of zeros and ones, so that the distance of items with the categories A and B is
    1 − |A ∩ B| / √(|A| |B|): 0 if they have the same, 1 if they have none in common.

    Args:
        listed_UK: Token ids.
        categories: The items' categories.

    Returns:
        `distance_U`; NaN for lists with fewer than two items that have a category.
    """
    users_N, items_N = items_of(listed_UK)
    per_item_V = np.sqrt(np.maximum((categories.codes_VM != NO_CATEGORY).sum(axis=1), 1))
    sums_UC = sums_by_category(users_N, items_N, 1 / per_item_V, categories, num_users=len(listed_UK))
    has_any_N = categories.codes_VM[items_N, 0] != NO_CATEGORY
    num_U = np.bincount(users_N[has_any_N], minlength=len(listed_UK))
    return mean_distance(np.square(sums_UC).sum(axis=1) - num_U, num_U)


def shares(users_N: np.ndarray, items_N: np.ndarray, categories: ItemCategories, *, num_users: int) -> np.ndarray:
    """Return how each user's items are distributed over the categories.

    Returns:
        `shares_UC`, which sum to 1 for each user, or to 0 if none of the items has a category.
    """
    weights_V = 1 / np.maximum((categories.codes_VM != NO_CATEGORY).sum(axis=1), 1)
    sums_UC = sums_by_category(users_N, items_N, weights_V, categories, num_users=num_users)
    totals_U1 = sums_UC.sum(axis=1, keepdims=True)
    return np.divide(sums_UC, totals_U1, out=np.zeros_like(sums_UC), where=totals_U1 > 0)


def sums_by_category(
    users_N: np.ndarray, items_N: np.ndarray, weights_V: np.ndarray, categories: ItemCategories, *, num_users: int
) -> np.ndarray:
    """Sum the weights of each user's items by category: `sums_UC`."""
    num_categories = len(categories.names)
    sums = np.zeros(num_users * num_categories)
    for codes_V in categories.codes_VM.T:
        codes_N = codes_V[items_N]
        has_N = codes_N != NO_CATEGORY
        cells = users_N[has_N] * num_categories + codes_N[has_N]
        sums += np.bincount(cells, weights_V[items_N[has_N]], minlength=len(sums))
    return sums.reshape(num_users, num_categories)


def kullback_leibler_divergence(
    history_UC: np.ndarray, list_UC: np.ndarray, *, smoothing: float = SMOOTHING
) -> np.ndarray:
    """Kullback–Leibler divergence of lists from histories: 0 for lists calibrated to them.

    Σ_c p_c log2(p_c / q̃_c) with q̃ = (1 − α) q + α p, which keeps it finite if a list lacks a category (Steck 2018,
    "Calibrated Recommendations", equations 4 and 5).

    Args:
        history_UC: Shares p of the categories in each history.
        list_UC: Shares q of the categories in each list.
        smoothing: α.

    Returns:
        Bits `divergence_U`; NaN for users with no category in the history or in the list.

    >>> kullback_leibler_divergence(np.array([[0.5, 0.5], [1, 0]]), np.array([[0.5, 0.5], [0, 1]])).round(4)
    array([0.    , 6.6439])
    """
    smoothed_UC = (1 - smoothing) * list_UC + smoothing * history_UC
    return where_both(divergence(history_UC, smoothed_UC), history_UC, list_UC)


def jensen_shannon_divergence(history_UC: np.ndarray, list_UC: np.ndarray) -> np.ndarray:
    """Jensen–Shannon divergence of lists and histories: 0 if their shares are equal, 1 if no category is in both.

    The mean divergence of the two from their average (Lin 1991, "Divergence Measures Based on the Shannon Entropy").

    Args:
        history_UC: Shares of the categories in each history.
        list_UC: Shares of the categories in each list.

    Returns:
        Bits `divergence_U`; NaN for users with no category in the history or in the list.

    >>> jensen_shannon_divergence(np.array([[0.5, 0.5], [1, 0]]), np.array([[0.5, 0.5], [0, 1]]))
    array([0., 1.])
    """
    average_UC = (history_UC + list_UC) / 2
    found_U = (divergence(history_UC, average_UC) + divergence(list_UC, average_UC)) / 2
    return where_both(found_U, history_UC, list_UC)


def divergence(p_UC: np.ndarray, q_UC: np.ndarray) -> np.ndarray:
    """Return Σ p log2(p / q) over the categories with p > 0, where q must be positive too."""
    ratios_UC = np.divide(p_UC, q_UC, out=np.ones_like(q_UC), where=p_UC > 0)
    return np.maximum((p_UC * np.log2(ratios_UC)).sum(axis=1), 0)  # rounding: not below 0


def where_both(values_U: np.ndarray, history_UC: np.ndarray, list_UC: np.ndarray) -> np.ndarray:
    """Return the values of users with categories in both the history and the list, NaN for the others."""
    return np.where(history_UC.any(axis=1) & list_UC.any(axis=1), values_U, np.nan)

"""Give every item a least share of the places in lists, by bonuses to the scores of items that few lists contain.

An item's bonus is the smallest with which it is in enough lists: those of the users who like it most, compared with the
last item of their list. So an item that is never recommended reaches the users for whom it is nearly good enough, in
their last places. As items compete for places, bonuses are adjusted in several rounds. They are the dual prices of a
constraint on exposure, as in Xu et al. 2023, "P-MMF: Provider Max-min Fairness Re-ranking in Recommender System". For
such constraints, see Singh & Joachims 2018, "Fairness of Exposure in Rankings".

Shape suffixes: B users, S seen items, N candidates, K list length, V vocabulary, U users whose lists set the bonuses,
P pairs of a user and a candidate.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from seqrec.errors import InputError
from seqrec.interactions.item_rows import rows_of
from seqrec.interactions.special_tokens import PAD_ID

__all__ = ["ExposureReranker", "exposure_bonuses", "least_lists"]

NUM_ROUNDS = 10


@dataclass(frozen=True)
class ExposureReranker:
    """Chooses the k items with the highest scores plus bonuses, and lists them in the order of the candidates.

    Attributes:
        bonuses_V: What is added to the score of each token id; see `exposure_bonuses`.
        num_candidates: Number N of best items to choose from.
    """

    bonuses_V: Tensor
    num_candidates: int
    reads_users = False

    def rank(
        self, users_BD: Tensor, seen_BS: Tensor, scores_BN: Tensor, token_ids_BN: Tensor, k: int
    ) -> tuple[Tensor, Tensor]:
        """List k items for each user, with their own scores; for arguments, see `Reranker`."""
        bonuses_BN = self.bonuses_V.to(scores_BN.device)[token_ids_BN]
        raised_BN = torch.where(token_ids_BN == PAD_ID, -torch.inf, scores_BN + bonuses_BN)
        places_BN = raised_BN.sort(dim=1, descending=True, stable=True)[1]
        places_BK = places_BN[:, :k].sort(dim=1)[0]
        return scores_BN.gather(1, places_BK).float(), token_ids_BN.gather(1, places_BK)


def exposure_bonuses(
    scores_UN: np.ndarray, token_ids_UN: np.ndarray, *, share: float, k: int, vocab_size: int
) -> Tensor:
    """Return the bonuses with which each item is in a least number of the users' lists, if enough have it as candidate.

    Args:
        scores_UN: Scores of each user's candidates, the highest first, −inf in empty places.
        token_ids_UN: Token ids of the candidates, 0 in empty places.
        share: The least number of lists, relative to that with equally many for all items, U·k / number of items: from
            0 (none) to 1; rounded up to an integer.
        k: Length of the lists, at most N.
        vocab_size: V.

    Returns:
        `bonuses_V`, float32: at least 0, and 0 for items that are in enough lists by their scores.

    Raises:
        InputError: If the share is not between 0 and 1, or lists are longer than N.
    """
    if not 0 <= share <= 1:
        raise InputError(f"share={share!r} is not a number from 0 to 1.")
    num_users, num_candidates = token_ids_UN.shape
    if not 1 <= k <= num_candidates:
        raise InputError(f"k={k} must be between 1 and the number of candidates, {num_candidates}.")
    num_lists = least_lists(share, num_users, k, rows_of(vocab_size))
    bonuses_V = np.zeros(vocab_size)
    if not num_lists:
        return torch.from_numpy(bonuses_V).float()
    is_item_UN = token_ids_UN != PAD_ID
    items_P = token_ids_UN[is_item_UN]
    own_UN = scores_UN.astype(np.float64)
    for place in range(NUM_ROUNDS):
        needed_UN = thresholds(own_UN + bonuses_V[token_ids_UN], k)
        found_V = nth_smallest(items_P, needed_UN[is_item_UN] - own_UN[is_item_UN], num_lists, vocab_size)
        bonuses_V = found_V if place == 0 else (bonuses_V + found_V) / 2
    return torch.from_numpy(bonuses_V).float()


def least_lists(share: float, num_users: int, k: int, num_items: int) -> int:
    """Return the number of lists for a share of equal exposure, rounded up; see `exposure_bonuses`.

    >>> least_lists(0.2, 943, 10, 1682)
    2
    """
    return math.ceil(share * num_users * k / num_items)


def thresholds(raised_UN: np.ndarray, k: int) -> np.ndarray:
    """Return the score that each candidate must exceed to be among k: the k-th best of the others, −inf if fewer."""
    padded_UN = np.pad(raised_UN, ((0, 0), (0, 1)), constant_values=-np.inf)
    best_UK = -np.partition(-padded_UN, (k - 1, k), axis=1)[:, : k + 1]
    last_U1, next_U1 = best_UK[:, k - 1 : k], best_UK[:, k : k + 1]
    return np.where(raised_UN >= last_U1, next_U1, last_U1)


def nth_smallest(items_P: np.ndarray, gaps_P: np.ndarray, n: int, vocab_size: int) -> np.ndarray:
    """Return slightly more than the n-th smallest gap of each item, or its largest if it has fewer; at least 0."""
    order_P = np.lexsort((gaps_P, items_P))
    num_V = np.bincount(items_P, minlength=vocab_size)
    begins_V = np.cumsum(num_V) - num_V
    has_V = num_V > 0
    found_V = np.zeros(vocab_size)
    found_V[has_V] = gaps_P[order_P][begins_V[has_V] + np.minimum(n, num_V[has_V]) - 1]
    return np.where(found_V > 0, found_V * (1 + 1e-4) + 1e-4, 0)  # exceeds the threshold, also in float32

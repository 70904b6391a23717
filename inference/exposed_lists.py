"""Lists for many users in which every item has a minimum exposure.

Shape suffixes: R histories, N candidates, K list length.
"""

from typing import Any

import numpy as np
import torch

from seqrec.errors import InputError
from seqrec.interactions.number_checks import is_finite_number
from seqrec.interactions.request_options import require_candidates
from seqrec.search.exposure import ExposureReranker, exposure_bonuses

__all__ = ["exposed_lists", "require_exposure"]


def require_exposure(min_exposure: Any, rerank_from: Any, k: int, *, others: bool) -> None:
    """Raise an `InputError` unless a minimum exposure is a number from 0 to 1, and the only aim besides the scores.

    Args:
        min_exposure: See `recommend_frame`.
        rerank_from: Number of candidates, at least k.
        k: Length of the lists.
        others: Whether other options choose from the candidates.
    """
    if not is_finite_number(min_exposure) or not 0 <= min_exposure <= 1:
        raise InputError(f"min_exposure={min_exposure!r:.60} is not a number from 0 to 1.")
    if min_exposure and others:
        raise InputError("min_exposure does not combine with rank_by or options of diverse lists. Leave one out.")
    if min_exposure:
        require_candidates(rerank_from, k)


def exposed_lists(
    scores_RN: np.ndarray,
    token_ids_RN: np.ndarray,
    k: int,
    *,
    min_exposure: float,
    has_items_R: np.ndarray,
    vocab_size: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Choose lists so that each item is in about a minimum number of them, if enough histories have it as a candidate.

    Args:
        scores_RN: Scores of the candidates, the highest first, −inf in empty places.
        token_ids_RN: Token ids of the candidates, 0 in empty places.
        k: Length of the lists.
        min_exposure: See `exposure_bonuses`.
        has_items_R: Which histories have a known item; the others keep their best items.
        vocab_size: V.

    Returns:
        `scores_RK` and `token_ids_RK`, in the order of the scores.
    """
    scores_RK, token_ids_RK = scores_RN[:, :k].copy(), token_ids_RN[:, :k].copy()
    scores, token_ids = scores_RN[has_items_R], token_ids_RN[has_items_R]
    bonuses_V = exposure_bonuses(scores, token_ids, share=min_exposure, k=k, vocab_size=vocab_size)
    reranker = ExposureReranker(bonuses_V, token_ids.shape[1])
    no_users, nothing_seen = torch.zeros(len(scores), 0), torch.zeros(len(scores), 0, dtype=torch.long)
    chosen = reranker.rank(no_users, nothing_seen, torch.from_numpy(scores), torch.from_numpy(token_ids), k)
    scores_RK[has_items_R], token_ids_RK[has_items_R] = (part.numpy() for part in chosen)
    return scores_RK, token_ids_RK

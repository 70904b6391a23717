"""Leave out items whose scores are too low.

Shape suffixes: B users, D hidden size, S seen items, N candidates, K list length.
"""

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from torch import Tensor

from seqrec.errors import InputError
from seqrec.interactions.number_checks import is_finite_number

__all__ = ["ScoreFloor", "drop_below", "read_min_score"]

Array = TypeVar("Array", np.ndarray, Tensor)
LOWEST, HIGHEST = float(np.finfo(np.float32).min), float(np.finfo(np.float32).max)


def read_min_score(min_score: Any) -> float | None:
    """Return a minimum score as float32 holds it, as scores do; None if there is none.

    Raises:
        InputError: If it is not a finite number.
    """
    if min_score is None:
        return None
    if not is_finite_number(min_score):
        raise InputError(f"min_score={min_score!r:.60} is not a finite number. Leave it out to keep all scores.")
    return float(np.float32(min(max(float(min_score), LOWEST), HIGHEST)))


def drop_below(scores_BK: Array, token_ids_BK: Array, min_score: float) -> tuple[Array, Array]:
    """Empty the places of lower scores, in place: their score becomes −inf, their token id 0."""
    is_low_BK = scores_BK < min_score
    scores_BK[is_low_BK] = -np.inf
    token_ids_BK[is_low_BK] = 0
    return scores_BK, token_ids_BK


@dataclass(frozen=True)
class ScoreFloor:
    """Leaves out candidates with lower scores, so that diverse lists are chosen from the others."""

    min_score: float
    num_candidates = 0
    reads_users = False

    def rank(
        self, users_BD: Tensor, seen_BS: Tensor, scores_BN: Tensor, token_ids_BN: Tensor, k: int
    ) -> tuple[Tensor, Tensor]:
        """Keep k candidates that score high enough, in their order; for arguments, see `Reranker`."""
        return drop_below(scores_BN[:, :k].clone(), token_ids_BN[:, :k].clone(), self.min_score)

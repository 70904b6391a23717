"""Explain scores: how much each past event contributes to the score of an item.

Shape suffixes: N explained items, L events that the model reads, R users, D hidden size.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

__all__ = ["BASELINE", "RECENT_POPULARITY", "TIMES", "Explanation", "popularity_terms", "scored"]

RECENT_POPULARITY, TIMES, BASELINE = "recent_popularity", "times", "baseline"


@dataclass(frozen=True)
class Explanation:
    """Contributions of a history's events to the scores of some items.

    Attributes:
        scores_N: Scores of the items.
        contributions_NL: Contribution of each event that the model reads, the oldest first.
        parts: Shares of the contributions (N, L) by part of the events' vectors, such as the items' ids and each of
            their features; they sum to the contributions. Empty unless there are several parts, and for methods that
            cannot divide contributions.
        others: Contributions (N) by source other than events: `recent_popularity`, `times`, `baseline`.
    """

    scores_N: np.ndarray
    contributions_NL: np.ndarray
    parts: dict[str, np.ndarray] = field(default_factory=dict)
    others: dict[str, np.ndarray] = field(default_factory=dict)


def scored(users_RD: Tensor, items_ND: Tensor) -> np.ndarray:
    """Return the scores (R, N) of items for users, float32."""
    return (users_RD.float() @ items_ND.float().T).numpy(force=True)


def popularity_terms(model: Any, users_RD: Tensor, items_ND: Tensor) -> dict[str, np.ndarray]:
    """Return what recent popularity adds to the scores of items for the first user (N); nothing if it is not read."""
    if model.recent_counts is None:
        return {}
    size = model.config.hidden_size
    return {RECENT_POPULARITY: scored(users_RD[:1, size:], items_ND[:, size:])[0]}

"""Recommend popular items: the baseline that a model must beat, and the answer for histories without known items.

Shape suffixes: B users, L length, V vocabulary.
"""

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from seqrec.errors import InputError

__all__ = ["PopularityBaseline"]


class PopularityBaseline:
    """Recommend the items with the most training interactions to every user.

    An item's score is the dense rank of its count: 0 for the lowest count, 1 for the next, and so on. Counts
    themselves would not work: beyond 2^24, float32 cannot distinguish neighbouring integers. Items with equal counts
    score the same, and ties count against the target, as for a model.

    Args:
        item_counts_V: Training interactions of each token id, 0 for special tokens.

    Raises:
        InputError: If the counts are not one-dimensional integers, at least 0.
    """

    def __init__(self, item_counts_V: ArrayLike) -> None:
        counts_V = np.asarray(item_counts_V)
        if counts_V.ndim != 1 or not np.issubdtype(counts_V.dtype, np.integer) or (counts_V < 0).any():
            raise InputError(
                f"Item counts must be one integer >= 0 per token id, but are {counts_V.dtype} of shape "
                f"{counts_V.shape}, {np.sum(counts_V < 0)} of them negative. Count each item's training interactions."
            )
        ranks_V = np.unique(counts_V, return_inverse=True)[1]
        self.scores_V1 = torch.from_numpy(ranks_V.astype(np.float32))[:, None]

    def encode_users(self, input_ids: Tensor, attention_mask: Tensor | None = None, **columns: Tensor) -> Tensor:
        """Return the same vector for every user, whatever the history: ones (B, 1).

        Args:
            input_ids: Histories (B, L); only their number and device matter.
            attention_mask: Ignored.
            **columns: Ignored.
        """
        return torch.ones(len(input_ids), 1, device=input_ids.device)

    def encode_items(self) -> Tensor:
        """Return the items' scores (V, 1), float32."""
        return self.scores_V1

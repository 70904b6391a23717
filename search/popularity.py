"""Recommending what is popular: the baseline that a model must beat, and the answer to a history without known items.

Shape suffixes: B users, L length, V vocabulary.
"""

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from seqrec.errors import InputError


class PopularityBaseline:
    """Recommend to everybody what has most training interactions.

    An item's score is the dense rank of its count: 0 for the lowest count there is, 1 for the next, and so
    on. Counts themselves would not do: beyond 2^24, float32 cannot tell neighbours apart. Items of equal
    counts score the same, and ties count against the target as they do for a model.

    Args:
        item_counts_V: Training interactions of each token id, 0 for special tokens.

    Raises:
        ValueError: If the counts are not integers in one dimension.
    """

    def __init__(self, item_counts_V: ArrayLike) -> None:
        counts_V = np.asarray(item_counts_V)
        if counts_V.ndim != 1 or not np.issubdtype(counts_V.dtype, np.integer) or (counts_V < 0).any():
            raise InputError(
                f"Item counts must be one integer from 0 a token id, not {counts_V.dtype} of shape "
                f"{counts_V.shape}, {np.sum(counts_V < 0)} of them negative."
            )
        ranks_V = np.unique(counts_V, return_inverse=True)[1]
        self.scores_V1 = torch.from_numpy(ranks_V.astype(np.float32))[:, None]

    def encode_users(self, input_ids: Tensor, attention_mask: Tensor | None = None, **columns: Tensor) -> Tensor:
        """Return the same vector for every user, whatever the history: ones (B, 1).

        Args:
            input_ids: Histories (B, L); only their number and device count.
            attention_mask: Not needed.
            **columns: Not needed.
        """
        return torch.ones(len(input_ids), 1, device=input_ids.device)

    def encode_items(self) -> Tensor:
        """Return the items' scores (V, 1), float32."""
        return self.scores_V1

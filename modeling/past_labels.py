"""Outcomes of past events, such as ratings, as a part of the input.

Shape suffixes: B batch, L length, D hidden size.
"""

from typing import Any

import torch
from torch import Tensor, nn

from seqrec.interactions.label_columns import RATING

__all__ = ["PastLabel"]


class PastLabel(nn.Module):
    """Embed the labels of events: one vector for having a label, and one for its value, from −1 to 1.

    Both vectors are 0 at first, so that an untrained model reads no labels. Missing labels add nothing.

    Args:
        config: The model's configuration.
        task: The task of the labels.
    """

    def __init__(self, config: Any, task: str) -> None:
        super().__init__()
        low, high = config.rating_scale if task == RATING and config.rating_scale else (0.0, 1.0)
        self.middle, self.half_range = (low + high) / 2, (high - low) / 2
        self.presence_D = nn.Parameter(torch.zeros(config.hidden_size))
        self.value_D = nn.Parameter(torch.zeros(config.hidden_size))

    def forward(self, labels_BL: Tensor) -> Tensor:
        """Return a vector for each event's label, NaN for none: (B, L, D)."""
        is_known_BL1 = ~labels_BL.isnan()[..., None]
        value_BL1 = ((labels_BL.to(self.value_D.dtype) - self.middle) / self.half_range)[..., None]
        return (self.presence_D + value_BL1.nan_to_num(0.0) * self.value_D) * is_known_BL1

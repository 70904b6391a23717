"""Outcomes of past events, such as ratings, as a part of the input.

Shape suffixes: B batch, L length, D hidden size.
"""

from typing import Any

import torch
from torch import Tensor, nn

from seqrec.interactions.label_names import RATING
from seqrec.modeling.sequence_layout import SequenceLayout

__all__ = ["PastLabel"]

PRIOR_LABELS = 3  # labels of value 0 that a running mean starts with


class PastLabel(nn.Module):
    """Embed the labels of events, with values from −1 to 1.

    One vector stands for having a label, one for its value, and one for the running mean of the values in the history,
    up to this event, shrunk towards 0 where there are few. All three are 0 at first, so that an untrained model reads
    no labels. Missing labels add nothing to the first two.

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
        self.mean_D = nn.Parameter(torch.zeros(config.hidden_size))

    def forward(self, labels_BL: Tensor, layout: SequenceLayout) -> Tensor:
        """Return a vector for each event's label, NaN for none: (B, L, D)."""
        is_known_BL = ~labels_BL.isnan()
        values_BL = ((labels_BL.float() - self.middle) / self.half_range).nan_to_num(0.0)
        sums_BL, counts_BL = layout.running_sum(values_BL), layout.running_sum(is_known_BL.float())
        means_BL = sums_BL / (counts_BL + PRIOR_LABELS)
        known, values, means = (one[..., None].to(self.value_D.dtype) for one in (is_known_BL, values_BL, means_BL))
        return known * self.presence_D + values * self.value_D + means * self.mean_D

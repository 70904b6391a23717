"""Outcomes of past events, such as ratings, as a part of the input.

Shape suffixes: B batch, L length, D hidden size, V vocabulary.
"""

from typing import Any

import torch
from torch import Tensor, nn

from seqrec.interactions.label_names import RATING
from seqrec.interactions.special_tokens import PAD_ID
from seqrec.modeling.sequence_layout import SequenceLayout

__all__ = ["PastLabel"]

PRIOR_LABELS = 3  # labels like the means of their items that a running mean starts with


class PastLabel(nn.Module):
    """Embed the labels of events, with values from −1 to 1.

    One vector stands for having a label, one for its value, and one for the user's offset: the running mean, in the
    history up to this event, of how much values exceed the means of their items, shrunk towards 0 where there are few.
    All three are 0 at first, so that an untrained model reads no labels. Missing labels add nothing to the first two.

    Args:
        config: The model's configuration.
        task: The task of the labels.

    Attributes:
        item_means_V: The mean value of each item in training data; see `set_item_means`.
    """

    item_means_V: Tensor

    def __init__(self, config: Any, task: str) -> None:
        super().__init__()
        low, high = config.rating_scale if task == RATING and config.rating_scale else (0.0, 1.0)
        self.middle, self.half_range = (low + high) / 2, (high - low) / 2
        self.presence_D = nn.Parameter(torch.zeros(config.hidden_size))
        self.value_D = nn.Parameter(torch.zeros(config.hidden_size))
        self.offset_D = nn.Parameter(torch.zeros(config.hidden_size))
        self.register_buffer("item_means_V", torch.zeros(config.vocab_size))

    def forward(self, labels_BL: Tensor, input_ids: Tensor, layout: SequenceLayout) -> Tensor:
        """Return a vector for each event's label (B, L, D).

        Args:
            labels_BL: The labels, NaN for none.
            input_ids: Token ids (B, L) of the events' items.
            layout: Where histories lie in the rows.
        """
        is_known_BL = ~labels_BL.isnan()
        values_BL = self.value_of(labels_BL.float())
        excess_BL = (values_BL - self.item_means_V[input_ids]).where(is_known_BL, 0.0)
        offsets_BL = layout.running_sum(excess_BL) / (layout.running_sum(is_known_BL.float()) + PRIOR_LABELS)
        parts_BL = (is_known_BL, values_BL.where(is_known_BL, 0.0), offsets_BL)
        known, values, offsets = (part[..., None].to(self.value_D.dtype) for part in parts_BL)
        return known * self.presence_D + values * self.value_D + offsets * self.offset_D

    def value_of(self, labels: Tensor) -> Tensor:
        """Return labels as values from −1 to 1."""
        return (labels - self.middle) / self.half_range

    @torch.no_grad()
    def set_item_means(self, means_V: Tensor) -> None:
        """Set the mean label of each token id; that of padding is the mean of all labels."""
        self.item_means_V.copy_(self.value_of(means_V))

    @torch.no_grad()
    def resize(self, vocab_size: int) -> None:
        """Change the number of token ids; new ones come last, with the mean of all labels."""
        kept_V = self.item_means_V[:vocab_size]
        self.item_means_V = torch.cat([kept_V, self.item_means_V[PAD_ID].repeat(vocab_size - len(kept_V))])

"""Encodings of time: modules that turn the times of events and requests into terms of attention.

Shape suffixes: B batch, L length, H heads, T buckets of gaps.
"""

from typing import Any

import torch
from torch import Tensor, nn

from seqrec.modeling.positions import PositionTerms
from seqrec.modeling.sequence_layout import SequenceLayout

__all__ = ["RelativeTimes"]

NUM_BUCKETS = 64
LOG_OF_BUCKET = 0.301  # natural logarithm of the ratio of a bucket's ends


class RelativeTimes(nn.Module):
    """A bias of attention, learned for each head and bucket of the gap between a request and an event.

    Buckets grow with the logarithm of the gap, as in HSTU (Zhai et al., ICML 2024).
    """

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.bias_TH = nn.Parameter(torch.zeros(NUM_BUCKETS, config.num_attention_heads))

    def forward(self, layout: SequenceLayout) -> PositionTerms:
        """Return the bias of each request (third axis) for each event (last axis)."""
        assert layout.timestamps_BL is not None
        assert layout.request_times_BL is not None
        gap_BLL = layout.request_times_BL[:, :, None] - layout.timestamps_BL[:, None]
        return PositionTerms(bias_BHLL=self.bias_TH[bucket_of(gap_BLL)].permute(0, 3, 1, 2))


def bucket_of(gap: Tensor) -> Tensor:
    """Return the bucket of gaps in seconds."""
    return (gap.abs().clamp(min=1).to(torch.float32).log() / LOG_OF_BUCKET).long().clamp(max=NUM_BUCKETS - 1)

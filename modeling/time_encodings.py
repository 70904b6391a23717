"""Encodings of time: modules that turn the times of events and requests into terms of attention or of the input.

Shape suffixes: B batch, L length, D hidden size, H heads.
"""

from typing import Any

import torch
from torch import Tensor, nn

from seqrec.modeling.positions import PositionTerms
from seqrec.modeling.relative_bias import BiasTable
from seqrec.modeling.sequence_layout import SequenceLayout

__all__ = ["NUM_BUCKETS", "RelativeTimes", "gap_buckets"]

NUM_BUCKETS = 64  # HSTU's code has 128, but the 63rd already begins at five years
LOG_RATIO = 0.301  # of the lengths of consecutive buckets, as in HSTU's code


class RelativeTimes(nn.Module):
    """A bias of attention, learned for each head and bucket of the gap between a request and an event.

    It is the temporal part of HSTU's bias (Zhai et al., ICML 2024, section 3.1), with one table for all layers. At each
    position, the request is for the item after it; see `SequenceLayout.request_times_BL`.
    """

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.bias = BiasTable(NUM_BUCKETS, config.num_attention_heads)

    def forward(self, layout: SequenceLayout) -> PositionTerms:
        """Return the bias (B, H, L, L) of each request (third axis) for each event (last axis)."""
        asked_BL, happened_BL = layout.request_times_BL, layout.timestamps_BL
        assert asked_BL is not None
        assert happened_BL is not None
        return PositionTerms(bias_BHLL=self.bias(gap_buckets(asked_BL[:, :, None] - happened_BL[:, None])))


def gap_buckets(gaps: Tensor) -> Tensor:
    """Return the buckets of gaps in seconds: ⌊ln(max(|gap|, 1)) / 0.301⌋, at most `NUM_BUCKETS` - 1.

    Lengths of consecutive buckets differ by a factor of 1.35.
    """
    lengths = gaps.to(torch.float32, copy=True).abs_().clamp_(min=1)
    return lengths.log_().div_(LOG_RATIO).clamp_(max=NUM_BUCKETS - 1).long()

"""Encodings of time: modules that turn the times of events and requests into terms of attention or of the input.

Shape suffixes: B batch, L length, D hidden size, H heads.
"""

from typing import Any

import torch
from torch import Tensor, nn

from seqrec.interactions.seconds import SECONDS_PER_DAY
from seqrec.modeling.growing_histories import GrowingHistories
from seqrec.modeling.positions import PositionTerms
from seqrec.modeling.relative_bias import BiasTable
from seqrec.modeling.sequence_layout import SequenceLayout

__all__ = ["NUM_BUCKETS", "EmbeddedTimes", "RelativeTimes", "gap_buckets"]

NUM_BUCKETS = 64  # HSTU's code has 128, but the 63rd already begins at five years
LOG_RATIO = 0.301  # of the lengths of consecutive buckets, as in HSTU's code
SECONDS_PER_HOUR = 60 * 60
THURSDAY = 3  # of 1970-01-01, counted from Monday


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

    def between(self, histories: GrowingHistories, layout: SequenceLayout) -> PositionTerms:
        """Return the bias (B, H, Q, K) of the requests after new events."""
        assert layout.request_times_BL is not None
        assert layout.timestamps_BL is not None
        asked_BQ = histories.of_queries(layout.request_times_BL)
        happened_BK = histories.of_keys(layout.timestamps_BL)
        return PositionTerms(bias_BHLL=self.bias(gap_buckets(asked_BQ[:, :, None] - happened_BK[:, None])))


class EmbeddedTimes(nn.Module):
    """Embeddings of gaps, and of the request's hour and weekday, added to the vectors of events.

    Gaps are those between an event and the one before it in its history (0 for the first) and, if the model knows when
    the next item is asked for, between the event and that request. Both have the buckets of `gap_buckets`. Hours and
    weekdays are in UTC.
    """

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.gap_before = nn.Embedding(NUM_BUCKETS, config.hidden_size)
        knows_request = config.request_time == "target"
        self.gap_after = nn.Embedding(NUM_BUCKETS, config.hidden_size) if knows_request else None
        self.hour = nn.Embedding(24, config.hidden_size)
        self.weekday = nn.Embedding(7, config.hidden_size)

    def forward(self, layout: SequenceLayout) -> PositionTerms:
        """Return the sums of embeddings (B, L, D), to add to the input."""
        asked_BL, happened_BL = layout.request_times_BL, layout.timestamps_BL
        assert asked_BL is not None
        assert happened_BL is not None
        added_BLD = self.gap_before(gap_buckets(gaps_before(happened_BL, layout)))
        hour_BL, day_BL = asked_BL // SECONDS_PER_HOUR % 24, asked_BL // SECONDS_PER_DAY
        added_BLD = added_BLD + self.hour(hour_BL) + self.weekday((day_BL + THURSDAY) % 7)
        if self.gap_after is not None:
            added_BLD = added_BLD + self.gap_after(gap_buckets(asked_BL - happened_BL))
        return PositionTerms(added_BLD=added_BLD)

    def between(self, histories: GrowingHistories, layout: SequenceLayout) -> PositionTerms:
        """Return the sums of embeddings (B, Q, D) of new events."""
        added_BLD = self(layout).added_BLD
        return PositionTerms(added_BLD=histories.of_queries(added_BLD))


def gaps_before(happened_BL: Tensor, layout: SequenceLayout) -> Tensor:
    """Return the seconds (B, L) between each event and the one before it in its history; 0 for the first."""
    gaps_BL = happened_BL - happened_BL.roll(1, dims=1)
    if layout.position_ids_BL is not None:
        return gaps_BL * (layout.position_ids_BL != 0)
    has_before = torch.arange(happened_BL.shape[1], device=happened_BL.device) > 0
    if layout.attention_mask_BL is not None:
        has_before = has_before & (layout.attention_mask_BL.to(happened_BL.device).roll(1, dims=1) != 0)
    return gaps_BL * has_before


def gap_buckets(gaps: Tensor) -> Tensor:
    """Return the buckets of gaps in seconds: ⌊ln(max(|gap|, 1)) / 0.301⌋, at most `NUM_BUCKETS` - 1.

    Lengths of consecutive buckets differ by a factor of 1.35.
    """
    lengths = gaps.to(torch.float32, copy=True).abs_().clamp_(min=1)
    return lengths.log_().div_(LOG_RATIO).clamp_(max=NUM_BUCKETS - 1).long()

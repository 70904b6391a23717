"""Encodings of time agree with Python's own clock and with sums written out."""

import math
from datetime import UTC, datetime, timedelta

import pytest
import torch

from seqrec import SasRecConfig
from seqrec.modeling.sequence_layout import SequenceLayout
from seqrec.modeling.time_encodings import EmbeddedTimes, RelativeTimes, gap_buckets

START = int(datetime(2026, 11, 24, 22, 59, 30, tzinfo=UTC).timestamp())  # a Tuesday
HAPPENED = [0, 1, 40, 40, 3700, 90_000, 9_000_000, 900_000_000]
HISTORY = torch.tensor([[START + seconds for seconds in HAPPENED]])
REQUESTS = torch.cat([HISTORY[:, 1:], HISTORY[:, -1:] + 123_456], dim=1)


def make(module_class, request_time):
    torch.manual_seed(0)
    config = SasRecConfig(hidden_size=6, num_attention_heads=2, time_encoding="embedding", request_time=request_time)
    return module_class(config)


def layout_of(happened_BL, asked_BL, request_time, **places):
    """The layout that a model with this `request_time` is given."""
    asked_BL = happened_BL if request_time == "last_event" else asked_BL
    return SequenceLayout(timestamps_BL=happened_BL, request_times_BL=asked_BL, **places)


def bucket(gap):
    return min(math.floor(math.log(max(abs(gap), 1)) / 0.301), 63)


@pytest.mark.parametrize("request_time", ["last_event", "target"])
def test_embedded_times_are_sums_of_their_parts(request_time):
    module = make(EmbeddedTimes, request_time)
    found = module(layout_of(HISTORY, REQUESTS, request_time)).added_BLD[0]
    happened = HISTORY[0].tolist()
    asked = happened if request_time == "last_event" else REQUESTS[0].tolist()
    for place, time in enumerate(happened):
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=asked[place])
        expected = module.hour.weight[moment.hour] + module.weekday.weight[moment.weekday()]
        expected = expected + module.gap_before.weight[bucket(time - happened[max(place - 1, 0)])]
        if request_time == "target":
            expected = expected + module.gap_after.weight[bucket(asked[place] - time)]
        torch.testing.assert_close(found[place], expected)


@pytest.mark.parametrize("request_time", ["last_event", "target"])
def test_embedded_times_of_packed_and_padded_histories_are_those_alone(request_time):
    module = make(EmbeddedTimes, request_time)

    def encode(happened_BL, asked_BL, **places):
        return module(layout_of(happened_BL, asked_BL, request_time, **places)).added_BLD

    first, second = (HISTORY[:, :3], REQUESTS[:, :3]), (HISTORY[:, 3:], REQUESTS[:, 3:])
    alone = torch.cat([encode(*first), encode(*second)], dim=1)
    packed = encode(HISTORY, REQUESTS, position_ids_BL=torch.tensor([[0, 1, 2, 0, 1, 2, 3, 4]]))
    assert torch.equal(packed, alone)
    for widths in ((2, 0), (0, 2)):
        happened_BL, asked_BL, mask_BL = (
            torch.nn.functional.pad(values, widths) for values in (*first, torch.ones(1, 3, dtype=torch.long))
        )
        padded = encode(happened_BL, asked_BL, attention_mask_BL=mask_BL)
        assert torch.equal(padded[mask_BL == 1], alone[0, :3])


def test_a_relative_bias_depends_on_the_request_and_the_event():
    module = make(RelativeTimes, "target")
    bias_HLL = module(layout_of(HISTORY, REQUESTS, "target")).bias_BHLL[0]
    for query_at, asked in enumerate(REQUESTS[0].tolist()):
        for key_at, happened in enumerate(HISTORY[0].tolist()):
            expected = module.bias.weight[bucket(asked - happened)]
            torch.testing.assert_close(bias_HLL[:, query_at, key_at], expected)


def test_gaps_have_the_buckets_of_the_formula():
    gaps = [0, 1, 2, 3, 59, 60, 3600, 86_399, 86_400, 31_536_000, 2_000_000_000]
    expected = [bucket(gap) for gap in gaps]
    assert gap_buckets(torch.tensor(gaps)).tolist() == expected
    assert gap_buckets(-torch.tensor(gaps)).tolist() == expected
    assert expected[:3] == [0, 0, 2]
    assert expected[-1] == 63
    assert len(set(expected)) == 8


def test_buckets_leave_the_gaps_as_they_were():
    gaps = torch.tensor([-5.0, 7.0])
    gap_buckets(gaps)
    assert gaps.tolist() == [-5, 7]

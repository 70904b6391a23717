"""The times in batches are those that a model may know, whether histories are cut, packed, padded or alone."""

import numpy as np
import pytest
import torch
from datasets import Dataset

from seqrec.errors import InputError
from seqrec.interactions.collators import MaskedItemCollator, NextItemCollator
from seqrec.interactions.histories import Histories, as_histories
from seqrec.interactions.history_collator import HistoryCollator
from seqrec.interactions.tokenization_items import ItemTokenizer

TOKENIZER = ItemTokenizer.from_item_ids([f"item {index}" for index in range(40)])
NOT_TOLD, TOLD = ("input_ids", "timestamps"), ("input_ids", "timestamps", "request_times")
MASK = TOKENIZER.mask_token_id
START = 1_600_000_000


def make_rows(lengths, *, with_targets=True):
    """Rows whose items differ within a history, and whose times differ everywhere."""
    generator = np.random.default_rng(0)
    rows = []
    for length in lengths:
        times = START + generator.choice(10**6, size=length + 1, replace=False).cumsum()
        items = generator.permutation(np.arange(3, 43))[:length]
        row = {"input_ids": items.tolist(), "timestamps": times[:-1].tolist()}
        rows.append(row | ({"target": 5, "target_timestamp": int(times[-1])} if with_targets else {}))
    return rows


def time_asked(row, place):
    """When the item after an event is asked for."""
    later = [*row["timestamps"], row.get("target_timestamp", row["timestamps"][-1])]
    return later[place + 1]


def windows(batch):
    """The windows of a batch, as lists of (item, label, *times)."""
    names = ["input_ids", "labels", *(name for name in ("timestamps", "request_times") if name in batch)]
    found = []
    for row in range(len(batch["labels"])):
        if "attention_mask" in batch:
            length = int(batch["attention_mask"][row].sum())
            starts, ends = [0], [length]
        else:
            starts = (batch["position_ids"][row] == 0).nonzero()[:, 0].tolist()
            ends = [*starts[1:], len(batch["labels"][row])]
        found += [
            list(zip(*(batch[name][row, start:end].tolist() for name in names), strict=True))
            for start, end in zip(starts, ends, strict=True)
        ]
    return [window for window in found if any(label != -100 for _, label, *_ in window)]


@pytest.mark.parametrize("with_targets", [True, False])
@pytest.mark.parametrize("kind", [list, Histories.from_rows, Dataset.from_list])
def test_a_request_comes_with_the_next_event_or_the_target(kind, with_targets):
    rows = make_rows([3, 1, 5], with_targets=with_targets)
    events, _ = as_histories(kind(rows), TOLD).compact(TOLD)
    expected = [time_asked(row, place) for row in rows for place in range(len(row["input_ids"]))]
    assert events["request_times"].tolist() == expected
    assert events["timestamps"].tolist() == [time for row in rows for time in row["timestamps"]]


def test_rows_that_share_events_have_their_own_requests():
    times = np.array([START, START + 5, START + 9])
    views = Histories(
        {"input_ids": np.array([3, 4, 5]), "timestamps": times},
        np.array([0, 0, 1, 3]),
        np.array([1, 2, 2, 0]),
        {"target_timestamp": np.array([START + 5, START + 9, START + 70, START])},
    )
    events, _ = views.compact(TOLD)
    assert (events["request_times"] - START).tolist() == [5, 5, 9, 9, 70]


def test_times_are_required_by_name():
    rows = [{"input_ids": [3, 4]}]
    for columns in (NOT_TOLD, TOLD):
        with pytest.raises(InputError, match="no timestamps"):
            as_histories(rows, columns)


@pytest.mark.parametrize("packing", [True, False])
@pytest.mark.parametrize("columns", [NOT_TOLD, TOLD])
def test_every_label_is_asked_for_at_its_own_time(columns, packing):
    rows = make_rows([7, 30, 2, 1, 14])
    when = {(row["timestamps"][place], item) for row in rows for place, item in enumerate(row["input_ids"])}
    after = {(time, item) for row in rows for time, item in zip(row["timestamps"], row["input_ids"][1:], strict=False)}
    found = windows(NextItemCollator(TOKENIZER, 6, packing=packing, columns=columns)(rows))
    labelled = [event for window in found for event in window]
    assert len(labelled) == sum(len(row["input_ids"]) - 1 for row in rows)
    for item, label, time, *asked in labelled:
        assert (time, item) in when
        assert (time, label) in after
        assert [(moment, label) in when for moment in asked] == [True] * (len(columns) - 2)


def naive_told(window, before):
    """The times that a model is told of the events of a window, whose hidden items it must not date."""
    told, visible = [], [time for item, time in window if item != MASK]
    for place, (item, time) in enumerate(window):
        earlier = [other for hidden, other in window[:place] if hidden != MASK]
        if item != MASK:
            told.append(time)
        elif earlier:
            told.append(earlier[-1])
        elif before is not None:
            told.append(before)
        else:
            told.append(visible[0] if visible else window[0][1])
    return told


@pytest.mark.parametrize("packing", [True, False])
@pytest.mark.parametrize("masking_probability", [0.2, 0.9])
def test_the_time_of_a_hidden_event_is_told_only_to_a_model_that_knows_the_time_of_requests(
    masking_probability, packing
):
    rows = make_rows([7, 30, 2, 1, 14])
    chosen = {"masking_probability": masking_probability, "packing": packing, "seed": 3}
    not_told = windows(MaskedItemCollator(TOKENIZER, 6, columns=NOT_TOLD, **chosen)(rows))
    told = windows(MaskedItemCollator(TOKENIZER, 6, columns=TOLD, **chosen)(rows))
    assert len(told) == len(not_told) == 2 + 5 + 1 + 1 + 3
    for known, unknown in zip(told, not_told, strict=True):
        assert [event[:2] for event in known] == [event[:2] for event in unknown]
        times = [event[2] for event in known]
        row = next(row for row in rows if times[0] in row["timestamps"])
        first = row["timestamps"].index(times[0])
        assert row["timestamps"][first : first + len(times)] == times
        assert row["input_ids"][first : first + len(times)] == [
            item if label == -100 else label for item, label, *_ in known
        ]
        for place, (item, _, time, asked) in enumerate(known):
            assert asked == (time if item == MASK else time_asked(row, first + place))
        before = row["timestamps"][first - 1] if first else None
        events = [(item, time) for (item, *_), time in zip(known, times, strict=True)]
        assert [event[2] for event in unknown] == naive_told(events, before)


@pytest.mark.parametrize("columns", [NOT_TOLD, TOLD])
@pytest.mark.parametrize("lengths", [[3], [9], [9, 3, 5]])
def test_a_history_ends_with_its_request(columns, lengths):
    rows = make_rows(lengths)
    collate = HistoryCollator(6, columns)
    batch = collate(Histories.from_rows(rows))
    for index, row in enumerate(rows):
        alone, length = collate([row]), min(6, len(row["input_ids"]))
        assert set(alone) == {*columns, "seen_ids", "targets"}
        for name in columns:
            assert alone[name].dtype == torch.int64
            assert torch.equal(alone[name][0], batch[name][index, :length])
        first = len(row["input_ids"]) - length
        assert alone["timestamps"][0].tolist() == row["timestamps"][first:]
        if "request_times" in alone:
            expected = [time_asked(row, place) for place in range(first, len(row["input_ids"]))]
            assert alone["request_times"][0].tolist() == expected


def test_empty_histories_have_no_times():
    rows = [{"input_ids": [], "timestamps": [], "target_timestamp": START} for _ in range(2)]
    batch = HistoryCollator(6, TOLD)(Histories.from_rows(rows))
    assert batch["request_times"].shape == batch["input_ids"].shape

"""Batches for ranking and recommending: histories are truncated for the model, but seen items are complete."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqrec.errors import InputError
from seqrec.interactions.events import EVENT_COLUMNS, EventColumn
from seqrec.interactions.histories import Histories
from seqrec.interactions.history_collator import (
    HistoryCollator,
    batches_of_like_length,
    encoder_inputs,
    pad_items,
)


@pytest.fixture(scope="module", autouse=True)
def stars():
    EVENT_COLUMNS["stars"] = EventColumn("stars", dtype="float32", fill=-1)
    yield
    del EVENT_COLUMNS["stars"]


def test_histories_are_cut_for_the_model_but_kept_whole_as_seen():
    batch = HistoryCollator(3)([{"input_ids": [3, 4, 5, 6], "target": 7}, {"input_ids": [8], "target": 9}])
    assert batch["input_ids"].tolist() == [[4, 5, 6], [8, 0, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch["seen_ids"].tolist() == [[3, 4, 5, 6], [8, 0, 0, 0]]
    assert torch.equal(batch["targets"], torch.tensor([7, 9]))


def naive(lists, fill, dtype):
    width = max(1, *map(len, lists))
    return torch.tensor([[*values, *[fill] * (width - len(values))] for values in lists], dtype=dtype)


histories_strategy = st.lists(st.lists(st.integers(2, 62), max_size=9), min_size=1, max_size=6)


@given(histories_strategy, st.integers(1, 10), st.booleans())
def test_batches_are_those_laid_out_row_by_row(lists, max_length, has_targets):
    ratings = [[item / 2 for item in items] for items in lists]
    targets = {"target": np.arange(len(lists), dtype=np.int32)} if has_targets else None
    histories = Histories.from_lists({"input_ids": lists, "stars": ratings}, targets)
    batch = HistoryCollator(max_length, ("input_ids", "stars"))(histories)

    newest = [items[-max_length:] for items in lists]
    expected = {
        "input_ids": naive(newest, 0, torch.int64),
        "stars": naive([values[-max_length:] for values in ratings], -1, torch.float32),
        "seen_ids": naive(lists, 0, torch.int64),
    }
    if len(set(map(len, newest))) > 1:
        expected["attention_mask"] = naive([[1] * len(items) for items in newest], 0, torch.int64)
    if has_targets:
        expected["targets"] = torch.arange(len(lists))
    torch.testing.assert_close(batch, expected, rtol=0, atol=0)
    assert batch.keys() - encoder_inputs(batch).keys() == expected.keys() & {"seen_ids", "targets"}

    from_rows = HistoryCollator(max_length, ("input_ids", "stars"))(list(histories))
    torch.testing.assert_close(from_rows, expected, rtol=0, atol=0)


@given(st.lists(st.integers(2, 62), min_size=1, max_size=9), st.integers(1, 10))
def test_a_single_history_is_collated_as_in_a_batch(items, max_length):
    times = np.arange(len(items)) / 2
    one = Histories.from_lists({"input_ids": [np.array(items, dtype=np.int32)], "stars": [times]})
    view = Histories(
        {name: np.concatenate([[7], values, [8]]) for name, values in one.columns.items()},
        starts_R=np.array([1]),
        lengths_R=np.array([len(items)]),
    )
    collate = HistoryCollator(max_length, ("input_ids", "stars"))
    expected = collate.collate(one)
    for histories in (one, view):
        torch.testing.assert_close(collate.collate_single(histories), expected, rtol=0, atol=0)
    collate(one)["input_ids"].zero_()  # a batch is the caller's own
    assert one.columns["input_ids"].tolist() == items


def test_an_empty_history_is_one_padded_event():
    batch = HistoryCollator(3)([{"input_ids": []}])
    assert {name: tensor.tolist() for name, tensor in batch.items()} == {"input_ids": [[0]], "seen_ids": [[0]]}


def test_items_are_padded_for_lists_of_any_length():
    padded = pad_items(Histories.from_lists({"input_ids": [[3, 4], [], [5]]}))
    assert padded.tolist() == [[3, 4], [0, 0], [5, 0]]
    assert pad_items(Histories.from_lists({"input_ids": [[], []]})).tolist() == [[0], [0]]


def test_a_column_that_rows_lack_is_named():
    with pytest.raises(InputError, match="no stars; their columns are input_ids"):
        HistoryCollator(3, ("input_ids", "stars"))([{"input_ids": [3]}])
    with pytest.raises(InputError, match="No event column 'device' is registered"):
        HistoryCollator(3, ("device",))([{"device": [3]}])


@given(st.lists(st.integers(0, 30), max_size=40), st.integers(1, 8), st.integers(1, 60))
def test_batches_of_like_length_hold_each_row_once_the_longest_first(lengths, max_rows, max_tokens):
    batches = list(batches_of_like_length(np.array(lengths, dtype=np.int64), max_rows, max_tokens))
    order = [int(row) for batch in batches for row in batch]
    assert sorted(order) == list(range(len(lengths)))
    assert [lengths[row] for row in order] == sorted(lengths, reverse=True)
    for batch in batches:
        assert len(batch) == 1 or len(batch) * lengths[batch[0]] <= max_tokens
        assert len(batch) <= max_rows

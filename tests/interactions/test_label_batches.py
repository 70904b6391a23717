"""The labels of a batch are those of the items to predict, whether histories are cut, packed or padded."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st

from seqrec.interactions.collators import MaskedItemCollator, NextItemCollator
from seqrec.interactions.events import EVENT_COLUMNS
from seqrec.interactions.histories import Histories
from seqrec.interactions.history_collator import HistoryCollator
from seqrec.interactions.label_columns import register_label_columns
from seqrec.interactions.tokenization_items import ItemTokenizer

TOKENIZER = ItemTokenizer.from_item_ids(range(60))
MASK, UNK = TOKENIZER.mask_token_id, TOKENIZER.unk_token_id


@pytest.fixture(scope="module", autouse=True)
def registered():
    before = {name: EVENT_COLUMNS.pop(name) for name in ("rating", "like") if name in EVENT_COLUMNS}
    register_label_columns(["rating", "like"])
    yield
    for name in ("rating", "like"):
        del EVENT_COLUMNS[name]
    EVENT_COLUMNS.update(before)


@st.composite
def histories(draw):
    """Rows with items, the unknown one among them, whose ratings differ everywhere, some missing."""
    rows, number = [], 0
    for length in draw(st.lists(st.integers(0, 25), min_size=1, max_size=8)):
        items = draw(st.lists(st.sampled_from([UNK, *range(3, 63)]), min_size=length, max_size=length))
        has_rating = draw(st.lists(st.booleans(), min_size=length, max_size=length))
        ratings = [number + place if has else None for place, has in enumerate(has_rating)]
        likes = [None if rating is None else rating % 2 for rating in ratings]
        rows.append({"input_ids": items, "rating": ratings, "like": likes})
        number += length
    return rows


def nan(value):
    return math.nan if value is None else float(value)


def naive_windows(rows, max_length, overlap):
    """Windows of events, from the newest of each row, as lists of (item, rating, like)."""
    for row in rows:
        events = list(zip(row["input_ids"], map(nan, row["rating"]), map(nan, row["like"]), strict=True))
        while len(events) > overlap:
            yield events[-max_length - overlap :]
            events = events[:-max_length]


def batch_windows(batch, names):
    """Windows of a batch, without filler, as lists of tuples of the named tensors."""
    for row in range(len(batch["labels"])):
        if "attention_mask" in batch:
            starts, end = [0], int(batch["attention_mask"][row].sum())
        else:
            starts, end = (batch["position_ids"][row] == 0).nonzero()[:, 0].tolist(), len(batch["labels"][row])
        for start, stop in zip(starts, [*starts[1:], end], strict=True):
            window = list(zip(*(batch[name][row, start:stop].tolist() for name in names), strict=True))
            if window and window[0][0] != 0:  # filler holds padding
                yield window


def in_order(windows):
    return sorted([*map(repr, window)] for window in windows)


def outcome(event):
    """What is to be predicted of an event: nothing if its item is unknown."""
    return (-100, math.nan, math.nan) if event[0] == UNK else event


@given(histories(), st.integers(1, 12), st.booleans())
def test_a_label_is_that_of_the_next_event(rows, max_length, packing):
    names = ("input_ids", "rating", "labels", "rating_labels", "like_labels")
    collate = NextItemCollator(
        TOKENIZER, max_length, packing=packing, columns=names[:2], label_columns=("rating", "like")
    )
    expected = [
        [(item, rating, *outcome(following)) for (item, rating, _), following in pairwise(window)]
        for window in naive_windows(rows, max_length, overlap=1)
    ]
    assert in_order(batch_windows(collate(rows), names)) == in_order(expected)


@given(histories(), st.integers(1, 12), st.booleans())
def test_a_masked_label_is_that_of_the_hidden_event(rows, max_length, packing):
    names = ("input_ids", "rating", "labels", "rating_labels", "like_labels")
    collate = MaskedItemCollator(
        TOKENIZER, max_length, packing=packing, seed=0, columns=names[:2], label_columns=("rating", "like")
    )
    found = [*batch_windows(collate(rows), names)]
    expected = [*naive_windows(rows, max_length, overlap=0)]
    uncovered = []
    for window in found:
        uncovered.append([])
        for item, rating, label, rating_label, like_label in window:
            if item == MASK:
                assert label >= 3
                assert math.isnan(rating)
                uncovered[-1].append((label, rating_label, like_label))
            else:
                assert label == -100
                assert math.isnan(rating_label)
                assert math.isnan(like_label)
                uncovered[-1].append((item, rating))
    likes = {rating: like for window in expected for _, rating, like in window}
    whole = [[(*event, likes.get(event[1], math.nan))[:3] for event in window] for window in uncovered]
    assert in_order(whole) == in_order(expected)


@given(histories(), st.integers(1, 12), st.booleans(), st.booleans())
def test_the_rest_of_a_batch_does_not_depend_on_labels(rows, max_length, packing, masked):
    make = MaskedItemCollator if masked else NextItemCollator
    options = {"seed": 0} if masked else {}
    plain = make(TOKENIZER, max_length, packing=packing, **options)(rows)
    batch = make(TOKENIZER, max_length, packing=packing, label_columns=["rating"], **options)(rows)
    assert batch.pop("rating_labels").dtype == torch.float32
    torch.testing.assert_close(batch, plain, rtol=0, atol=0)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("packing", [False, True])
def test_histories_and_data_sets_give_the_batch_of_their_rows(masked, packing):
    rows = [
        {"input_ids": [3, 4, 5, 6], "rating": [1.0, None, 3.0, 4.0]},
        {"input_ids": [7, 8, 9], "rating": [None, None, None]},
    ]
    make = MaskedItemCollator if masked else NextItemCollator
    collate = make(TOKENIZER, 2, packing=packing, label_columns=["rating"], **({"seed": 0} if masked else {}))
    batch = collate(rows)
    for made in (Histories.from_rows(rows), Histories.from_dataset(Dataset.from_list(rows))):
        torch.testing.assert_close(collate(made), batch, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("packing", [False, True])
def test_a_batch_without_windows_has_no_label(packing):
    collate = NextItemCollator(TOKENIZER, packing=packing, columns=["input_ids", "rating"], label_columns=["rating"])
    batch = collate([{"input_ids": [3], "rating": [5]}])
    assert batch["rating_labels"].isnan().all()
    assert batch["rating"].isnan().all()
    assert batch["rating_labels"].shape == batch["labels"].shape == (1, 1)


def test_a_request_reads_past_labels_with_nan_as_padding():
    rows = [{"input_ids": [3, 4, 5], "rating": [5, None, 2]}, {"input_ids": [6], "rating": [1]}]
    batch = HistoryCollator(2, ("input_ids", "rating"))(rows)
    expected = np.array([[np.nan, 2], [1, np.nan]], dtype=np.float32)
    np.testing.assert_array_equal(batch["rating"].numpy(), expected)

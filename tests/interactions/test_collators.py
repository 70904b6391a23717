"""Collators lose and repeat no item, and align labels."""

from collections import Counter
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqrec.interactions.batch_layout import best_fit
from seqrec.interactions.collators import MaskedItemCollator, NextItemCollator
from seqrec.interactions.events import EVENT_COLUMNS, EventColumn
from seqrec.interactions.histories import Histories
from seqrec.interactions.tokenization_items import ItemTokenizer


@pytest.fixture(scope="module", autouse=True)
def stars():
    EVENT_COLUMNS["stars"] = EventColumn("stars", dtype="float32", fill=-1)
    yield
    del EVENT_COLUMNS["stars"]


TOKENIZER = ItemTokenizer.from_item_ids(range(60))
rows_strategy = st.lists(
    st.lists(st.integers(3, 62), max_size=25).map(lambda ids: {"input_ids": ids}), min_size=1, max_size=12
)


def transitions(batch):
    """Count the (input, label) pairs of a batch."""
    labelled = batch["labels"] != -100
    return Counter(zip(batch["input_ids"][labelled].tolist(), batch["labels"][labelled].tolist(), strict=True))


@given(rows_strategy, st.integers(1, 30), st.booleans())
def test_every_transition_is_seen_exactly_once(rows, max_length, packing):
    batch = NextItemCollator(TOKENIZER, max_length, packing=packing)(rows)
    expected = Counter(pair for row in rows for pair in zip(row["input_ids"], row["input_ids"][1:], strict=False))
    assert transitions(batch) == expected
    assert batch["input_ids"].shape[1] <= max_length


@given(rows_strategy, st.integers(1, 30))
def test_packed_positions_restart_with_each_window(rows, max_length):
    batch = NextItemCollator(TOKENIZER, max_length)(rows)
    for ids, positions, labels in zip(batch["input_ids"], batch["position_ids"], batch["labels"], strict=True):
        for column in range(1, len(ids)):
            if positions[column] != 0:
                assert positions[column] == positions[column - 1] + 1
                assert ids[column] == labels[column - 1]  # within a window, the next input is the label


@given(rows_strategy, st.integers(1, 30), st.booleans(), st.booleans())
def test_every_column_is_laid_out_as_the_items_are(rows, max_length, packing, masked):
    """A column that repeats the items is laid out as they are, but for what hides them, and its own fill."""
    rows = [row | {"stars": [item / 2 for item in row["input_ids"]]} for row in rows]
    make = partial(MaskedItemCollator, seed=0) if masked else NextItemCollator
    collate = make(TOKENIZER, max_length, packing=packing, columns=("input_ids", "stars"))
    batch = collate(rows)
    alone = make(TOKENIZER, max_length, packing=packing)(rows)
    assert {name: tensor.tolist() for name, tensor in batch.items() if name != "stars"} == {
        name: tensor.tolist() for name, tensor in alone.items()
    }
    ids = uncovered(batch)[0] if masked else batch["input_ids"]
    assert batch["stars"].dtype == torch.float32
    assert torch.equal(batch["stars"], torch.where(ids == 0, -1, ids / 2))


@given(rows_strategy, st.integers(1, 30), st.booleans(), st.booleans())
def test_views_on_a_shared_log_are_collated_as_rows_are(rows, max_length, packing, masked):
    make = partial(MaskedItemCollator, seed=0) if masked else NextItemCollator
    collate = make(TOKENIZER, max_length, packing=packing)
    histories = Histories.from_rows(rows)
    order = np.arange(len(rows)) // 2  # some twice
    batch = collate(histories.select(order))
    torch.testing.assert_close(batch, collate([rows[row] for row in order]), rtol=0, atol=0)


def test_packing_example():
    batch = NextItemCollator(TOKENIZER, 4)([{"input_ids": [3, 4, 5]}, {"input_ids": range(10, 17)}])
    assert batch["input_ids"].tolist() == [[12, 13, 14, 15], [3, 4, 10, 11]]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 3], [0, 1, 0, 1]]
    assert batch["labels"].tolist() == [[13, 14, 15, 16], [4, 5, 11, 12]]


def test_padding_example():
    batch = NextItemCollator(TOKENIZER, 4, packing=False)([{"input_ids": [3, 4, 5]}, {"input_ids": [7, 8]}])
    assert batch["input_ids"].tolist() == [[3, 4], [7, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1], [1, 0]]
    assert batch["labels"].tolist() == [[4, 5], [8, -100]]


def test_unknown_items_are_read_but_never_predicted():
    batch = NextItemCollator(TOKENIZER, 4)([{"input_ids": [5, 2, 6]}])
    assert batch["input_ids"].tolist() == [[5, 2]]
    assert batch["labels"].tolist() == [[-100, 6]]


@pytest.mark.parametrize("packing", [True, False])
def test_a_batch_with_nothing_to_predict_has_no_labels(packing):
    batch = NextItemCollator(TOKENIZER, 4, packing=packing)([{"input_ids": [5]}, {"input_ids": []}])
    assert (batch["labels"] == -100).all()


@given(st.lists(st.integers(1, 20), max_size=40))
def test_best_fit_overlaps_nothing(lengths):
    rows, columns, num_rows = best_fit(np.array(lengths, dtype=np.int64), 20)
    cells = [(row, column + step) for row, column, n in zip(rows, columns, lengths, strict=True) for step in range(n)]
    assert len(set(cells)) == len(cells)
    assert all(row < num_rows and column < 20 for row, column in cells)
    assert num_rows <= max(1, 2 * -(-sum(lengths) // 20))


def test_packing_wastes_little():
    lengths = np.random.default_rng(0).geometric(0.02, size=64)
    batch = NextItemCollator(TOKENIZER, 200)([{"input_ids": np.full(n + 1, 5)} for n in lengths])
    assert (batch["labels"] != -100).float().mean() > 0.9


def uncovered(batch):
    """Each window's items, with what was hidden put back, and which of them were."""
    hidden = batch["labels"] != -100
    ids = torch.where(hidden, batch["labels"], batch["input_ids"])
    assert (batch["input_ids"][hidden] == TOKENIZER.mask_token_id).all()
    return ids, hidden


@given(rows_strategy, st.integers(2, 30), st.booleans())
def test_masking_reads_every_item_once_and_hides_some_of_each_window(rows, max_length, packing):
    batch = MaskedItemCollator(TOKENIZER, max_length, packing=packing)(rows)
    ids, hidden = uncovered(batch)
    assert Counter(ids[ids != 0].tolist()) == Counter(item for row in rows for item in row["input_ids"])
    num_windows = sum(-(-len(row["input_ids"]) // max_length) for row in rows)
    assert hidden.sum() >= num_windows
    assert ids.shape[1] <= max_length


def test_masking_hides_the_share_asked_for():
    torch.manual_seed(0)
    rows = [{"input_ids": np.full(100, 5)} for _ in range(300)]
    _, hidden = uncovered(MaskedItemCollator(TOKENIZER, 100, masking_probability=0.3, last_item_share=0.0)(rows))
    assert hidden.float().mean() == pytest.approx(0.3, abs=0.01)


def test_a_share_of_windows_hides_only_the_last_item():
    torch.manual_seed(0)
    rows = [{"input_ids": np.arange(3, 53)} for _ in range(400)]
    batch = MaskedItemCollator(TOKENIZER, 50, masking_probability=0.9, last_item_share=0.25, packing=False)(rows)
    _, hidden = uncovered(batch)
    only_last = hidden.sum(dim=1) == 1
    assert only_last.float().mean() == pytest.approx(0.25, abs=0.07)
    assert hidden[only_last, -1].all()


def test_unknown_items_are_never_hidden():
    batch = MaskedItemCollator(TOKENIZER, 4, masking_probability=0.99)([{"input_ids": [2, 2, 6]}] * 20)
    assert (batch["labels"][batch["labels"] != -100] == 6).all()

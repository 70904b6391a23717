"""Histories hold the same rows as plain lists, whatever their source and however selected."""

import pickle

import numpy as np
import pyarrow as pa
import pytest
import torch
from datasets import Dataset, concatenate_datasets
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from seqrec.errors import InputError
from seqrec.interactions import histories as histories_module
from seqrec.interactions.events import EVENT_COLUMNS
from seqrec.interactions.histories import Histories, as_histories

LISTS = [[3, 4, 5], [], [6], [7, 8], [9, 10, 11, 12]]
TIMES = [[time / 2 for time in items] for items in LISTS]
TARGETS = [20, 21, 22, 23, 24]


def plain():
    return Dataset.from_dict({"input_ids": LISTS, "timestamps": TIMES, "target": TARGETS, "user_id": list("abcde")})


def rows_of(histories):
    return [
        {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in row.items()}
        for row in histories
    ]


@st.composite
def views(draw):
    """Flat columns and overlapping rows of them."""
    num_events = draw(st.integers(0, 12))
    bounds = st.tuples(st.integers(0, num_events), st.integers(0, num_events)).map(sorted)
    rows = draw(st.lists(bounds, max_size=8))
    starts = np.array([start for start, _ in rows], dtype=np.int64)
    lengths = np.array([end - start for start, end in rows], dtype=np.int64)
    columns = {"input_ids": np.arange(3, 3 + num_events, dtype=np.int32), "timestamps": np.arange(num_events) / 2}
    return Histories(columns, starts, lengths, {"target": np.arange(len(rows))})


DATASETS = {
    "plain": plain(),
    "selected": plain().select([4, 2, 2, 0]),
    "slice": plain().select(range(1, 4)),
    "shard": plain().shard(2, 1),
    "chunks": concatenate_datasets([plain(), plain().select(range(2)), plain()]),
    "sliced chunks": concatenate_datasets([plain(), plain()]).select(range(2, 8)),
    "formatted": plain().with_format("numpy"),
    "empty": plain().select([]),
    "large lists": Dataset(plain().data.table.cast(
        pa.schema([("input_ids", pa.large_list(pa.int32())), ("timestamps", pa.large_list(pa.float64())),
                   ("target", pa.int32()), ("user_id", pa.string())]))),
    "nothing": Dataset.from_dict({"input_ids": [], "timestamps": []}),
    "only empty lists": Dataset.from_dict({"input_ids": [[], []], "target": [7, 8]}),
    "fixed lists": Dataset(pa.table({"input_ids": pa.array([[3, 4], [5, 6]], type=pa.list_(pa.int64(), 2))})),
}  # fmt: skip


@pytest.mark.parametrize("dataset", DATASETS.values(), ids=DATASETS.keys())
def test_rows_are_those_of_the_data_set(dataset):
    expected = list(dataset.with_format(None))
    histories = as_histories(dataset)
    assert len(histories) == len(expected)
    assert histories.column_names == dataset.column_names
    assert rows_of(histories) == expected
    assert histories.lengths_R.tolist() == [len(row["input_ids"]) for row in expected]
    assert rows_of(histories.to_dataset().with_format(None)) == expected
    assert rows_of(Histories.from_rows(expected, dataset.column_names)) == expected
    if len(expected):
        index = np.random.default_rng(0).integers(0, len(expected), size=7)
        assert rows_of(histories.__getitems__(index.tolist())) == [expected[row] for row in index]


def test_only_the_columns_asked_for_are_read():
    histories = as_histories(plain(), ["input_ids", "target"])
    assert histories.column_names == ["input_ids", "target"]
    assert histories["target"].tolist() == TARGETS
    assert [ids.tolist() for ids in histories["input_ids"]] == LISTS


def test_one_chunk_of_arrow_is_not_copied():
    dataset = plain()
    column = dataset.data.table["input_ids"].chunk(0)
    flat = as_histories(dataset, ["input_ids"]).columns["input_ids"]
    assert flat.ctypes.data == column.values.to_numpy().ctypes.data


@given(views(), st.data())
def test_selecting_shortening_and_keeping_are_as_with_lists(histories, data):
    rows = rows_of(histories)
    index = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=5)) if rows else []
    selected = histories.select(index)
    assert rows_of(selected) == [rows[number] for number in index]
    assert selected.columns["input_ids"] is histories.columns["input_ids"]
    assert rows_of(histories.select(slice(1, 3))) == rows[1:3]

    length = data.draw(st.integers(1, 4))
    newest = [{**row, **{name: row[name][-length:] for name in histories.columns}} for row in rows]
    assert rows_of(histories.newest(length)) == newest

    mask = np.array(data.draw(st.lists(st.booleans(), min_size=12, max_size=12)))
    kept = mask[: len(histories.columns["input_ids"])]
    events = [[place for place, item in enumerate(row["input_ids"]) if mask[item - 3]] for row in rows]
    expected = [
        {**row, **{name: [row[name][place] for place in places] for name in histories.columns}}
        for row, places in zip(rows, events, strict=True)
    ]
    assert rows_of(histories.keep(kept)) == expected


@given(views())
def test_compacting_is_concatenating(histories):
    flat, lengths = histories.compact()
    for name, values in flat.items():
        assert values.tolist() == [value for row in rows_of(histories) for value in row[name]]
        assert values.dtype == histories.columns[name].dtype
    assert lengths.tolist() == [len(row["input_ids"]) for row in rows_of(histories)]
    assert set(histories.compact(["timestamps"])[0]) == {"timestamps"}


@given(views(), st.integers(1, 5))
def test_overlapping_rows_become_a_data_set_of_several_chunks(histories, events_at_once):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(histories_module, "CHUNK_EVENTS", events_at_once)
        dataset = histories.to_dataset()
    assert list(dataset.with_format(None)) == rows_of(histories)
    assert dataset.features["input_ids"].feature.dtype == "int32"


def test_rows_that_follow_each_other_are_not_copied():
    histories = as_histories(plain())
    assert np.shares_memory(histories.compact(["input_ids"])[0]["input_ids"], histories.columns["input_ids"])
    part = histories.select([2, 3]).compact()[0]["input_ids"]
    assert part.tolist() == [6, 7, 8]
    assert np.shares_memory(part, histories.columns["input_ids"])


@pytest.mark.parametrize("make", [list, np.array, torch.tensor, tuple])
def test_rows_of_any_container_are_taken(make):
    rows = [{"input_ids": make([3, 4]), "target": 7}, {"input_ids": make([]), "target": 8}]
    histories = as_histories(rows)
    assert rows_of(histories) == [{"input_ids": [3, 4], "target": 7}, {"input_ids": [], "target": 8}]
    assert histories.columns["input_ids"].dtype.kind == "i"


def test_empty_lists_have_the_type_of_their_column():
    histories = Histories.from_lists({"input_ids": [[], []], "timestamps": [[], []]})
    assert histories.columns["input_ids"].dtype == np.int64
    assert histories.columns["timestamps"].dtype == EVENT_COLUMNS["timestamps"].dtype
    assert histories.lengths_R.tolist() == [0, 0]


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_loader_hands_batches_to_the_collator_as_histories(num_workers):
    loader = DataLoader(as_histories(plain()), 2, collate_fn=rows_of_histories, num_workers=num_workers)
    assert [row for batch in loader for row in batch] == list(plain())


def rows_of_histories(batch):
    assert type(batch) is Histories
    return rows_of(batch)


def test_histories_can_be_pickled():
    assert rows_of(pickle.loads(pickle.dumps(as_histories(plain())))) == list(plain())


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (plain(), "have no device; their columns are input_ids, timestamps, target, user_id"),
        (as_histories(plain()), "have no device; their columns are"),
        ([{"input_ids": [3]}], "have no device and no target; their columns are input_ids"),
        (5, "not int"),
        (plain().to_iterable_dataset(), "not IterableDataset"),
    ],
)
def test_missing_columns_and_other_kinds_are_refused(rows, message):
    with pytest.raises(InputError, match=message):
        as_histories(rows, ["input_ids", "device", "target"])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"input_ids": [[3], [4, 5]], "timestamps": [[1], [2]]}, "Row 1 has 2 input_ids, but 1 timestamps"),
        ({"input_ids": [[3], [4, None]]}, "input_ids has 1 nulls"),
        ({"input_ids": [[3], None]}, "input_ids has 1 nulls"),
        ({"input_ids": [[[3]], [[4]]]}, "one number per event"),
        ({"input_ids": [["3"], ["4"]]}, "holds list<.*string>, but histories hold one number per event"),
        ({"target": [1, 2]}, "at least one event column"),
    ],
)
def test_histories_that_do_not_fit_are_refused(columns, message):
    with pytest.raises(InputError, match=message):
        as_histories(Dataset.from_dict(columns), list(columns))


def test_a_column_of_rows_has_one_value_for_each():
    for targets in ([7], [7, 8, 9], [[7], [8]]):
        with pytest.raises(InputError, match="There are 2 histories, but target has the shape"):
            Histories.from_lists({"input_ids": [[3], [4]]}, {"target": targets})
    with pytest.raises(InputError, match="There are 2 rows of input_ids, but 1 of timestamps"):
        Histories.from_lists({"input_ids": [[3], [4]], "timestamps": [[1]]})


def test_lists_of_text_are_left_out_unless_asked_for():
    dataset = Dataset.from_dict({"input_ids": LISTS, "words": [["a"]] * 5})
    assert as_histories(dataset).column_names == ["input_ids"]


@given(views(), st.integers(1, 6))
def test_parts_hold_all_rows_and_few_events(histories, max_events):
    parts = list(histories.parts(max_events))
    assert [row for part in parts for row in rows_of(part)] == rows_of(histories)
    assert all(len(part) == 1 or part.lengths_R.sum() <= max_events for part in parts)


@given(views())
def test_what_rows_hold_is_each_event_once(histories):
    held = {item for row in rows_of(histories) for item in row["input_ids"]}
    assert histories.held("input_ids").tolist() == sorted(held)


@given(st.data())
def test_events_of_overlapping_rows_are_held_once(data):
    num_events = data.draw(st.integers(0, 30))
    places = st.tuples(st.integers(0, num_events), st.integers(0, num_events)).map(sorted)
    spans = data.draw(st.lists(places, max_size=6))
    starts, stops = (np.array([span[side] for span in spans], dtype=np.int64) for side in (0, 1))
    histories = Histories({"input_ids": np.arange(num_events)}, starts, stops - starts)
    expected = sorted({place for start, stop in spans for place in range(start, stop)})
    assert histories.held("input_ids").tolist() == expected

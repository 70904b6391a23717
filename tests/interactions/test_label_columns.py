"""Label columns hold numbers, or 0 and 1, or nothing."""

import math

import numpy as np
import pandas as pd
import polars as pl
import pytest
from datasets import Dataset

from seqrec.errors import InputError
from seqrec.interactions.events import EVENT_COLUMNS, EventColumn, event_column
from seqrec.interactions.histories import Histories, as_histories
from seqrec.interactions.label_columns import BinaryColumn, LabelColumn, is_label, register_label_columns


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    for name in ("rating", "like", "device"):
        monkeypatch.delitem(EVENT_COLUMNS, name, raising=False)
    register_label_columns(["rating", "like"])
    yield
    for name in ("rating", "like"):
        del EVENT_COLUMNS[name]


def same(found, expected):
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.array(expected, dtype=np.float32))


@pytest.mark.parametrize(
    "values",
    [
        [5, None, 3.5, math.nan],
        (5, None, 3.5, None),
        pl.Series([5, None, 3.5, math.nan], strict=False),
        pd.Series([5, None, 3.5, None]),
        pd.Series([5, None, 3.5, None], dtype="Float64"),
        np.array([5, np.nan, 3.5, np.nan]),
        np.array([5, None, 3.5, pd.NA], dtype=object),
    ],
)
def test_missing_ratings_are_nan(values):
    same(LabelColumn("rating").encode(values), [5, np.nan, 3.5, np.nan])


@pytest.mark.parametrize(
    "values",
    [[True, None, 0], pl.Series([True, None, False]), pl.Series([1, None, 0]), pd.Series([1, None, 0], dtype="Int64")],
)
def test_binary_labels_may_be_bools(values):
    same(BinaryColumn("like").encode(values), [1, np.nan, 0])


@pytest.mark.parametrize("values", [[], pl.Series([], dtype=pl.Null), pl.Series([None, None]), [None, None]])
def test_there_may_be_no_label(values):
    same(BinaryColumn("like").encode(values), [np.nan] * len(values))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1, "good", 2], r"rating must hold numbers .*, but 1 of 3 values are others, such as 'good'"),
        (pl.Series(["4", "5", None]), r"2 of 3 values are others, such as '4'"),
        ([1, math.inf], r"rating must hold finite numbers .*, but 1 of 2 values are others, such as inf"),
        ([1e300], r"finite numbers"),
        ([[1], [2, 3]], r"rating must hold numbers"),
    ],
)
def test_other_values_are_shown_and_counted(values, message):
    values = values if isinstance(values, pl.Series) else np.array(values, dtype=object)
    with pytest.raises(InputError, match=message):
        LabelColumn("rating").encode(values)


def test_other_values_than_0_and_1_are_shown_and_counted():
    message = r"like must hold 0 and 1 .*, but 3 of 6 values are others, such as 4 \(2 times\).*'positive=like>=4'"
    with pytest.raises(InputError, match=message):
        BinaryColumn("like").encode([0, 1, None, 4, 4, 5])


def test_registering_again_changes_nothing():
    before = event_column("rating"), event_column("like")
    register_label_columns(["rating", "like"])
    assert event_column("rating") is before[0]
    assert event_column("like") is before[1]
    assert type(before[0]) is LabelColumn
    assert type(before[1]) is BinaryColumn
    assert [name for name in ("rating", "input_ids", "unheard_of") if is_label(name)] == ["rating"]


@pytest.mark.parametrize("name", ["two words", "labels", "user_id", "target", "timestamps", "device"])
def test_names_of_other_columns_cannot_be_tasks(name, monkeypatch):
    monkeypatch.setitem(EVENT_COLUMNS, "device", EventColumn("device"))
    with pytest.raises(InputError):
        register_label_columns([name])


ROWS = [
    {"input_ids": [3, 4, 5], "rating": [5, None, 2.5], "like": [True, None, False], "target": 6, "target_rating": None},
    {"input_ids": [4], "rating": [None], "like": [None], "target": 3, "target_rating": 1.0},
]


@pytest.mark.parametrize("make", [Histories.from_rows, Dataset.from_list, list])
def test_rows_and_data_sets_may_lack_labels(make):
    histories = as_histories(make(ROWS), ["input_ids", "rating", "like", "target", "target_rating"])
    same(histories.columns["rating"], [5, np.nan, 2.5, np.nan])
    same(histories.columns["like"], [1, np.nan, 0, np.nan])
    same(histories.rows["target_rating"], [np.nan, 1])


def test_a_data_set_returns_the_labels():
    histories = Histories.from_rows(ROWS)
    again = Histories.from_dataset(histories.to_dataset())
    for name in ("rating", "like"):
        same(again.columns[name], histories.columns[name])
    same(again.rows["target_rating"], histories.rows["target_rating"])


def test_a_data_set_with_other_labels_is_refused():
    with pytest.raises(InputError, match="like must hold 0 and 1"):
        as_histories(Dataset.from_list([{"input_ids": [3], "like": [2]}]), ["input_ids", "like"])
    with pytest.raises(InputError, match="nulls"):
        as_histories(Dataset.from_list([{"input_ids": [3], "like": None}, {"input_ids": [3], "like": [1]}]))

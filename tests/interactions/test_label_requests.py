"""In requests, labels of past events may be left out."""

import numpy as np
import polars as pl
import pytest

from seqrec.errors import InputError
from seqrec.inference.user_tables import read_user_table
from seqrec.interactions.events import EVENT_COLUMNS
from seqrec.interactions.label_columns import register_label_columns
from seqrec.interactions.request_reading import read_requests
from seqrec.interactions.tokenization_items import ItemTokenizer

TOKENIZER = ItemTokenizer.from_item_ids([f"item {index}" for index in range(40)])
HISTORY = ["item 5", "item 9", "item 7"]
READ = ("input_ids", "rating", "like")
NOTHING = [np.nan] * 3


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    for name in ("rating", "like"):
        monkeypatch.delitem(EVENT_COLUMNS, name, raising=False)
    register_label_columns(["rating", "like"])
    yield
    for name in ("rating", "like"):
        del EVENT_COLUMNS[name]


def labels_of(history, **options):
    found = read_requests(history, TOKENIZER.look_up, wanted_columns=READ, **options).histories
    assert {found.columns[name].dtype for name in ("rating", "like")} == {np.dtype("float32")}
    return [[values.tolist() for values in found[name]] for name in ("rating", "like")]


@pytest.mark.parametrize(
    ("columns", "ratings", "likes"),
    [
        ({}, NOTHING, NOTHING),
        ({"rating": None}, NOTHING, NOTHING),
        ({"rating": [5, None, 3]}, [5, np.nan, 3], NOTHING),
        ({"rating": (5, None, 3), "like": [True, None, 0]}, [5, np.nan, 3], [1, np.nan, 0]),
        ({"rating": np.array([5, np.nan, 3.0])}, [5, np.nan, 3], NOTHING),
        ({"rating": pl.Series([5.0, None, 3.0])}, [5, np.nan, 3], NOTHING),
        ({"rating": iter([5, None, 3.0])}, [5, np.nan, 3], NOTHING),
    ],
)
def test_a_history_may_have_labels(columns, ratings, likes):
    np.testing.assert_array_equal(labels_of(HISTORY, columns=columns), [[ratings], [likes]])


def test_each_of_several_histories_has_its_own():
    found = labels_of([HISTORY, ["item 1"], []], columns={"rating": [[1, None, 2], [4], []]})
    assert str(found) == str([[[1.0, np.nan, 2.0], [4.0], []], [NOTHING, [np.nan], []]])


def test_labels_follow_their_items():
    with pytest.warns(UserWarning, match="1 of 4 items"):
        ratings, _ = labels_of(["x", *HISTORY], columns={"rating": [1, 2, None, 3]})
    np.testing.assert_array_equal(ratings, [[2, np.nan, 3]])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"rating": [5, 3]}, "^rating has 2 values for a history of 3 items"),
        ({"rating": [5, 3, "good"]}, "^rating must hold numbers .*such as 'good'"),
        ({"like": [1, 2, 0]}, "^like must hold 0 and 1 "),
        ({"rating": 5}, "^rating must be a list of values"),
        ({"rating": [[1], [2, 3], [4]]}, "^rating must hold numbers"),
        ({"click": [1, 1, 1]}, "^The model does not read click: besides the items, this model reads rating, like"),
    ],
)
def test_other_values_are_refused(columns, message):
    with pytest.raises(InputError, match=message):
        labels_of(HISTORY, columns=columns)


FRAME = pl.DataFrame({"user_id": [7] * 3, "item_id": HISTORY, "timestamp": [1, 2, 3], "rating": [5, None, 3]})


@pytest.mark.parametrize(
    ("frame", "ratings", "likes"),
    [
        (FRAME, [5, np.nan, 3], NOTHING),
        (FRAME.drop("rating"), NOTHING, NOTHING),
        (FRAME.with_columns(like=pl.Series([True, False, None])), [5, np.nan, 3], [1, 0, np.nan]),
    ],
)
def test_a_frame_may_have_labels(frame, ratings, likes):
    histories = read_user_table(frame, TOKENIZER, event_columns=READ).histories
    np.testing.assert_array_equal([histories["rating"], histories["like"]], [[ratings], [likes]])


@pytest.mark.parametrize(
    ("protocol", "likes"),
    [
        ({"derive": ["like=rating>=4", "unread=rating>=4"]}, [1, np.nan, 0]),
        ({"derive": ["like=stars>=4"]}, NOTHING),
        ({"derive": ["like", 5]}, NOTHING),
        ({"derive": "like=rating>=4"}, NOTHING),
        ({}, NOTHING),
        (None, NOTHING),
    ],
)
def test_labels_of_a_frame_are_derived_as_in_training(protocol, likes):
    histories = read_user_table(FRAME, TOKENIZER, event_columns=READ, protocol=protocol).histories
    np.testing.assert_array_equal(histories["like"], [likes])
    own = FRAME.with_columns(like=pl.lit(0))
    assert (
        read_user_table(own, TOKENIZER, event_columns=READ, protocol=protocol).histories["like"][0].tolist() == [0] * 3
    )

"""Binary labels are derived from columns of numbers, and wrong conditions are pointed at."""

import math

import polars as pl
import pytest

from seqrec.errors import InputError
from seqrec.interactions.data_arguments import DataArguments
from seqrec.interactions.derived_labels import Derivation, derive_labels, parse_derivation
from seqrec.interactions.preparation import prepare

TABLE = pl.DataFrame(
    {"user_id": ["u"] * 5, "rating": [1.0, 4.0, None, 5.0, math.nan], "seen": [True, False] * 2 + [None]}
)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("rating>=4", [0, 1, None, 1, None]),
        ("rating>4", [0, 0, None, 1, None]),
        ("rating <= 4", [1, 1, None, 0, None]),
        ("rating<4.0", [1, 0, None, 0, None]),
        ("rating==4e0", [0, 1, None, 0, None]),
        ("seen==1", [1, 0, 1, 0, None]),
        (" rating > -2", [1, 1, None, 1, None]),
    ],
)
def test_missing_values_stay_missing(condition, expected):
    table = derive_labels(TABLE, [f"like={condition}"])
    assert table["like"].to_list() == expected
    assert table.drop("like").equals(TABLE)


def test_a_column_may_have_any_name():
    assert parse_derivation("like = watch time (s) >= 30") == Derivation("like", "watch time (s)", ">=", 30.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rating>=4", "is not a condition on a column.*NAME=COLUMN OP NUMBER"),
        ("like=rating", "is not a condition"),
        ("like", "is not a condition"),
        ("", "is not a condition"),
        (None, "is not a condition"),
        ("like=rating=>4", r"compares by '=>'. Use one of >=, <=, ==, >, <"),
        ("like=rating!=4", r"compares by '!='"),
        ("like=rating=4", r"compares by '='"),
        ("like=>=4", "not a condition|names no column"),
        ("like=rating>=high", "compares with 'high', which is not a number"),
        ("like=rating>=", "compares with '', which is not a number"),
        ("like=rating>=nan", "which is not a number"),
        ("like=1<rating<5", "is not a condition"),
        ("rating=rating>=4", "makes 'rating', which cannot be the name of a binary label"),
        ("item_id=rating>=4", "makes 'item_id'"),
        ("timestamps=rating>=4", "makes 'timestamps'"),
        ("two words=rating>=4", "makes 'two words'"),
        ("=rating>=4", "makes ''"),
    ],
)
def test_a_mistake_is_pointed_at(text, message):
    with pytest.raises(InputError, match=message):
        DataArguments(derive=[text])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("like=stars>=4", "from the column 'stars', but the table has only user_id, rating, seen"),
        ("like=user_id>=4", "from the column 'user_id', whose type is String"),
        ("seen=rating>=4", "makes a column 'seen', but the table already has one"),
    ],
)
def test_a_table_without_the_numbers_is_refused(text, message):
    with pytest.raises(InputError, match=message):
        derive_labels(TABLE, [text])


@pytest.mark.parametrize(
    ("derive", "expected"),
    [
        ({"like": "rating>=4", "bad": "rating<2"}, ["like=rating>=4", "bad=rating<2"]),
        ("like=rating>=4", ["like=rating>=4"]),
        (("like=rating>=4",), ["like=rating>=4"]),
        ([], None),
        (None, None),
    ],
)
def test_arguments_hold_a_list_of_texts(derive, expected):
    arguments = DataArguments(derive=derive)
    assert arguments.derive == expected
    assert arguments.protocol().get("derive") == expected


def test_a_name_is_given_once():
    with pytest.raises(InputError, match="derive makes 'like' twice"):
        DataArguments(derive=["like=rating>=4", "like=rating>=5"])
    with pytest.raises(InputError, match=r"derive is 5\. Map names to conditions"):
        DataArguments(derive=5)


def test_prepared_data_have_the_label():
    rows = [(f"u{user}", f"i{step}", step, step % 6) for user in range(9) for step in range(8)]
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp", "rating"], orient="row")
    data = prepare(DataArguments(derive={"like": "rating>=4"}), interactions=frame)
    assert data.protocol["derive"] == ["like=rating>=4"]

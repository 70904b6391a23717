"""Values of item features read from Python objects equal those read from tables."""

import json
import math
import warnings
from datetime import date, datetime

import numpy as np
import polars as pl
import pytest

from seqrec.errors import InputError
from seqrec.interactions.item_features import ItemFeatures
from seqrec.interactions.plain_features import plain_feature_values, read_feature_entries, require_some_feature

TRAINED = pl.DataFrame(
    {
        "item_id": ["a", "b", "c", "d"],
        "genres": ["War|Drama", "Comedy", "Drama", "War|Drama|Comedy"],
        "size": [7.0, 7.5, None, 10.0],
        "year": [1990, 2000, None, 1995],
        "day": [date(2020, 1, 1), date(2021, 5, 6), None, date(2022, 2, 2)],
        "look": [[1.0, 2.0], [0.5, -0.25], [3.0, 1.0], [0.1, 0.2]],
    }
)
FEATURES = ItemFeatures.fit(TRAINED, "genres,size:category,year,day,look:vector")
BLANK = {"genres": None, "size": None, "year": None, "day": None, "look": None}
VALUES = {
    "genres": ["Drama", " War | Polka ", ["Comedy", None, "War", "War"], "", [], None, "Polka", "War|Drama|Comedy|War"],
    "size": [7, 7.0, 7.5, "10", math.nan, None, "7.5", 3],
    "year": [1999, 1999.5, None, math.nan, "2001", " 2002 ", "", True],
    "day": [date(2023, 1, 1), datetime(2023, 1, 1, 12, 30, 0, 7), None, date(1969, 1, 1)],
    "look": [[1, 2], (0.1, 0.7), np.array([0.3, 0.4]), None, [], [math.nan, math.nan]],
}


def plain_values(entries, rows):
    columns = {name: [row[name] for row in rows] for name in BLANK}
    return plain_feature_values(entries, columns, [f"new {row}" for row in range(len(rows))])


@pytest.fixture(scope="module")
def entries():
    return read_feature_entries(FEATURES.to_json())


@pytest.mark.parametrize("name", VALUES)
def test_values_are_those_of_a_table(entries, name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for value in VALUES[name]:
            schema = {"genres": pl.String, "size": pl.String, "look": pl.List(pl.Float64)}
            row = {**BLANK, name: value.tolist() if isinstance(value, np.ndarray) else value}
            own = {key: kind for key, kind in schema.items() if row[key] is None}
            table = pl.DataFrame(
                {"item_id": ["new 0"], **{key: [one] for key, one in row.items()}}, schema_overrides=own
            )
            expected, found = FEATURES.values(table), plain_values(entries, [{**BLANK, name: value}])
            assert found.keys() == expected.keys()
            for key, array in expected.items():
                np.testing.assert_array_equal(found[key], array, err_msg=f"{name}={value!r}")
                assert found[key].dtype == array.dtype


def test_several_rows_are_read_together(entries):
    rows = [
        {**BLANK, "genres": genres, "year": year} for genres, year in (("Drama|War", 1999), (None, None), ("X", 1998))
    ]
    table = pl.DataFrame(
        {"item_id": ["new 0", "new 1", "new 2"], **{name: [row[name] for row in rows] for name in BLANK}}
    )
    told = []
    for read in (lambda: FEATURES.values(table), lambda: plain_values(entries, rows)):
        with pytest.warns(UserWarning, match="1 values of genres, of 1 of 3 items, did not occur") as caught:
            told.append((read(), [str(one.message) for one in caught]))
    (expected, first), (found, second) = told
    assert first == second
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


WRONG = {
    "infinite": ({"year": math.inf}, "1 of 1 items have an infinite year (first: item 'new 0'). Leave"),
    "words": (
        {"year": "long ago"},
        "1 of 1 items have a year that is not a number (first: 'long ago' of item 'new 0')",
    ),
    "object": ({"year": {}}, "year holds {}, but must hold numbers"),
    "width": ({"look": [1.0]}, "have a vector look of another width than 2 (first: 1 numbers of item 'new 0')"),
    "part": ({"look": [1.0, None]}, "have a vector look that is partly NaN, missing or infinite (first: item 'new 0')"),
    "text": ({"look": "round"}, "look holds 'round', but vectors are lists of numbers"),
    "letters": ({"look": ["a", "b"]}, "The vector look of item 'new 0' does not hold numbers"),
    "nested": ({"genres": [["War"]]}, "genres holds ['War'], but categories are text, numbers or lists"),
}


@pytest.mark.parametrize(("values", "message"), WRONG.values(), ids=WRONG)
def test_unusable_values_are_refused(entries, values, message):
    with pytest.raises(InputError) as told:
        plain_values(entries, [{**BLANK, **values}])
    assert message in str(told.value)
    assert "\n" not in str(told.value)


def test_missing_columns_and_items_without_features_are_refused(entries):
    with pytest.raises(InputError, match=r"The items have no column year, which the model reads \(genres, size, year"):
        plain_feature_values(entries, {"genres": ["War"], "size": [1]}, ["x"])
    values = plain_values(entries, [{**BLANK, "year": 1999}, BLANK])
    with pytest.raises(InputError, match=r"1 of 2 new items have no value of any feature .* first: 'new 1'\)"):
        require_some_feature(values, ["new 0", "new 1"])
    with pytest.raises(InputError, match=r"item_features.json does not hold item features"):
        read_feature_entries(json.dumps({"features": []}))


def test_texts_may_be_vectors():
    entry = {"name": "title", "kind": "text", "size": 2, "model": "./tiny"}
    found = plain_feature_values([entry], {"title": [[1.0, 2.0], None, ""]}, ["a", "b", "c"])
    np.testing.assert_array_equal(found["title"], [[1, 2], [np.nan] * 2, [np.nan] * 2])
    with pytest.raises(InputError, match=r"There is no folder './tiny' here, which held the text model of title"):
        plain_feature_values([entry], {"title": ["Some words"]}, ["a"])

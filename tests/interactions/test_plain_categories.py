"""Categories of plain Python objects are those of the catalogue's table."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqrec.errors import InputError
from seqrec.interactions.catalogue import Catalogue
from seqrec.interactions.plain_categories import plain_categories

COLUMNS = {
    "bars": ["Drama|Comedy", "Comedy", None, "War| Drama |Drama", ""],
    "one bar": ["A b|C", None, "D"],
    "commas": ["a,b", "b,c", "a,c", "c,b", "a"],
    "semicolons": ["a; b", "b; a", "a", "b"],
    "commas in names": ["Smith, John", "Doe, Jane", "Roe, Ann"],
    "sentences": ["This is quite a long sentence | with a bar in the middle", "Another one that is | just as long"],
    "list texts": ["['x', 'y']", "['y']", None, " ", "['z, w']"],
    "not all list texts": ["['x', 'y']", "y", "x"],
    "lists": [["x", "y|z"], [], None, ["y|z", " x ", "x"]],
    "lists of numbers": [[1, 2], [2], None],
    "integers": [1, 2, None, 1],
    "floats": [1.0, 2.5, None, float("nan")],
    "bools": [True, False, None],
}


def catalogue_of(values):
    frame = pl.DataFrame({"item_id": [f"i{row}" for row in range(len(values))], "value": values})
    return Catalogue(frame.with_columns(count=pl.lit(1)))


@pytest.mark.parametrize("values", COLUMNS.values(), ids=COLUMNS)
def test_they_are_those_of_the_table(values):
    expected, found = catalogue_of(values).categories("value"), plain_categories("value", values)
    assert found.names == expected.names
    assert found.codes_VM.tolist() == expected.codes_VM.tolist()


@given(st.lists(st.none() | st.text("ab |,;", max_size=8), min_size=1, max_size=6).filter(lambda values: any(values)))
def test_so_are_those_of_any_text(values):
    try:
        expected = catalogue_of(values).categories("value")
    except InputError:
        with pytest.raises(InputError, match="No item has a value of value"):
            plain_categories("value", values)
        return
    found = plain_categories("value", values)
    assert found.names == expected.names
    assert found.codes_VM.tolist() == expected.codes_VM.tolist()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([None, ""], "^No item has a value of genres. Choose another column"),
        ([{"a": 1}], "^genres holds .* but categories are text, numbers or lists"),
    ],
)
def test_values_that_are_no_categories(values, message):
    with pytest.raises(InputError, match=message):
        plain_categories("genres", values)

"""The same id in two spellings."""

import polars as pl
import pytest

from seqrec.interactions.interactions import read_interactions
from seqrec.interactions.spellings import plain_spelling


def table(**columns):
    return pl.DataFrame({"user_id": ["a", "b", "c"], "item_id": ["x", "y", "z"], "timestamp": [1, 2, 3], **columns})


SPELLINGS = [("126", "126.0"), ("126", " 126 "), ("126", "126."), ("é", "e\u0301"), ("a", "a\u200b"), ("a", "a\xa0")]


@pytest.mark.parametrize(("one", "other"), SPELLINGS)
@pytest.mark.parametrize("column", ["user_id", "item_id"])
def test_they_are_told_with_an_example(column, one, other):
    noun = column.replace("_id", "s")
    with pytest.warns(UserWarning, match=rf"^1 of 3 {noun} seem .*first: .* and .*\. Each spelling counts") as caught:
        read = read_interactions(table(**{column: [one, other, "else"]}))
    assert ascii(one) in str(caught[0].message)
    assert ascii(other) in str(caught[0].message)
    assert set(read[column]) == {one, other, "else"}  # told, and not changed


@pytest.mark.parametrize("ids", [["007", "7", "07"], ["a", "A", "b"], ["1.5", "1", "1.25"], ["126.0", "5.0", "7.0"]])
def test_what_may_be_different_is_left_alone(ids):
    assert read_interactions(table(item_id=ids)).height == 3


def test_ids_are_compared_in_their_plain_spelling():
    ids = pl.Series([" 1.0", "-3.", "1.50", "e\u0301"])
    assert plain_spelling(ids).to_list() == ["1", "-3", "1.50", "\xe9"]

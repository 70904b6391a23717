"""Columns of items are shown as short text, and give examples of conditions."""

import datetime

import polars as pl
import pytest

from seqrec.inference.demo.item_facts import ItemFacts
from seqrec.interactions.item_filters import find_items

FRAME = pl.DataFrame(
    {
        "item_id": ["a", "b", "c"],
        "title": ["A", "B", "C"],
        "count": [1500, 2, 1],
        "genres": ["Drama|Comedy", "Drama", None],
        "tags": [["x", "y"], ["x"], []],
        "year": [1990, 1995, None],
        "price": [1.5, 2.25, 3.0],
        "in stock": [True, False, True],
        "brand": ["it's", "it's", ""],
        "about": ["A long text. " * 20, "Another, not quite as long as the first one is", None],
        "since": [datetime.date(2020, 1, 1), datetime.date(2021, 1, 1), None],
        "hidden": [False, False, True],
        "empty": pl.Series([None] * 3, dtype=pl.Int64),
    }
)


def test_values_are_short_text():
    facts = ItemFacts(FRAME)
    columns = ["year", "genres", "tags", "price", "in stock", "brand", "count", "empty", "no column"]
    assert facts.of_rows([0, 2], columns) == [
        ("1990", "Drama, Comedy", "x, y", "price 1.5", "in stock: yes", "it's", "1,500 interactions"),
        ("price 3", "in stock: yes", "1 interaction"),
    ]
    (about,) = facts.of_rows([0], ["about"])[0]
    assert len(about) <= 80
    assert about.endswith("…")
    assert facts.of_rows([1], []) == [()]
    assert facts.of_rows([], ["year"]) == []


def test_columns_that_describe_items_can_be_shown():
    facts = ItemFacts(FRAME)
    assert facts.columns == [
        *("genres", "tags", "year", "price", "in stock", "brand", "about", "since", "empty", "count"),
    ]
    assert facts.first_columns == ["genres", "tags"]
    assert ItemFacts(FRAME.select("item_id", "count")).first_columns == []


@pytest.mark.parametrize("column", ItemFacts(FRAME).columns)
def test_each_example_is_a_condition_that_can_be_read(column):
    condition = ItemFacts(FRAME).example(column)
    assert find_items(condition, FRAME).any() == (column != "empty")


def test_examples():
    facts = ItemFacts(FRAME)
    assert facts.example("genres") == "'Drama' in genres"
    assert facts.example("in stock") == "column('in stock') == True"
    assert facts.example("year") == "year >= 1992.5"
    assert facts.example("no column") == ""

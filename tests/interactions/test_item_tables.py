"""Warnings and errors about item tables: missing ids, missing titles, titles that are not text."""

import polars as pl
import pytest

from seqrec.interactions.item_tables import read_items
from seqrec.interactions.sources import load_interactions

ITEM_IDS = [str(number) for number in range(100, 140)]
LOG = pl.DataFrame({"user_id": ["a", "b"] * 20, "item_id": ITEM_IDS, "timestamp": range(40)})
TITLES = [f"Title {item_id}" for item_id in ITEM_IDS]


def items(**columns):
    return pl.DataFrame({"item_id": ITEM_IDS, "title": TITLES, **columns})


@pytest.mark.parametrize(
    ("table", "warning"),
    [
        (items(item_id=[f"{item_id}.0" for item_id in ITEM_IDS]), r"40 of 40 .*\(first: '100'; .*: '100.0'\)"),
        (items(item_id=[f"p{item_id}" for item_id in ITEM_IDS]), r"40 of 40 .*\(first: '100'; .*: 'p100'\)"),
        (items()[10:], r"10 of 40 items of the interactions have no title in the table of items \(first: '100'"),
        (items(title=[None] * 40), r"40 of 40 .*an id with a title: none"),
        (items(title=[" "] * 40), r"40 of 40 .*an id with a title: none"),
        (items().rename({"title": "name"}), r"no column 'title' \(it has: item_id, name\)"),
    ],
)
def test_titles_that_most_items_lack_are_told(table, warning):
    with pytest.warns(UserWarning, match=warning):
        load_interactions(LOG, items=table)


@pytest.mark.parametrize("table", [items(), items(title=["Same"] * 40), items()[1:], items(title=range(40))])
def test_what_is_as_usual_is_not(table):
    assert load_interactions(LOG, items=table).items.height == len(table)


@pytest.mark.parametrize(
    "titles",
    [[["A"]] * 40, [b"\xff"] * 40, [{"en": "A"}] * 40, [True] * 40],
    ids=["lists", "bytes", "structs", "booleans"],
)
def test_titles_of_another_kind_than_text_are_refused(titles):
    with pytest.raises(ValueError, match=r"The column title has the type \w+.*, but must be text"):
        read_items(items(title=titles))


def test_missing_ids_are_told_with_the_flag():
    with pytest.raises(ValueError, match=r"no column 'item_id'. They have: title. .*--item_id_column"):
        read_items(items().drop("item_id"))

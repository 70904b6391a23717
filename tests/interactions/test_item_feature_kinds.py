import os
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from seqrec.interactions.category_features import LIST_TEXTS, find_separator
from seqrec.interactions.item_feature_kinds import infer_kind
from seqrec.interactions.item_tables import read_items

DATA = Path(os.environ.get("SEQREC_DATA_DIR") or "absent")

TITLES = ["The Wild Bunch, uncut", "A Day in May, vol. 2", "Blue | Gold shampoo for dry and brittle hair", "Tea; 3 oz"]


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        ([1, 2, None], "number"),
        ([0.5, None], "number"),
        (["1990", "", " 2000 "], "number"),
        ([date(2020, 1, 1)], "number"),
        ([True, False], "category"),
        (pl.Series(["a", "b"], dtype=pl.Enum(["a", "b"])), "category"),
        (["Action|Drama", "War"], "category"),
        (["Wind; Rain", "Rain; Sun", "Sun; Wind", "Rain", "Sun", "Wind"], "category"),
        (["1,2", "1", "2", "2,1"], "category"),
        (["1|2", "3"], "category"),
        (["['Comedy', 'Drama']", '["War"]', "[]", None, " "], "category"),
        (["[1, 2]", "[3]"], "category"),
        (["[REC] and more of it", "[sic] is what he says", "['a'] no list"], "text"),
        (["Sony", "Bosch", "Acme"], "category"),
        (["Procter & Gamble", "Procter & Gamble", "Johnson & Johnson", "Johnson & Johnson"], "category"),
        (["one of these", "another one", "and a third"], "text"),
        (TITLES, "text"),
        ([["a", "b"], []], "category"),
        ([[1, 2], [3]], "category"),
        ([[0.5, 2.0], None], "vector"),
        (pl.Series([[1, 2], [3, 4]], dtype=pl.Array(pl.Int8, 2)), "vector"),
    ],
    ids=str,
)
def test_kinds_are_inferred(column, kind):
    assert infer_kind("x", pl.Series(values=column, strict=False)) == kind


@pytest.mark.parametrize(
    ("texts", "separator"),
    [
        (["a|b", "c"], "|"),
        (["a,b", "b,c", "a", "b"], ","),
        (["a; b", "b; a", "a", "b"], ";"),
        (["Acme, Inc", "Duff, Inc", "Initech, Inc"], None),
        (TITLES, None),
        (["a b", "c"], None),
        (["['a', 'b']", "['a|b']", ""], LIST_TEXTS),
        (["['a', 'b']", "a, b"], None),
        (["['a' 'b']", "['c']"], None),
        (["[0.5, 0.25]", "[1.0]"], None),
        ([None, ""], None),
    ],
    ids=str,
)
def test_separators_are_found(texts, separator):
    assert find_separator(pl.Series(texts)) == separator


@pytest.mark.parametrize(
    ("folder", "kinds"),
    [
        ("ml-100k", {"title": "text", "year": "number", "genres": "category"}),
        ("movietweetings-100k", {"title": "text", "genres": "category"}),
        ("amazon-beauty", {"title": "text", "attributes": "category"}),
    ],
)
def test_kinds_of_real_tables(folder, kinds):
    path = DATA / folder / "items.csv.gz"
    if not path.is_file():
        pytest.skip(f"SEQREC_DATA_DIR holds no {folder}")
    table = read_items(path)
    assert {name: infer_kind(name, table[name]) for name in table.columns if name != "item_id"} == kinds

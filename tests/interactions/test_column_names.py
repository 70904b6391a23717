"""The columns of a table: named by the caller, remembered from training, or ours."""

import polars as pl
import pytest

from seqrec.errors import InputError
from seqrec.interactions.column_names import choose_columns, remembered_columns
from seqrec.interactions.interactions import read_interactions
from seqrec.interactions.sources import load_interactions

OURS = pl.DataFrame({"user_id": ["u", "v"], "item_id": ["007", "8"], "timestamp": [1, 2]})
NAMES = {"user_id": "customer", "item_id": "sku", "timestamp": "at"}
THEIRS = OURS.rename(NAMES)


@pytest.mark.parametrize(
    ("present", "given", "item_id"),
    [
        (["sku", "item_id", "article"], {"item_id": "article"}, "article"),  # given names win
        (["sku", "item_id"], {"item_id": "item_id"}, "item_id"),
        (["sku", "item_id"], {"user_id": "who"}, "sku"),  # then those remembered
        (["item_id"], {}, "item_id"),  # then ours
        (["article"], {}, "item_id"),
        (["sku", "item_id"], {"item_id": "article"}, "article"),  # which is missing
    ],
)
def test_choice_of_a_column(present, given, item_id):
    assert choose_columns(present, given, NAMES)["item_id"] == item_id


@pytest.mark.parametrize(
    "table", [OURS, THEIRS, OURS.rename({"user_id": "customer"}), THEIRS.rename({"at": "timestamp"})]
)
@pytest.mark.parametrize("suffix", [None, ".csv", ".parquet"])
def test_remembered_columns_are_used_where_the_table_has_them(table, suffix, tmp_path):
    source = table
    if suffix is not None:
        source = tmp_path / f"log{suffix}"
        (table.write_csv if suffix == ".csv" else table.write_parquet)(source)
    found = read_interactions(source, remembered=NAMES)
    assert found.equals(OURS)  # ids of a CSV too are text, whatever their column is called
    different = {name: own for name, own in NAMES.items() if own in table.columns}
    assert load_interactions(source, remembered=NAMES).columns == different


def test_a_missing_column_is_named_both_ways():
    message = r"no column 'sku' \(as in training\) or 'item_id'. It has: customer, article, at"
    with pytest.raises(InputError, match=message):
        read_interactions(THEIRS.rename({"sku": "article"}), remembered=NAMES)
    with pytest.raises(InputError, match=r"no column 'item' \(for item_id\). It has: customer, sku, at"):
        read_interactions(THEIRS, columns={"item_id": "item"}, remembered=NAMES)
    with pytest.raises(InputError, match=r"'sku' is to be used as item_id, but the table also has .* named 'item_id'"):
        read_interactions(THEIRS.with_columns(item_id=1), remembered=NAMES)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"user": "uid"}, r"`columns` maps 'user', which is not one of our columns \(user_id, item_id"),
        ({"user_id": 3}, r"`columns` maps 'user_id' to 3, not to text. Map our names to yours"),
        (["uid"], r"`columns` is \['uid'\], not a mapping. Map our names to yours"),
    ],
)
def test_what_is_no_mapping_of_columns(columns, message):
    with pytest.raises(InputError, match=message):
        read_interactions(OURS, columns=columns)


@pytest.mark.parametrize("protocol", [None, [], {}, {"columns": None}, {"columns": ["a"]}, {"columns": {"user_id": 3}}])
def test_a_protocol_without_usable_names(protocol):
    assert remembered_columns(protocol) == {}


def test_a_protocol_s_names():
    columns = {**NAMES, "rating": "stars", "title": "name", "click": ""}
    assert remembered_columns({"columns": columns}) == {**NAMES, "rating": "stars"}

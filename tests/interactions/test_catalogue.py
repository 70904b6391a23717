"""The catalogue agrees with naive code: dicts, loops and sorting by hand."""

from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqrec.errors import InputError
from seqrec.interactions.catalogue import Catalogue
from seqrec.interactions.item_rows import by_row, by_token, rows_of, token_ids_of
from seqrec.interactions.tokenization_items import ItemTokenizer

COUNTS = st.lists(st.integers(0, 5), min_size=1, max_size=20)
FRAME = pl.DataFrame(
    {"item_id": ["b", "a", "c"], "count": [2, 7, 2], "title": ["Bert", None, "Carl"], "year": [1, 2, 3]}
)


def catalogue_of(counts):
    return Catalogue(pl.DataFrame({"item_id": [f"i{row}" for row in range(len(counts))], "count": counts}))


@given(COUNTS)
def test_counts_by_token_and_by_popularity_are_those_of_loops(counts):
    catalogue = catalogue_of(counts)
    assert catalogue.vocab_size == len(counts) + 3
    count_of = {row + 3: count for row, count in enumerate(counts)}
    assert catalogue.counts_by_token.tolist() == [count_of.get(token_id, 0) for token_id in range(len(counts) + 3)]
    assert catalogue.by_popularity().tolist() == sorted(count_of, key=lambda token_id: (-count_of[token_id], token_id))


@given(COUNTS)
def test_rows_are_the_tokenizer_s(counts):
    catalogue = catalogue_of(counts)
    tokenizer = ItemTokenizer.from_item_ids(catalogue.item_ids)
    assert tokenizer.encode_item_ids(catalogue.item_ids).tolist() == catalogue.token_ids.tolist()
    assert [catalogue.row_of(token_id) for token_id in range(len(counts) + 4)] == [
        *[None] * 3,
        *range(len(counts)),
        None,
    ]
    assert (rows_of(token_ids_of(catalogue.counts)) == catalogue.counts).all()
    assert by_row(by_token(catalogue.counts)).tolist() == counts


def test_columns_are_told_in_token_order():
    catalogue = Catalogue(FRAME)
    assert len(catalogue) == 3
    assert catalogue.item_ids == ["b", "a", "c"]
    assert catalogue.titles == ["Bert", None, "Carl"]
    assert catalogue.counts.tolist() == [2, 7, 2]
    assert Catalogue(FRAME.drop("title")).titles == [None] * 3


@given(st.lists(st.integers(0, 9), max_size=40), st.sets(st.integers(0, 15), max_size=12))
def test_interactions_are_counted_and_titles_found(taken, titled):
    interactions = pl.DataFrame({"item_id": [str(item) for item in taken]}, schema={"item_id": pl.String})
    tokenizer = ItemTokenizer.from_item_ids(range(12))
    items = pl.DataFrame({"item_id": sorted(map(str, titled)), "other": 1}, schema_overrides={"item_id": pl.String})
    items = items.with_columns(title=pl.format("Title {}", "item_id"))
    catalogue = Catalogue.from_interactions(interactions, tokenizer, items)
    counts = Counter(map(str, taken))
    assert catalogue.item_ids == tokenizer.item_ids
    assert catalogue.counts.tolist() == [counts[item_id] for item_id in catalogue.item_ids]
    assert catalogue.titles == [f"Title {name}" if int(name) in titled else None for name in catalogue.item_ids]
    assert catalogue.to_frame().columns == ["item_id", "other", "title", "count"]
    others = [1 if int(name) in titled else None for name in catalogue.item_ids]
    assert catalogue.to_frame()["other"].to_list() == others


def test_columns_that_describe_items_are_kept():
    tokenizer = ItemTokenizer.from_item_ids(["b", "a"])
    table = {"item_id": ["a"], "count": [9], "hidden": [True], "year": [1990], "vector": [[0.5]], "tags": [["x", "y"]]}
    catalogue = Catalogue.from_interactions(pl.DataFrame({"item_id": ["a"]}), tokenizer, pl.DataFrame(table))
    assert catalogue.to_frame().to_dict(as_series=False) == {
        "item_id": ["b", "a"],
        "year": [None, 1990],
        "tags": [None, ["x", "y"]],
        "count": [0, 1],
    }


def test_missing_descriptions_are_taken_from_another_catalogue():
    own = pl.DataFrame({"item_id": ["a", "b"], "count": [1, 2], "title": ["A", None], "year": [1, None]})
    other = pl.DataFrame(
        {"item_id": ["a", "b"], "count": [5, 6], "title": ["X", "Y"], "year": [8, 9], "genre": ["p", "q"]}
    )
    found = Catalogue(own).with_descriptions_of(Catalogue(other)).to_frame()
    assert found.rows() == [("a", 1, "A", 1, "p"), ("b", 2, "Y", None, "q")]
    untitled = Catalogue(own.drop("title")).with_descriptions_of(Catalogue(other.with_columns(hidden=True)))
    assert untitled.titles == ["X", "Y"]
    assert not untitled.is_hidden.any()


@pytest.mark.parametrize(
    "column", [["p|q", "q", None], [["p", "q"], ["q"], []], ["['p', 'q']", "['q']", None]], ids=str
)
def test_categories_are_lists_or_text_with_separators(column):
    frame = pl.DataFrame({"item_id": ["a", "b", "c"], "count": [1, 2, 3], "genres": column})
    found = Catalogue(frame).categories("genres")
    assert found.names == ("q", "p")
    assert found.codes_VM.tolist() == [[-1, -1]] * 3 + [[1, 0], [0, -1], [-1, -1]]


def test_numbers_can_be_categories():
    found = Catalogue(pl.DataFrame({"item_id": ["a", "b"], "count": [1, 2], "year": [1990, None]})).categories("year")
    assert found.names == ("1990",)
    assert found.codes_VM[3:].tolist() == [[0], [-1]]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("genre", "^The items have no column 'genre'. They have: year, empty.$"),
        ("empty", "^No item has a value of empty. "),
        ("item_id", "^The items have no column 'item_id'"),
    ],
)
def test_categories_need_a_column_with_values(column, message):
    frame = pl.DataFrame({"item_id": ["a"], "count": [1], "year": [1990], "empty": [None]})
    with pytest.raises(InputError, match=message):
        Catalogue(frame).categories(column)


def test_integer_ids_are_counted_too():
    catalogue = Catalogue.from_interactions(pl.DataFrame({"item_id": [2, 1, 2]}), ItemTokenizer.from_item_ids([1, 2]))
    assert catalogue.counts.tolist() == [1, 2]


def test_saved_and_loaded_it_is_the_same(tmp_path):
    catalogue = Catalogue(FRAME)
    catalogue.save(tmp_path / "items.parquet")
    loaded = Catalogue.load(tmp_path / "items.parquet")
    assert loaded == catalogue
    assert loaded.to_frame().equals(FRAME)
    assert pl.read_parquet(tmp_path / "items.parquet").equals(FRAME)
    assert loaded != Catalogue(FRAME[:2])


@pytest.mark.parametrize("make", [pl.DataFrame.to_pandas, pl.DataFrame.to_arrow, pl.DataFrame.lazy, Catalogue])
def test_frames_of_other_libraries_are_catalogues(make):
    frame = FRAME.with_columns(title=pl.lit("Same"))
    assert Catalogue.of(make(frame)).to_frame().rows() == frame.rows()


def test_one_that_is_a_catalogue_stays_itself():
    catalogue = Catalogue(FRAME)
    assert Catalogue.of(catalogue) is catalogue


def test_new_items_come_last_with_a_count_of_0():
    catalogue = Catalogue(FRAME)
    extended = catalogue.extend(["x", 5])
    assert extended.to_frame().rows() == [*FRAME.rows(), ("x", 0, None, None), ("5", 0, None, None)]
    assert extended.to_frame().schema == FRAME.schema
    assert len(catalogue) == 3
    titled = catalogue.extend(pl.DataFrame({"item_id": ["x"], "title": ["Xaver"], "count": [9], "genre": ["none"]}))
    assert titled.to_frame().rows()[3:] == [("x", 0, "Xaver", None)]
    untitled = Catalogue(FRAME.select("item_id", "count"))
    assert untitled.extend(["x"]).counts.tolist() == [2, 7, 2, 0]
    assert untitled.extend(["x"]).to_frame().columns == ["item_id", "count"]
    assert untitled.extend(pl.DataFrame({"item_id": ["x"], "title": [7]})).titles == [None, None, None, "7"]


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (["x", "a"], r"1 of 2 items are already in the catalogue \(first: 'a'\)"),
        (["x", "x"], "1 items have more than one row"),
        ([1.5], "Item ids are strings or integers"),
        (pl.DataFrame({"title": ["Xaver"]}), "no column 'item_id'"),
    ],
)
def test_only_new_items_can_be_added(items, message):
    with pytest.raises(ValueError, match=message):
        Catalogue(FRAME).extend(items)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (FRAME.drop("count"), r"must hold item_id \(text\) and count \(integers\), but holds"),
        (FRAME.with_columns(pl.col("count").cast(pl.Float64)), r"must hold item_id \(text\) and count"),
        (FRAME.with_columns(item_id=1), r"must hold item_id \(text\)"),
        (FRAME.with_columns(count=pl.lit(None, pl.Int64)), "has rows without an item_id or a count"),
        (FRAME.with_columns(title=1), "must hold titles as text, but holds Int"),
    ],
)
def test_tables_that_are_no_catalogue_are_refused(frame, message, tmp_path):
    for take in (Catalogue, Catalogue.of):
        with pytest.raises(ValueError, match=f"^The catalogue {message}"):
            take(frame)
    frame.write_parquet(tmp_path / "items.parquet")
    with pytest.raises(ValueError, match=rf"items\.parquet {message}"):
        Catalogue.load(tmp_path / "items.parquet")


def test_a_file_that_is_no_parquet_is_named(tmp_path):
    (tmp_path / "items.parquet").write_bytes(b"PAR1 nope")
    for path in (tmp_path / "items.parquet", tmp_path / "none.parquet"):
        with pytest.raises(ValueError, match=rf"{path.name} cannot be read as a Parquet file"):
            Catalogue.load(path)


def test_counts_of_any_whole_type_are_int64():
    catalogue = Catalogue(FRAME.with_columns(pl.col("count").cast(pl.UInt8)))
    assert catalogue.counts.dtype == catalogue.counts_by_token.dtype == np.int64
    assert catalogue.by_popularity().tolist() == [4, 3, 5]

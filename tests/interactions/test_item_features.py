import json
import math
import warnings
from datetime import date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqrec.errors import InputError
from seqrec.interactions.item_features import ItemFeatures
from seqrec.interactions.item_tables import read_items

VECTORS = [[1.0, 2.0], None, [3.0, 4.0], [0.5, 0.0]]
TABLE = pl.DataFrame(
    {
        "item_id": ["a", "b", "c", "d"],
        "genres": ["Drama|Comedy", None, "Drama", " War |Drama|"],
        "year": [1990, None, 2000, 2010],
        "image": VECTORS,
    }
)


def fitted(**columns):
    """The features of a table with these columns, and their values."""
    table = pl.DataFrame({"item_id": [f"i{row}" for row in range(len(next(iter(columns.values()))))], **columns})
    features = ItemFeatures.fit(table, list(columns))
    return features, features.values(table)


def test_values_are_codes_standardised_numbers_and_vectors():
    features = ItemFeatures.fit(TABLE, "genres, year,image")
    values = features.values(TABLE)
    assert list(values) == features.names == ["genres", "year", "image"]
    assert features.specs[0].categories == ("Drama", "Comedy", "War")
    assert values["genres"].dtype == np.int32
    assert values["genres"].tolist() == [[3, 4], [1, 0], [3, 0], [5, 3]]
    std = math.sqrt(200 / 3)
    assert values["year"].dtype == np.float32
    assert values["year"] == pytest.approx([-10 / std, math.nan, 0, 10 / std], nan_ok=True)
    assert values["image"].dtype == np.float32
    assert np.array_equal(values["image"], np.array([[1, 2], [np.nan] * 2, [3, 4], [0.5, 0]]), equal_nan=True)


def test_the_configuration_and_the_report_tell_of_them():
    features = ItemFeatures.fit(TABLE, ["genres", "year", "image"])
    assert features.config_entry() == {
        "genres": {"kind": "category", "size": 6, "per_item": 2},
        "year": {"kind": "number"},
        "image": {"kind": "vector", "size": 2},
    }
    assert features.report(features.values(TABLE)) == [
        "genres: category, 3 values, 1–2 per item, missing for 1 of 4 items",
        "year: number, 1990 to 2010, missing for 1 of 4 items",
        "image: vector, 2 numbers per item, missing for 1 of 4 items",
    ]
    missing = features.is_missing(features.values(TABLE))
    assert list(missing) == features.names
    assert [rows.tolist() for rows in missing.values()] == [[False, True, False, False]] * 3


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ([["a", "b"], None, ["b", "a"]], "2 values, 2 per item, missing for 1 of 3 items"),
        ([["a"], ["c", "b", "a"], ["a"]], "3 values, 1–3 per item, known for all items"),
    ],
)
def test_the_report_tells_how_many_values_items_have(tags, expected):
    features, values = fitted(tags=tags)
    assert features.report(values) == [f"tags: category, {expected}"]
    assert ", 0 per item, missing for 1 of 1 items" in features.report({"tags": np.array([[1, 0, 0]])})[0]


def test_they_are_saved_and_read(tmp_path):
    features = ItemFeatures.fit(TABLE, "genres,year,image")
    assert ItemFeatures.from_json(features.to_json()) == features
    features.save(tmp_path)
    loaded = ItemFeatures.load(tmp_path)
    for name, expected in features.values(TABLE).items():
        assert np.array_equal(loaded.values(TABLE)[name], expected, equal_nan=name != "genres")


@pytest.mark.parametrize(
    "text", ["", "[]", '{"item_features": [3]}', '{"item_features": [{"name": "x", "kind": "smell"}]}', "{}"]
)
def test_other_text_is_refused(text):
    with pytest.raises(InputError, match=r"item_features.json does not hold item features"):
        ItemFeatures.from_json(text)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"item_features.json' cannot be read: No such file"):
        ItemFeatures.load(tmp_path)


def test_only_items_with_training_interactions_count():
    is_trained = np.array([True, True, True, False])
    features = ItemFeatures.fit(TABLE, "genres,year", is_trained=is_trained)
    assert features.specs[0].categories == ("Drama", "Comedy")
    assert (features.specs[1].mean, features.specs[1].std) == (1995, 5)
    cold = TABLE.with_columns(genres=pl.Series(["Drama|Comedy", "Opera|Jazz", "Drama", "War|Drama"]))
    with pytest.warns(UserWarning, match="did not occur in training") as caught:
        values = features.values(cold)
    assert str(caught[0].message) == (
        "3 values of genres, of 2 of 4 items, did not occur in training (first: 'Opera' of item 'b'). They are "
        "ignored; 1 items have no others and count as unknown."
    )
    assert values["genres"].tolist() == [[3, 4], [2, 0], [3, 0], [3, 0]]
    assert "unknown for 1 of 4 items" in features.report(values)[0]
    assert values["year"][3] == 3


def test_more_values_than_in_training_are_left_out_with_a_warning():
    features = ItemFeatures.fit(TABLE, "genres")
    new = pl.DataFrame({"item_id": ["n"], "genres": ["Comedy|War|Opera|Drama"]})
    with pytest.warns(UserWarning, match="genres") as caught:
        assert features.values(new)["genres"].tolist() == [[4, 5]]
    assert str(caught[1].message) == "1 items have more than 2 values of genres (first: 'n'). Their first 2 are read."


@given(
    st.lists(st.lists(st.sampled_from(["x", "y", " y", "z", "", "new"]), max_size=5), min_size=1, max_size=8),
    st.integers(1, 8),
)
def test_codes_are_those_of_naive_code(lists, num_trained):
    table = pl.DataFrame({"item_id": [str(row) for row in range(len(lists))], "tags": lists})
    table = table.with_columns(pl.col("tags").cast(pl.List(pl.String)))
    is_trained = np.arange(len(lists)) < num_trained
    plain = [list(dict.fromkeys(tag.strip() for tag in tags if tag.strip())) for tags in lists]
    counts = {}
    for tags in plain[:num_trained]:
        for tag in tags:
            counts[tag] = counts.get(tag, 0) + 1
    if not counts:
        with pytest.raises(InputError, match="No item with training interactions has a value of tags"):
            ItemFeatures.fit(table, "tags:category", is_trained=is_trained)
        return
    order = sorted(counts, key=lambda tag: (-counts[tag], tag))
    known = [[3 + order.index(tag) for tag in tags if tag in order] for tags in plain]
    width = max(map(len, known))
    expected = [
        (codes or [2 if tags else 1]) + [0] * (width - max(len(codes), 1))
        for codes, tags in zip(known, plain, strict=True)
    ]
    features = ItemFeatures.fit(table, "tags:category", is_trained=is_trained)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert features.values(table)["tags"].tolist() == expected


@pytest.mark.parametrize(
    ("column", "codes"),
    [
        (pl.Series([True, None, False]), [[4], [1], [3]]),
        (pl.Series([1, 2, 2]), [[4], [3], [3]]),
        (pl.Series([1.0, None, math.nan]), [[3], [1], [1]]),
        (pl.Series([0.5, 2.0, 2.0]), [[4], [3], [3]]),
        (pl.Series(["p", "q", "q"], dtype=pl.Categorical), [[4], [3], [3]]),
        (pl.Series([[7, 8], [8], []]), [[4, 3], [3, 0], [1, 0]]),
        (pl.Series([[7, 8], [8, 8], None], dtype=pl.Array(pl.Int64, 2)), [[4, 3], [3, 0], [1, 0]]),
    ],
    ids=str,
)
def test_columns_of_many_types_can_be_categories(column, codes):
    table = pl.DataFrame({"item_id": ["a", "b", "c"], "x": column})
    features = ItemFeatures.fit(table, "x:category")
    assert features.values(table)["x"].tolist() == codes


def test_integers_are_the_same_category_in_a_column_with_missing_values():
    features, _ = fitted(brand=["1", "2", "x"])
    new = pl.DataFrame({"item_id": ["m", "n"], "brand": [1.0, None]})
    assert features.values(new)["brand"].tolist() == [[3], [1]]


def test_lists_may_be_text_in_another_table():
    features, values = fitted(tags=[["a", "b"], ["b"]])
    new = pl.DataFrame({"item_id": ["m", "n"], "tags": ["a| b", "b"]})
    assert features.values(new)["tags"].tolist() == values["tags"].tolist() == [[4, 3], [3, 0]]


def test_lists_written_as_text_are_lists():
    texts = ["['Comedy', 'Drama']", "['Comedy', \"Children's\"]", None, "[]", " ['Drama'] "]
    features, values = fitted(genres=texts)
    assert features.specs[0].categories == ("Comedy", "Drama", "Children's")
    assert values["genres"].tolist() == [[3, 4], [3, 5], [1, 0], [1, 0], [4, 0]]
    assert features.report(values) == [
        "genres: category, 3 values, 1–2 per item (lists written as text), missing for 2 of 5 items"
    ]
    features = ItemFeatures.from_json(features.to_json())
    for genres in (["['Drama', 'Comedy']", "Drama"], [["Drama", "Comedy"], ["Drama"]]):
        new = pl.DataFrame({"item_id": ["x", "y"], "genres": genres})
        assert features.values(new)["genres"].tolist() == [[4, 3], [4, 0]]


def test_numbers_far_from_the_mean_are_cut_off_in_training_and_later():
    with pytest.warns(UserWarning, match="1 of 201 items have a price more than 10 standard deviations from the mean"):
        features, values = fitted(price=[*[1.0, 2.0] * 100, 1e6])
    assert values["price"][-1] == 10
    new = pl.DataFrame({"item_id": ["x", "y", "z"], "price": [-1e9, None, features.specs[0].mean]})
    message = r"1 of 3 items have a price .* \(first: -1e\+09 of item 'x'\)\. They are cut off there"
    with pytest.warns(UserWarning, match=message):
        assert features.values(new)["price"] == pytest.approx([-10, math.nan, 0], nan_ok=True)


def test_too_many_values_are_no_category():
    table = pl.DataFrame({"item_id": range(100_001), "code": range(100_001)}).cast(pl.String)
    with pytest.raises(InputError, match="The category code has 100,001 different values, more than 100,000"):
        ItemFeatures.fit(table, "code:category")


def test_dates_are_days_and_a_constant_is_zero():
    days = [date(2020, 1, 1), None, date(2020, 1, 3)]
    features, values = fitted(released=days, same=[5, 5, None])
    assert (features.specs[0].mean, features.specs[0].std) == (18263, 1)
    assert values["released"] == pytest.approx([-1, math.nan, 1], nan_ok=True)
    assert values["same"] == pytest.approx([0, 0, math.nan], nan_ok=True)
    times = pl.DataFrame({"item_id": ["x"], "released": [datetime(2020, 1, 2, 12)], "same": [6]})
    assert features.values(times)["released"] == pytest.approx([0.5])
    assert features.values(times)["same"] == pytest.approx([1])


def test_numbers_may_be_text_and_a_few_words_are_missing():
    years = ["1990", " 2000", "", *["1995"] * 36, "unknown"]
    features, _ = fitted(year=years[:-1])
    table = pl.DataFrame({"item_id": [f"m{row}" for row in range(40)], "year": years})
    with pytest.warns(UserWarning, match=r"1 of 40 items have a year that is not a number \(first: 'unknown' of item"):
        values = features.values(table)["year"]
    assert np.flatnonzero(np.isnan(values)).tolist() == [2, 39]
    with pytest.raises(InputError, match=r"2 of 3 items have a year .* \(first: 'x' of item 'a'\).*year:category"):
        features.values(pl.DataFrame({"item_id": ["a", "b", "c"], "year": ["x", "y", "3"]}))


@pytest.mark.parametrize(
    ("wanted", "column", "message"),
    [
        ("x", [1.0, math.inf, None], r"1 of 3 items have an infinite x \(first: item 'b'\). Leave these values empty"),
        ("x", [None, None, None], "All values of x are missing. Leave the feature out"),
        ("x:number", [None, None, None], "No item with training interactions has a value of x"),
        ("x:category", ["", " ", None], "No item with training interactions has a value of x"),
        ("x", [timedelta(1), None, None], r"The column x has the type Duration\S* of which no item feature can be"),
        ("x", [b"1", None, None], "The column x has the type Binary, of which no item feature can be made"),
        ("x:number", [[1], [2], [3]], r"has the type List\(Int64\), but must hold numbers"),
        ("x:category", [{"a": 1}] * 3, r"has the type Struct.*but categories are text, numbers or lists of them"),
        ("x:text", [["a"]] * 3, r"has the type List\(String\), but must be text"),
        ("x:vector", ["1 2"] * 3, r"has the type String, but vectors are lists of numbers. .* x=FILE.npy"),
        ("x:vector", [None, None, None], "All values of x are missing"),
        ("x", [[1.0, 2.0], [1.0, 2.0], [3.0]], r"1 of 3 items have a vector x of another width than 2 \(first: 1 numb"),
        ("x", [[1.0, 2.0], [math.nan, 1.0], None], r"1 of 3 items have a vector x that is partly NaN.* item 'b'"),
        ("x", [[1.0, 2.0], [None, 1.0], None], r"1 of 3 items have a vector x that is partly NaN.* item 'b'"),
        ("x", [[1.0, 2.0], None, [math.inf, 0.0]], r"partly NaN, missing or infinite \(first: item 'c'\)"),
        ("y", [1, 2, 3], r"The table of items has no column 'y' for item_features\. It has: item_id, x"),
        ("item_idx", [1, 2, 3], r"no column 'item_idx' for item_features\. Did you mean item_id\?"),
        ("item_id", [1, 2, 3], "item_id names the items, so it is no feature"),
        ("x,x:number", [1, 2, 3], "The item feature x is given 2 times. Give it once"),
        ("x:numeric", [1, 2, 3], r"'numeric' is not a kind of item feature. Did you mean number\? Choose one of"),
        ("x,", [1, 2, 3], "'' is not an item feature. Give the name of a column"),
        ([], [1, 2, 3], "No item features were given"),
    ],
)
def test_bad_input_is_one_line_that_says_what_to_do(wanted, column, message):
    table = pl.DataFrame({"item_id": ["a", "b", "c"], "x": column})
    with pytest.raises(InputError, match=message) as caught:
        ItemFeatures.fit(table, wanted)
    assert "\n" not in str(caught.value)


def test_a_table_that_lacks_a_column_or_has_other_vectors_is_refused():
    features = ItemFeatures.fit(TABLE, "genres,image")
    with pytest.raises(InputError, match=r"The items have no column image, which the model reads \(genres, image\)"):
        features.values(TABLE.drop("image"))
    with pytest.raises(InputError, match=r"1 of 1 items have a vector image of another width than 2 \(first: 3 numb"):
        features.values(pl.DataFrame({"item_id": ["n"], "genres": ["War"], "image": [[1.0, 2.0, 3.0]]}))
    unknown = pl.DataFrame({"item_id": ["n"], "genres": [None], "image": [None]})
    values = features.values(unknown)
    assert values["genres"].tolist() == [[1, 0]]
    assert np.isnan(values["image"]).tolist() == [[True, True]]


def test_names_may_hold_colons():
    table = pl.DataFrame({"item_id": ["a", "b"], "x:y": [1, 2], "x": [3, 4]})
    assert ItemFeatures.fit(table, ["x:y", "x:category"]).config_entry() == {
        "x:y": {"kind": "number"},
        "x": {"kind": "category", "size": 5, "per_item": 1},
    }


def test_values_of_other_features_are_refused():
    features = ItemFeatures.fit(TABLE, "genres,year,image")
    good = features.values(TABLE)
    features.require_values(good, 4)
    with pytest.raises(InputError, match=r"values of the item feature genres \(category\) for 5 items, but got int32"):
        features.require_values(good, 5)
    wrong = {
        "genres": [good["genres"] + 2, good["genres"][:, :1], good["genres"].astype(np.int64)],
        "year": [good["image"], good["year"].astype(np.float64), good["year"] + np.inf],
        "image": [good["image"][:, :1], good["year"]],
    }
    for name, arrays in wrong.items():
        for array in arrays:
            with pytest.raises(InputError, match=f"Expected values of the item feature {name}"):
                features.require_values({**good, name: array}, 4)
    with pytest.raises(InputError, match="but got none"):
        features.require_values({}, 4)


def test_another_table_is_read_as_the_first_one_was(tmp_path):
    (tmp_path / "old.csv").write_text("item_id,code,year\na,007,1990\nb,08x,2000\n")
    features = ItemFeatures.fit(read_items(tmp_path / "old.csv"), "code,year")
    assert features.wanted == ["code:category", "year:number"]
    (tmp_path / "new.csv").write_text("item_id,code,year\n1,007,1995\n")
    values = features.values(read_items(tmp_path / "new.csv", features=features.wanted))
    assert values["code"].tolist() == [[3]]
    assert values["year"].tolist() == [0]


def test_json_is_plain():
    assert json.loads(ItemFeatures.fit(TABLE, "genres,year").to_json())["item_features"][0] == {
        "name": "genres",
        "kind": "category",
        "categories": ["Drama", "Comedy", "War"],
        "per_item": 2,
        "separator": "|",
    }

import datetime as dt
from collections import Counter

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from seqrec.interactions.interactions import drop_duplicates, filter_k_core, read_interactions

ROWS = {
    "user_id": ["07", "07", "1", "1"],
    "item_id": ["0104257", "a b,c", "é\nü", "0104257"],
    "timestamp": [5, 3, 9, 9],
    "rating": [1.5, 2.0, 3.0, 4.0],
}
SORTED = pl.DataFrame(ROWS)[[1, 0, 2, 3]]


def table(**columns):
    return pl.DataFrame(ROWS).with_columns(**{name: pl.Series(values) for name, values in columns.items()})


def write_csv_gz(frame, path):
    import gzip

    path.write_bytes(gzip.compress(frame.write_csv().encode()))


@pytest.mark.parametrize(
    ("suffix", "write"),
    [
        (".csv", lambda frame, path: frame.write_csv(path)),
        (".csv.gz", write_csv_gz),
        (".parquet", lambda frame, path: frame.write_parquet(path)),
        (".jsonl", lambda frame, path: frame.write_ndjson(path)),
    ],
)
def test_files_of_every_kind_read_alike(tmp_path, suffix, write):
    path = tmp_path / f"log{suffix}"
    write(pl.DataFrame(ROWS), path)
    assert_frame_equal(read_interactions(path), SORTED)
    assert_frame_equal(read_interactions(str(path)), SORTED)


@pytest.mark.parametrize(
    "convert",
    [
        lambda frame: frame,
        lambda frame: frame.lazy(),
        lambda frame: pd.DataFrame(ROWS, index=[3, 1, 4, 1]),
        lambda frame: pd.DataFrame(ROWS).set_index("user_id"),
        lambda frame: pd.DataFrame(ROWS).set_index(["item_id", "user_id"], drop=False).drop(columns="user_id"),
        lambda frame: pa.table(ROWS),
        lambda frame: Dataset.from_dict(ROWS),
        lambda frame: Dataset.from_dict({k: v[::-1] for k, v in ROWS.items()}).select([3, 2, 1, 0]),
        lambda frame: frame.with_columns(pl.col("user_id", "item_id").cast(pl.Categorical)),
    ],
    ids=["polars", "lazy", "pandas", "index", "two indexes", "pyarrow", "datasets", "selected datasets", "categorical"],
)
def test_frames_of_every_library_read_alike(convert):
    assert_frame_equal(read_interactions(convert(pl.DataFrame(ROWS))), SORTED)


def test_integer_ids_keep_users_and_turn_items_to_text():
    interactions = read_interactions(table(user_id=[2, 10, 2, 10], item_id=[1, 2, 3, 4]))
    assert interactions["user_id"].to_list() == [2, 2, 10, 10]
    assert interactions["item_id"].to_list() == ["1", "3", "2", "4"]


def test_csv_ids_stay_text_and_late_decimals_are_read(tmp_path):
    rows = [f"00{i % 3},0{i},{i},{i}" for i in range(300)]
    (tmp_path / "log.csv").write_text("uid,sku,t,score\n" + "\n".join([*rows, "001,x,900,2.5"]))
    columns = {"user_id": "uid", "item_id": "sku", "timestamp": "t", "rating": "score"}
    interactions = read_interactions(tmp_path / "log.csv", columns=columns)
    assert interactions.columns == ["user_id", "item_id", "timestamp", "rating"]
    assert interactions.row(0) == ("000", "00", 0, 0.0)
    assert 2.5 in interactions["rating"]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=40))
def test_ties_keep_the_order_of_the_file(pairs):
    frame = pl.DataFrame(
        {
            "user_id": [user for user, _ in pairs],
            "item_id": [str(index) for index in range(len(pairs))],
            "timestamp": [time for _, time in pairs],
        }
    )
    interactions = read_interactions(frame, for_training=False)
    expected = sorted(range(len(pairs)), key=lambda index: pairs[index])  # Python's sort is stable
    assert interactions["item_id"].to_list() == [str(index) for index in expected]


@pytest.mark.parametrize(
    ("timestamps", "expected"),
    [
        (["3", "1", "2", " 4"], [3, 1, 2, 4]),
        (["3.5", "1", "2", "4"], [3.5, 1.0, 2.0, 4.0]),
        (
            [dt.date(2020, 1, day) for day in (3, 1, 2, 4)],
            [dt.datetime(2020, 1, day) for day in (3, 1, 2, 4)],
        ),
        (
            ["2020-01-03", "2020-01-01T10:00:00Z", "2020-01-02 10:00:00.5Z", "2020-01-04T10:00:00+02:00"],
            [
                dt.datetime(2020, 1, 3),
                dt.datetime(2020, 1, 1, 10),
                dt.datetime(2020, 1, 2, 10, 0, 0, 500_000),
                dt.datetime(2020, 1, 4, 8),
            ],
        ),
        (
            [dt.datetime(2020, 1, day, tzinfo=dt.timezone(dt.timedelta(hours=1))) for day in (3, 1, 2, 4)],
            [dt.datetime(2020, 1, day) - dt.timedelta(hours=1) for day in (3, 1, 2, 4)],
        ),
    ],
    ids=["integers as text", "decimals as text", "dates", "ISO text", "time zone"],
)
def test_timestamps_of_many_kinds_are_understood(timestamps, expected):
    interactions = read_interactions(table(timestamp=timestamps))
    assert interactions["timestamp"].to_list() == [expected[index] for index in (1, 0, 2, 3)]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"item_id": ["a", None, "b", None]}, r"2 of 4 rows have no item_id \(first: row 2\)"),
        ({"timestamp": [1, 2, 3, None]}, r"1 of 4 rows have no timestamp \(first: row 4\)"),
        ({"timestamp": [1.0, 2.0, float("nan"), 4.0]}, r"1 of 4 timestamps .*\(first: row 3, nan\)"),
        ({"timestamp": [1.0, float("inf"), 3.0, 4.0]}, r"1 of 4 timestamps .*\(first: row 2, inf\)"),
        ({"timestamp": ["1", "soon", "3", "later"]}, r"2 of 4 timestamps .*\(first: row 2, 'soon'\)"),
        ({"timestamp": ["2020-01-01", "2020-13-01", "2020-01-01", "2020-01-01"]}, "row 2, '2020-13-01'"),
        ({"timestamp": [True, False, True, True]}, "timestamp is of type Boolean"),
        ({"item_id": [1.0, 2.0, 3.0, 4.0]}, "item_id holds decimal numbers .*convert"),
        ({"user_id": [dt.date(2020, 1, 1)] * 4}, "user_id is of type Date"),
        ({"item_id": [b"a", b"b", b"c", b"d"]}, r"item_id holds bytes \(first: b'a'\).*decode"),
        ({"item_id": [["a"], ["b"], ["c"], ["d"]]}, "item_id is of type List"),
        ({"user_id": [{"a": 1}] * 4}, "user_id is of type Struct"),
        ({"user_id": [True, False, True, True]}, "user_id is of type Boolean"),
        ({"timestamp": [[1], [2], [3], [4]]}, "timestamp is of type List"),
        ({"timestamp": [b"1", b"2", b"3", b"4"]}, "timestamp is of type Binary"),
        ({"item_id": ["a", "", "b", ""]}, r"2 of 4 rows have an empty item_id \(first: row 2\)"),
        ({"user_id": ["a", "b", "", "c"]}, r"1 of 4 rows have an empty user_id \(first: row 3\)"),
        ({"item_id": ["a", "b", "<|pad|>", "c"]}, r"Row 3 has the item_id '<\|pad\|>'"),
        ({"user_id": ["7"] * 4}, r"All 4 interactions are of one user \('7'\)"),
        ({"item_id": [7] * 4}, r"All 4 interactions are of one item \('7'\)"),
    ],
)
def test_unusable_values_are_refused(columns, message):
    with pytest.raises(ValueError, match=message):
        read_interactions(table(**columns))


def test_one_user_is_enough_where_nothing_is_trained():
    interactions = read_interactions(table(user_id=["7"] * 4), for_training=False)
    assert interactions["timestamp"].to_list() == [3, 5, 9, 9]


def test_missing_columns_are_named_beside_those_present():
    with pytest.raises(ValueError, match=r"no column 'item_id'. It has: user_id, timestamp, rating"):
        read_interactions(pl.DataFrame(ROWS).drop("item_id"))
    with pytest.raises(ValueError, match=r"no column 'uid' \(for user_id\) and 'stars' \(for rating\)"):
        read_interactions(pl.DataFrame(ROWS), columns={"user_id": "uid", "rating": "stars"})


def test_column_mappings_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="'uid', which is not one of our columns"):
        read_interactions(pl.DataFrame(ROWS), columns={"uid": "user_id"})
    with pytest.raises(ValueError, match="also has a column named 'timestamp'"):
        read_interactions(table(unix=[1, 2, 3, 4]), columns={"timestamp": "unix"})


def test_other_columns_stay(tmp_path):
    frame = table(device=["tv", None, "web", "tv"], click=[1, 0, 1, 0])
    assert_frame_equal(read_interactions(frame), frame[[1, 0, 2, 3]], check_column_order=False)


def test_files_that_cannot_be_read_are_named(tmp_path):
    (tmp_path / "nothing.csv").write_text("")
    (tmp_path / "header.csv").write_text("user_id,item_id,timestamp\n")
    (tmp_path / "broken.parquet").write_bytes(b"no parquet")
    (tmp_path / "broken.csv.gz").write_bytes(b"\x1f\x8bno gzip")
    for name, message in [
        ("nothing.csv", "nothing.csv' is empty"),
        ("header.csv", "header.csv' has no rows"),
        ("broken.parquet", "broken.parquet' could not be read as parquet"),
        ("broken.csv.gz", "broken.csv.gz' could not be read as csv.gz"),
        ("absent.csv", "There is no file"),
        ("log.xlsx", "unknown kind. Use a file ending in one of .csv, .csv.gz, .parquet, .jsonl"),
    ]:
        with pytest.raises(ValueError, match=message):
            read_interactions(tmp_path / name)
    with pytest.raises(ValueError, match="This list is not a table"):
        read_interactions([1, 2])


def test_a_pandas_column_of_two_types_is_refused():
    frame = pd.DataFrame({"user_id": ["a", "b"], "item_id": ["x", 1], "timestamp": [1, 2]})
    with pytest.raises(
        ValueError, match=r"'item_id' of the DataFrame cannot be converted .*'int' object.*astype\(str\)"
    ):
        read_interactions(frame)


@pytest.mark.parametrize(
    "values",
    [[1, "a"], [object(), None], [1j, 2], [2**70, 1], pd.arrays.SparseArray([0, 1])],
    ids=["mixed", "objects", "complex", "large", "sparse"],
)
def test_unused_columns_that_arrow_cannot_hold_are_left_out(values):
    frame = pd.DataFrame({"user_id": ["a", "b"], "item_id": ["x", "y"], "timestamp": [1, 2]})
    frame["note"] = values
    with pytest.warns(UserWarning, match="not needed were dropped, .*: 'note'"):
        assert read_interactions(frame).columns == ["user_id", "item_id", "timestamp"]


def test_the_guilty_one_of_the_used_columns_is_named():
    frame = pd.DataFrame({"user_id": ["a", "b"], "item_id": ["x", "y"], "timestamp": ["a", 1], "note": [1, "a"]})
    with pytest.raises(ValueError, match=r"'timestamp' of the DataFrame cannot be converted .*frame\['timestamp'\]"):
        read_interactions(frame)
    twice = pd.concat([frame[["user_id", "item_id"]], frame[["item_id"]]], axis=1)
    with pytest.raises(ValueError, match="more than one column 'item_id'"):
        read_interactions(twice)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.Series(["a"]), "The Series cannot be converted to Arrow"),
        (pl.LazyFrame({"a": [1]}).select("b"), "The LazyFrame could not be collected: unable to find column"),
        (pl.scan_csv("/nowhere/log.csv"), "The LazyFrame could not be collected: No such file"),
    ],
)
def test_what_is_no_frame_is_one_line(frame, message):
    with pytest.raises(ValueError, match=f"^{message}[^\n]*$"):
        read_interactions(frame)


def test_ids_beyond_64_bits_are_text():
    wide = pl.Series([2**100, 2**100, 1, 1], dtype=pl.Int128)
    assert read_interactions(table(user_id=wide))["user_id"].unique().sort().to_list() == ["1", str(2**100)]


pairs = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=40)


def frame_of(pairs):
    users, items = zip(*pairs, strict=True)
    return pl.DataFrame({"user_id": users, "item_id": [str(i) for i in items], "timestamp": range(len(pairs))})


@given(pairs, st.integers(1, 4), st.integers(1, 4))
def test_k_core_is_what_naive_removal_leaves(pairs, min_user, min_item):
    left = pairs
    while True:
        users, items = Counter(u for u, _ in left), Counter(i for _, i in left)
        kept = [(u, i) for u, i in left if users[u] >= min_user and items[i] >= min_item]
        if kept == left:
            break
        left = kept
    arguments = {"min_user_interactions": min_user, "min_item_interactions": min_item}
    if not left:
        with pytest.raises(ValueError, match=f"None of {len(pairs)} interactions remain"):
            filter_k_core(frame_of(pairs), **arguments)
    else:
        found = filter_k_core(frame_of(pairs), **arguments).select("user_id", pl.col("item_id").cast(pl.Int64))
        assert found.rows() == left


@given(pairs)
def test_duplicates_leave_the_first_or_last(pairs):
    first, last = drop_duplicates(frame_of(pairs)), drop_duplicates(frame_of(pairs), keep="last")
    assert first["timestamp"].to_list() == sorted({p: i for i, p in reversed(list(enumerate(pairs)))}.values())
    assert last["timestamp"].to_list() == sorted({p: i for i, p in enumerate(pairs)}.values())


def test_filters_refuse_what_they_cannot_do():
    with pytest.raises(ValueError, match=r"minimum .* at least 1, got 0"):
        filter_k_core(SORTED, min_user_interactions=0, min_item_interactions=1)
    with pytest.raises(ValueError, match=r"keep must be .*, got 'any'"):
        drop_duplicates(SORTED, keep="any")

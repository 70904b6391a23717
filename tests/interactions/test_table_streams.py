"""Tables that are read in batches have the rows and types of those that are read as a whole."""

import gzip
import itertools
import json

import numpy as np
import polars as pl
import pytest

from seqrec.errors import InputError
from seqrec.interactions import delimited_chunks
from seqrec.interactions.delimited_chunks import end_of_rows
from seqrec.interactions.table_files import read_file
from seqrec.interactions.table_streams import open_table

TEXT = ("user_id", "item_id")
VALUES = ("1", "-3", "1.5", "1e5", "inf", "true", "FALSE", "word", '"7"', '""', "", "9" * 20, " 5", "007", "2020-01-01")


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(delimited_chunks, "CHUNK_BYTES", 40)


def streamed(path, text_columns=TEXT):
    table = open_table(path, text_columns)
    users = pl.concat(list(table.users("user_id")))
    batches = list(table.batches())
    assert all(batch.schema == table.schema for batch in batches)
    found = pl.concat(batches)
    assert users.equals(found["user_id"])
    return found, len(batches)


def assert_same(path, least_batches=2, **options):
    found, num_batches = streamed(path, **options)
    whole = read_file(path, options.get("text_columns", TEXT))
    assert found.schema == whole.schema
    assert found.equals(whole)
    assert num_batches >= least_batches


def write(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


def rows_of(values):
    return "user_id,item_id,value\n" + "".join(f"u{row},i{row},{value}\n" for row, value in enumerate(values))


def test_types_are_those_of_the_whole_file(tmp_path):
    for count, values in enumerate(itertools.product(VALUES, repeat=3)):
        if count % 7 == 0 or "9" * 20 in values:
            repeated = [value for value in values for _ in range(4)]
            assert_same(write(tmp_path / "table.csv", rows_of(repeated)))


def test_columns_without_values_are_text(tmp_path):
    assert_same(write(tmp_path / "table.csv", rows_of([""] * 10)))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.filterwarnings("ignore:The encoding of")
def test_encodings(tmp_path, encoding):
    assert_same(write(tmp_path / "table.csv", rows_of(["a" * 60, "żółw", "é", "狐", "x" * 60] * 5), encoding))


@pytest.mark.parametrize("line_end", ["\r\n", "\r"])
def test_line_ends(tmp_path, line_end):
    text = "\n" + rows_of(["a", "b"] * 9)
    assert_same(write(tmp_path / "table.csv", text.replace("\n", line_end)))
    assert_same(write(tmp_path / "table.csv", text.strip().replace("\n", line_end)))


def test_compressed_text(tmp_path):
    (tmp_path / "table.csv.gz").write_bytes(gzip.compress(rows_of(["1", "2", "3.5"] * 9).encode()))
    assert_same(tmp_path / "table.csv.gz")
    (tmp_path / "table.csv.gz").write_bytes(gzip.compress(np.random.default_rng(0).bytes(3000).hex().encode())[:-900])
    with pytest.raises(InputError, match=r"table.csv.gz' could not be read as csv.gz: its gzip compression is damaged"):
        streamed(tmp_path / "table.csv.gz")


@pytest.mark.parametrize("separator", ["\t", ";", "|", "::"])
@pytest.mark.filterwarnings("ignore:The columns of")
def test_separators(tmp_path, separator):
    assert_same(write(tmp_path / "table.csv", rows_of(["1", "2", "3.5"] * 9).replace(",", separator)))


@pytest.mark.filterwarnings("ignore:.*values of item_id hold line breaks")
def test_quotes_hold_anything(tmp_path):
    random = np.random.default_rng(0)
    parts = ["a", "\n", ",", '""', "xyz", "\r\n", " "]
    for _ in range(40):
        rows = [f'"u{row}","{"".join(random.choice(parts, 6))}",{row}\n' for row in range(12)]
        assert_same(write(tmp_path / "table.csv", "user_id,item_id,value\n" + "".join(rows)))


def test_repeated_columns(tmp_path):
    text = "user_id,value,value\n" + "".join(f"u{row},{row},{row / 2}\n" for row in range(20))
    assert_same(write(tmp_path / "table.csv", text))


def test_the_last_row_may_lack_its_end(tmp_path):
    assert_same(write(tmp_path / "table.csv", rows_of(["1", "2"] * 9).rstrip("\n")))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("u,i,1,2\n", r"line 12 has 4 fields, but the header has 3\. Put quotes"),
        ('u,"i,1\n', r"line 12 has an unmatched quote"),
    ],
)
def test_mistakes_are_shown_by_their_line(tmp_path, row, message):
    path = write(tmp_path / "table.csv", rows_of(["1"] * 10) + row + rows_of(["1"] * 3).partition("\n")[2])
    with pytest.raises(InputError, match=message):
        streamed(path)
    with pytest.raises(InputError, match=message):
        read_file(path, TEXT)


def test_text_of_another_encoding_is_shown_by_its_line(tmp_path):
    path = tmp_path / "table.csv"
    path.write_bytes(rows_of(["1"] * 10).encode() + b"u,\xe9,1\n")
    for read in (streamed, lambda path: read_file(path, TEXT)):
        with pytest.raises(InputError, match=r"is not UTF-8: line 12 contains the byte 0xe9"):
            read(path)


def test_rows_end_outside_of_quotes():
    text = b'a,"b\nc"\nd,"e\nf\n'
    assert end_of_rows(text, b'"') == 8
    assert end_of_rows(text, b"") == len(text)
    assert end_of_rows(b'"\n\n', b'"') == 0
    assert end_of_rows(b"abc", b'"') == 0


@pytest.mark.parametrize(
    "rows",
    [
        [{"user_id": row, "item_id": f"i{row}", "rating": row / 2} for row in range(20)],
        [{"user_id": row, "rating": row} for row in range(19)] + [{"user_id": 19, "rating": 1.5, "further": [1, 2]}],
        [{"user_id": f"u{row}", "rating": None} for row in range(20)],
        [{"user_id": "u", "rating": 1}, {"user_id": "v", "rating": "word"}],
    ],
)
@pytest.mark.parametrize("kind", ["lines", "list", "gz"])
def test_json(tmp_path, rows, kind, monkeypatch):
    monkeypatch.setattr("seqrec.interactions.table_streams.BATCH_ROWS", 3)
    path = tmp_path / ("table.jsonl.gz" if kind == "gz" else "table.jsonl")
    text = json.dumps(rows) if kind == "list" else "\n".join(map(json.dumps, rows))
    path.write_bytes(gzip.compress(text.encode()) if kind == "gz" else text.encode())
    assert_same(path, least_batches=1)


def test_broken_json_names_the_file(tmp_path):
    path = write(tmp_path / "table.jsonl", '{"user_id": 1}\n{"user_id": \n')
    with pytest.raises(InputError, match=r"table.jsonl' could not be read as jsonl: .* Expected one object per line"):
        streamed(path)


def test_parquet(tmp_path, monkeypatch):
    monkeypatch.setattr("seqrec.interactions.table_streams.BATCH_ROWS", 7)
    frame = pl.DataFrame({"user_id": range(50), "item_id": list("ab") * 25, "tags": [["x"], None] * 25})
    frame.with_columns(kind=pl.col("item_id").cast(pl.Categorical)).write_parquet(tmp_path / "table.parquet")
    found, num_batches = streamed(tmp_path / "table.parquet")
    assert found.drop("kind").equals(frame)
    assert num_batches == 8

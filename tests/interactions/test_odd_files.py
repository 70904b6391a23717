"""Table files that are not plain CSV are read if their meaning is certain; otherwise a one-line error is raised."""

import gzip
import json

import polars as pl
import pytest

from seqrec.interactions.interactions import read_interactions


def zipped(content):
    """Compress bytes, without the time: names of tests must not depend on it."""
    return gzip.compress(content, mtime=0)


HEADER = "user_id,item_id,timestamp\n"
ROWS = "".join(f"u{number % 5},i{number % 7},{number + 1_600_000_000}\n" for number in range(300))
PLAIN = HEADER + ROWS
OBJECTS = [{"user_id": f"u{number % 5}", "item_id": f"i{number % 7}", "timestamp": number} for number in range(30)]
LINES = "\n".join(map(json.dumps, OBJECTS))


def write(folder, name, content):
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("log.tsv", PLAIN.replace(",", "\t")),
        ("log.tsv.gz", zipped(PLAIN.replace(",", "\t").encode())),
        ("log.txt", PLAIN.replace(",", ";")),
        ("log.txt", PLAIN),
        ("log.dat", PLAIN.replace(",", "::")),
        ("log.dat", PLAIN.replace(",", "|")),
        ("LOG.CSV", PLAIN),
        ("log.csv", "\ufeff" + PLAIN),
        ("log.csv", PLAIN.replace("\n", "\r\n")),
        ("log.csv", PLAIN.replace("\n", "\r")),
        ("log.csv", zipped(PLAIN.encode())),
        ("log.csv.gz", PLAIN),
    ],
)
def test_text_is_read_where_its_form_is_certain(tmp_path, name, content):
    read = read_interactions(write(tmp_path, name, content))
    assert (read.height, read.row(0)) == (300, ("u0", "i0", 1_600_000_000))


@pytest.mark.parametrize(
    ("name", "content", "warning"),
    [
        ("log.csv", PLAIN.replace(",", "\t"), "'log.csv' are separated by tabs, not by commas"),
        ("log.csv", PLAIN.replace(",", ";"), "'log.csv' are separated by semicolons, not by commas"),
        ("log.csv", PLAIN.replace(",", "|"), "'log.csv' are separated by bars, not by commas"),
        ("log.csv", PLAIN.replace(",", "::"), "'log.csv' are separated by double colons, not by commas"),
        ("log.tsv", PLAIN, "'log.tsv' are separated by commas, not by tabs"),
        ("log.csv", PLAIN.encode("utf-16"), "encoding of 'log.csv' is UTF-16, not UTF-8"),
        ("log.csv", PLAIN.encode("utf-16-be"), "encoding of 'log.csv' is UTF-16-BE, not UTF-8"),
        ("log.csv.gz", zipped(PLAIN.encode("utf-16")), "encoding of 'log.csv.gz' is UTF-16"),
    ],
)
def test_an_unusual_form_is_read_with_a_warning(tmp_path, name, content, warning):
    path = write(tmp_path, name, content)
    with pytest.warns(UserWarning, match=warning):
        read = read_interactions(path)
    assert (read.height, read.row(0)) == (300, ("u0", "i0", 1_600_000_000))


def test_a_separator_within_another_columns_name_does_not_mislead(tmp_path):
    content = "user_id;item_id;timestamp;price, in euro\nu1;i1;1;2\nu2;i2;3;4\n"
    assert read_interactions(write(tmp_path, "log.txt", content)).height == 2


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("log.jsonl", LINES),
        ("log.ndjson", LINES),
        ("log.json", LINES),
        ("log.jsonl", json.dumps(OBJECTS)),
        ("log.json", json.dumps(OBJECTS, indent=1)),
        ("log.jsonl", "\ufeff" + LINES),
        ("log.jsonl.gz", zipped(LINES.encode())),
        ("log.json.gz", zipped(json.dumps(OBJECTS).encode())),
    ],
)
def test_json_is_read_as_lines_or_as_a_list(tmp_path, name, content):
    read = read_interactions(write(tmp_path, name, content))
    assert (read.height, read.row(0)) == (30, ("u0", "i0", 0))


PARQUET = pl.DataFrame({"user_id": ["a", "b"] * 50, "item_id": ["x", "y"] * 50, "timestamp": [1] * 100})


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("log.csv", PLAIN + '"u1,i1,5\n' + ROWS, "line 302 has an unmatched quote"),
        ("log.csv", PLAIN + 'u1,"i1,5\n' + 10 * ROWS, "line 302 has an unmatched quote"),
        ("log.csv", PLAIN + 'u1,i1,"5\n', "line 302 has an unmatched quote"),
        ("log.csv", PLAIN + 'u1,i"1,5\n' + ROWS, "line 302 has an unmatched quote"),
        ("log.csv", '"' + PLAIN, "line 1 has an unmatched quote"),
        ("log.csv", PLAIN + "u1,i1,5,x\n", "line 302 has 4 fields, but the header has 3. Put quotes"),
        ("log.csv", PLAIN + f"u1,i1,{'9' * 60}\n", "at column 'timestamp'"),
        ("log.csv", (PLAIN + "é,i1,5\n").encode("latin-1"), "encoding of '.*log.csv' is not UTF-8: line 302 .* 0xe9"),
        ("log.csv", PLAIN.encode("utf-16")[:2] + b"\x00\xd8\x00", "begins as UTF-16 text but is not valid"),
        ("log.csv", ROWS, "no header: its first line is u0, i0, 1600000000"),
        ("log.dat", "1::1193::5::978300760\n" * 2, "no header: its first line is 1, 1193, 5, 978300760"),
        ("log.csv", PLAIN.replace(",", " "), "If these are several columns, separate them by"),
        ("log.csv", HEADER.replace(",", ", ") + ROWS, "rename ' item_id', ' timestamp': spaces"),
        ("log.csv", HEADER.upper() + ROWS, "rename 'USER_ID', .*capitals"),
        ("log.csv", "user_id,item_id,item_id,timestamp\na,b,c,1\n", "more than one column 'item_id'"),
        ("log.csv", "", "is empty"),
        ("log.csv", "\n\n", "is empty"),
        ("log.csv", "\ufeff", "is empty"),
        ("log.csv.gz", zipped(b""), "is empty"),
        ("log.jsonl", "", "is empty"),
        ("log.parquet", "", "is empty"),
        ("log.json", "[]", "has no rows"),
        ("log.csv.gz", zipped(PLAIN.encode())[:-100], "could not be read as csv.gz: its gzip .* cut off"),
        ("log.csv", b"PAR1 and so on", "is a Parquet file"),
        ("log.csv", b"PK\x03\x04 and so on", "is a ZIP archive"),
        ("log.csv", LINES, "looks like JSON"),
        ("log.jsonl", json.dumps(OBJECTS)[:-20], "could not be read as jsonl: .*Expected one object per line"),
        ("log.jsonl", json.dumps(OBJECTS[0], indent=1), "could not be read as jsonl: .*Expected one object per line"),
        ("log.jsonl", LINES.replace("i1", "é").encode("latin-1"), "is not UTF-8: line 2 "),
        ("log.jsonl", '{"user_id": {"a": 1}, "item_id": "x", "timestamp": 1}', "user_id is of type Struct"),
        ("log.json", '{"user_id": ["a"], "item_id": ["x"], "timestamp": [1]}', "user_id is of type List"),
    ],
)
@pytest.mark.filterwarnings("ignore:The encoding of")
def test_what_cannot_be_read_right_is_one_short_line(tmp_path, name, content, message):
    with pytest.raises(ValueError, match=message) as caught:
        read_interactions(write(tmp_path, name, content))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500 + len(str(tmp_path))


@pytest.mark.parametrize("damage", [lambda raw: raw[:-30], lambda raw: raw[:20] + bytes(40) + raw[60:]])
def test_a_damaged_parquet_file_is_one_short_line(tmp_path, damage):
    path = tmp_path / "log.parquet"
    PARQUET.write_parquet(path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"log.parquet' could not be read as parquet: [^\n]{,250}$"):
        read_interactions(path)


def test_rows_that_an_open_quote_swallows_are_told(tmp_path):
    path = write(tmp_path, "log.csv", PLAIN + 'u1,"i1,5\n' + ROWS + 'u1,i2",5\n')
    with pytest.warns(UserWarning, match=r"1 values of item_id hold line breaks and commas .*quote left open"):
        assert read_interactions(path).height == 301  # of 602 lines


def test_missing_columns_are_told_with_the_flags():
    with pytest.raises(ValueError, match=r"Use `columns` \(--user_id_column\) to name"):
        read_interactions(PARQUET.rename({"user_id": "uid"}))

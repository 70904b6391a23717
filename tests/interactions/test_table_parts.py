"""Tables in folders of parts, as written by Spark and others, and names that are not folders."""

import os

import polars as pl
import pytest

from seqrec.interactions.data_arguments import DataArguments
from seqrec.interactions.preparation import prepare
from seqrec.interactions.sources import load_hub_table, load_interactions

LOG = pl.DataFrame({"user_id": ["a", "a", "b", "b"], "item_id": ["x", "y", "x", "z"], "timestamp": [1, 2, 3, 4]})


def write_parts(folder, suffix=".parquet", count=2):
    folder.mkdir(parents=True)
    for number in range(count):
        part = LOG[2 * number : 2 * number + 2]
        path = folder / f"part-0000{number}{suffix}"
        part.write_parquet(path) if suffix.endswith(".parquet") else part.write_csv(path)
    return folder


@pytest.mark.parametrize("name", ["purchases", "purchases.parquet", "purchases.csv", "a:b", "org/name", "2024.01"])
@pytest.mark.parametrize("suffix", [".snappy.parquet", ".csv"])
def test_a_folder_of_parts_is_read_whatever_its_name(tmp_path, monkeypatch, name, suffix):
    folder = write_parts(tmp_path / name, suffix)
    (folder / "_SUCCESS").touch()
    (folder / ".part-00000.crc").write_bytes(b"\0")
    monkeypatch.chdir(tmp_path)
    for dataset in (name, folder, str(folder), f"file://{folder}"):
        data = load_interactions(dataset)
        assert data.interactions.rows() == LOG.rows()
        assert data.name == folder.name
        assert not data.is_on_hub


def test_empty_parts_and_partitions_are_read(tmp_path):
    write_parts(tmp_path / "log" / "day=1", ".csv", count=1)
    (tmp_path / "log" / "day=2").mkdir()
    LOG[2:].write_csv(tmp_path / "log" / "day=2" / "part-0.csv")
    LOG[:0].write_csv(tmp_path / "log" / "day=2" / "part-1.csv")
    (tmp_path / "log" / "day=2" / "part-2.csv").touch()
    assert load_interactions(tmp_path / "log").interactions.rows() == LOG.rows()


def test_a_folder_may_hold_folders_of_interactions_and_items(tmp_path):
    write_parts(tmp_path / "shop" / "interactions.parquet")
    items = tmp_path / "shop" / "items.csv"
    items.mkdir()
    (items / "part-0.csv").write_text("item_id,title\nx,X\ny,Y\nz,Z\n")
    data = load_interactions(tmp_path / "shop")
    assert (data.interactions.rows(), data.items["title"].to_list()) == (LOG.rows(), ["X", "Y", "Z"])


def test_parts_of_different_tables_are_refused(tmp_path):
    folder = write_parts(tmp_path / "log")
    LOG.rename({"user_id": "uid"}).write_parquet(folder / "other.parquet")
    with pytest.raises(ValueError, match=r"part-00000.parquet' and '.*other.parquet' have different columns"):
        load_interactions(folder)


@pytest.mark.parametrize("name", [".", "empty", "notes"])
def test_a_folder_without_tables_is_a_sentence(tmp_path, monkeypatch, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "notes.txt").write_text("no table")
    (tmp_path / "notes" / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"^The folder '.*' contains no tables[^\n]*$"):
        prepare(DataArguments(dataset=name))


def test_the_root_of_the_file_system_is_not_searched():
    with pytest.raises(ValueError, match="'/' is the root of the file system"):
        prepare(DataArguments(dataset="/"))


def test_a_split_that_is_not_there_is_named(tmp_path):
    folder = write_parts(tmp_path / "log")
    with pytest.raises(ValueError, match=r"has no split 'test'. It has: none"):
        load_interactions(f"{folder}:test")


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (r"C:\data\log.csv", r"There is no file 'C:\\data\\log.csv'"),
        (r"C:\data\log", r"There is no file or folder 'C:\\data\\log'"),
        ("C:/data/log", "There is no file or folder 'C:/data/log'"),
        (r"\\server\share", "There is no file or folder"),
        ("/nowhere/log", "There is no file or folder '/nowhere/log'"),
        ("./nowhere", "There is no file or folder './nowhere'"),
        ("../nowhere", "There is no file or folder '../nowhere'"),
        ("a/b/c", "There is no file or folder 'a/b/c'"),
        ("two words", "There is no file or folder 'two words'"),
        ("two\nlines", "There is no file or folder 'two lines'"),
        ("x" * 5000 + "/y", "There is no file or folder 'xxx"),
        ("", "An empty name"),
        ("~nobody-of-this-name/log", "its home folder is unknown"),
        ("https://example.org/log.csv", "is an address .https.*Download it first"),
        ("s3://bucket/log.parquet", "is an address .s3.*Download it first"),
        ("gs://bucket/log", "is an address .gs.*Download it first"),
        ("hf://datasets/org/name", "Give its name: org/name"),
        ("https://huggingface.co/datasets/org/name/tree/main", "Give its name: org/name"),
        ("file://elsewhere/log.csv", "is a file on another machine"),
        ("file:///nowhere/log.csv", "There is no file '/nowhere/log.csv'"),
    ],
)
def test_what_is_no_name_of_the_hub_is_never_looked_for_there(monkeypatch, dataset, message):
    def refuse(*arguments, **options):
        raise AssertionError("looked for on the Hub")

    monkeypatch.setattr("seqrec.interactions.sources.load_hub_table", refuse)
    monkeypatch.setattr("seqrec.interactions.prepared_sets.hf_hub_download", refuse)
    with pytest.raises(ValueError, match=f"^[^\n]*{message}[^\n]*$"):
        prepare(DataArguments(dataset=dataset))


def test_colons_in_the_names_of_files_are_letters(tmp_path):
    path = tmp_path / "log:2024.csv"
    LOG.write_csv(path)
    assert load_interactions(str(path)).name == "log:2024"


def test_a_damaged_data_set_of_the_hub_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "org" / "log").mkdir(parents=True)
    (tmp_path / "org" / "log" / "train.parquet").write_bytes(b"PAR1 no more")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_DATASETS_CACHE", os.fspath(tmp_path))
    with pytest.raises(ValueError, match=r"'org/log' is neither [^\n]*could not be loaded[^\n]*$"):
        load_hub_table("org/log")

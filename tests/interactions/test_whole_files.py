"""Files and folders are written atomically."""

import os
import resource
import stat
import threading
from contextlib import contextmanager

import polars as pl
import pytest

from seqrec.interactions.one_line import one_line
from seqrec.interactions.whole_files import whole_file, whole_folder, write_text_whole

TABLE = pl.DataFrame({"number": range(100_000)})
WRITERS = {".csv": TABLE.write_csv, ".parquet": TABLE.write_parquet, ".jsonl": TABLE.write_ndjson}


@contextmanager
def full_disk(num_bytes=1000):
    """Let no file grow beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def write_and_raise(path, error):
    with whole_file(path) as part:
        part.write_text("new")
        raise error


def begin_folder_and_raise(folder, error):
    with whole_folder(folder, last="b") as part:
        (part / "a").write_text("1")
        raise error


def test_a_file_is_written_and_nothing_left_beside_it(tmp_path):
    write_text_whole(tmp_path / "a.json", "é\n")
    assert (tmp_path / "a.json").read_bytes() == "é\n".encode()
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_full_disk_leaves_the_old_file(tmp_path, suffix):
    path = tmp_path / f"out{suffix}"
    path.write_text("old")
    message = r"out\.\w+' could not be written: .*File too large"
    with full_disk(), pytest.raises(ValueError, match=message), whole_file(path) as part:
        WRITERS[suffix](part)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt, SystemExit])
def test_whatever_ends_the_writing_leaves_the_old_file(tmp_path, error):
    path = tmp_path / "out.txt"
    path.write_text("old")
    with pytest.raises(error):
        write_and_raise(path, error)
    assert (path.read_text(), list(tmp_path.iterdir())) == ("old", [path])


def test_permissions_are_those_of_any_new_file_or_of_the_one_replaced(tmp_path):
    (tmp_path / "plain").write_text("")
    write_text_whole(tmp_path / "new", "")
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "plain").stat().st_mode
    (tmp_path / "new").chmod(0o640)
    write_text_whole(tmp_path / "new", "again")
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640


@pytest.mark.parametrize("name", ["absent/out.csv", "file/out.csv", ""])
def test_where_nothing_can_be_written_is_a_sentence(tmp_path, name):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"^'.*' could not be written: [^\n]*\.$"):
        write_text_whole(tmp_path / name, "")


def test_a_link_is_followed_and_a_pipe_written_to(tmp_path):
    (tmp_path / "real.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to("real.txt")
    write_text_whole(tmp_path / "link.txt", "new")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real.txt").read_text() == "new"
    os.mkfifo(tmp_path / "pipe")
    received = []
    reader = threading.Thread(target=lambda: received.append((tmp_path / "pipe").read_text()))
    reader.start()
    write_text_whole(tmp_path / "pipe", "through")
    reader.join()
    assert received == ["through"]


def test_names_as_long_as_may_be(tmp_path):
    write_text_whole(tmp_path / ("ü" * 125 + ".json"), "")
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("exists", [False, True])
def test_a_folder_is_made_whole_or_not_at_all(tmp_path, exists):
    folder = tmp_path / "deep" / "set"
    if exists:
        folder.mkdir(parents=True)
    with pytest.raises(KeyError):
        begin_folder_and_raise(folder, KeyError)
    assert list((tmp_path / "deep").iterdir()) == ([folder] if exists else [])
    with whole_folder(folder, last="b") as part:
        (part / "b").write_text("2")
        (part / "a").write_text("1")
        assert folder.exists() == exists
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"a": "1", "b": "2"}
    assert list((tmp_path / "deep").iterdir()) == [folder]


def test_a_folder_that_holds_anything_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    for folder in (tmp_path, tmp_path / "mine.txt"):
        with pytest.raises(ValueError, match="already exists and is not empty"):
            begin_folder_and_raise(folder, AssertionError("nothing is to be written"))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (ValueError("a\n\n b\x1b[31m\tc"), "a b [31m c"),
        (FileNotFoundError(2, "No such file", "/secret/place"), "No such file"),
        (OSError("said by a library"), "said by a library"),
        ("x" * 1000, "x" * 199 + "…"),
    ],
)
def test_messages_of_other_libraries_become_one_line(message, line):
    assert one_line(message) == line

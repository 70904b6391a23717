"""Output paths of the command line are checked before any work, and files are replaced atomically."""

import os
from pathlib import Path

import polars as pl
import pytest

from seqrec import Recommender
from seqrec.cli import command_line
from seqrec.cli.output import require_new_folder, require_output_file, write_frame

FRAME = pl.DataFrame({"user_id": ["a"], "rank": [1], "item_id": ["i1"], "score": [0.5]})


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a model, a table, a link to it, and folders that stand in the way."""
    monkeypatch.chdir(tmp_path)
    for folder in ("model", "folder.csv", "parts.parquet"):
        (tmp_path / folder).mkdir()
    for file in ("model/items.parquet", "in.csv", "parts.parquet/part-0.parquet", "file"):
        (tmp_path / file).write_text("x")
    (tmp_path / "link.csv").symlink_to("in.csv")
    (tmp_path / "model-link.parquet").symlink_to("model/items.parquet")
    os.link(tmp_path / "in.csv", tmp_path / "hard.csv")
    return tmp_path


@pytest.mark.parametrize(
    ("output", "source", "message"),
    [
        ("", "in.csv", "must end in one of .csv, .parquet, .jsonl"),
        ("out", "in.csv", "must end in one of"),
        ("out.xlsx", "in.csv", "must end in one of"),
        ("folder.csv", "in.csv", "is a folder"),
        ("no/such/out.csv", "in.csv", "is in a folder that does not exist"),
        ("file/out.csv", "in.csv", "is in a folder that does not exist"),
        ("/proc/out.csv", "in.csv", "cannot be written"),
        ("in.csv", "in.csv", "would replace or add to --input"),
        ("./model/../in.csv", "in.csv", "would replace or add to --input"),
        ("link.csv", "in.csv", "would replace or add to --input"),
        ("in.csv", "link.csv", "would replace or add to --input"),
        ("hard.csv", "in.csv", "would replace or add to --input"),
        ("parts.parquet/part-0.parquet", "parts.parquet", "would replace or add to --input"),
        ("parts.parquet/new.parquet", "parts.parquet", "would replace or add to --input"),
        ("model/items.parquet", "in.csv", "would replace a file of the model"),
        ("model-link.parquet", "in.csv", "would replace a file of the model"),
    ],
)
def test_an_output_that_cannot_be_is_refused_before_any_work(place, monkeypatch, capsys, output, source, message):
    if output.startswith("/proc") and not Path("/proc").is_dir():
        pytest.skip("there is no /proc here")
    monkeypatch.setattr(Recommender, "from_pretrained", lambda *_, **__: pytest.fail("the model was loaded"))
    assert command_line.main(["recommend", "--model", "model", "--input", source, "--output", output]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1
    assert (place / "in.csv").read_text() == "x"


@pytest.mark.parametrize("output", ["out.csv", "out.CSV", "out.Parquet", "model/out.jsonl"])
def test_an_output_is_written_by_its_ending_in_any_case(place, output):
    require_output_file(output, model="model", sources={"--input": "in.csv"})
    write_frame(FRAME, output)
    reader = {".csv": pl.read_csv, ".parquet": pl.read_parquet, ".jsonl": pl.read_ndjson}[Path(output).suffix.lower()]
    assert reader(output).equals(FRAME)
    assert not list(place.rglob(".part-*"))


def test_a_failed_write_leaves_the_old_file(place):
    (place / "out.csv").write_text("before")
    nested = pl.DataFrame({"a": [[1]]})  # which a CSV cannot hold
    with pytest.raises(ValueError, match=r"'out.csv' could not be written"):
        write_frame(nested, "out.csv")
    assert (place / "out.csv").read_text() == "before"
    assert not list(place.rglob(".part-*"))


@pytest.mark.parametrize("command", ["train", "prepare"])
@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ("", "--output_dir"),
        ("  ", "--output_dir"),
        ("file", "is a file"),
        ("file/sub", "is a file"),
        ("file/sub/sub", "is a file"),
        ("/proc/x", "cannot be written"),
    ],
)
def test_an_output_folder_that_cannot_be_is_refused_before_any_work(place, capsys, command, folder, message):
    if folder.startswith("/proc") and not Path("/proc").is_dir():
        pytest.skip("there is no /proc here")
    assert command_line.main([command, "--dataset", "nowhere.csv", "--output_dir", folder]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert "nowhere" not in told
    assert told.count("\n") == 1


def test_a_prepared_set_replaces_nothing(place, capsys):
    assert command_line.main(["prepare", "--dataset", "synthetic", "--output_dir", "model"]) == 2
    assert "already exists and is not empty" in capsys.readouterr().err


def test_a_folder_that_may_be_is_not_made_by_looking(place):
    require_new_folder("new/folder")
    assert not (place / "new").exists()
    assert not list(place.rglob(".part-*"))

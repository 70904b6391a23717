"""`seqrec embed`."""

import sys
from types import SimpleNamespace

import polars as pl
import pyarrow.parquet as pq
import pytest

from seqrec import Recommender
from seqrec.cli.command_line import main

READERS = {".parquet": pl.read_parquet, ".arrow": pl.read_ipc}


@pytest.fixture
def model_type():
    return "sasrec"


@pytest.fixture
def table(tmp_path):
    rows = [(f"u{user}", f"item {(3 * user + step) % 40}", step) for user in range(5) for step in range(4)]
    pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row").write_csv(tmp_path / "table.csv")
    return tmp_path / "table.csv"


@pytest.fixture
def lance(monkeypatch):
    """A stand-in for the package, which writes Parquet into a folder."""

    def write_dataset(table, folder):
        from pathlib import Path

        Path(folder).mkdir()
        pq.write_table(table, Path(folder) / "data.parquet")

    package = SimpleNamespace(write_dataset=write_dataset, __spec__=SimpleNamespace(name="lance"))
    monkeypatch.setitem(sys.modules, "lance", package)


def refusal(capsys, *argv):
    capsys.readouterr()
    assert main([str(word) for word in argv]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1, message
    return message


@pytest.mark.parametrize("suffix", READERS)
def test_vectors_are_written(folder, table, tmp_path, suffix, capsys):
    recommender = Recommender.from_pretrained(folder, device="cpu")
    items, users = tmp_path / f"items{suffix}", tmp_path / f"users{suffix}"
    start = ["embed", "--model", str(folder), "--device", "cpu"]
    assert main([*start, "--items", "--output", str(items)]) == 0
    assert main([*start, "--input", str(table), "--output", str(users)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"Wrote the vectors of 40 items (16 numbers each) to {items}.",
        f"Wrote the vectors of 5 users (16 numbers each) to {users}.",
    ]
    assert READERS[suffix](items).equals(recommender.item_embeddings())
    assert READERS[suffix](users).equals(recommender.user_embeddings(str(table)))


def test_lance_is_written_if_it_is_installed(folder, tmp_path, lance):
    output = tmp_path / "items.lance"
    assert main(["embed", "--model", str(folder), "--items", "--output", str(output), "--quiet"]) == 0
    found = pl.from_arrow(pq.read_table(output / "data.parquet"))
    assert found["item_id"].to_list() == Recommender.from_pretrained(folder).item_ids
    assert {path.name for path in tmp_path.iterdir()} == {"model", "items.lance"}


def test_unusable_flags_are_refused(folder, table, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "lance", None)
    start = ["embed", "--model", folder]
    output = ["--output", tmp_path / "out.parquet"]
    assert "Give either --items or --input." in refusal(capsys, *start, *output)
    assert "Give either --items or --input." in refusal(capsys, *start, "--items", "--input", table, *output)
    assert "--at has no effect with --items" in refusal(capsys, *start, "--items", "--at", "now", *output)
    message = refusal(capsys, *start, "--items", "--user_id_column", "u", *output)
    assert "--user_id_column has no effect with --items" in message
    message = refusal(capsys, *start, "--items", "--output", tmp_path / "out.csv")
    assert "must end in one of .parquet, .arrow, .lance" in message
    message = refusal(capsys, *start, "--input", table, "--output", table.with_suffix(".lance"))
    assert "needs the package pylance" in message
    (tmp_path / "old.lance").mkdir()
    message = refusal(capsys, *start, "--items", "--output", tmp_path / "old.lance")
    assert "already exists. Choose another name" in message
    message = refusal(capsys, *start, "--items", "--output", folder / "items.parquet")
    assert "would replace a file of the model" in message

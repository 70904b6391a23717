"""`seqrec evaluate --ranks` writes the ranks that the printed metrics are means of."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from seqrec import Recommender
from seqrec.cli.command_line import main
from seqrec.interactions.synthetic import synthetic_interactions

READERS = {".csv": pl.read_csv, ".parquet": pl.read_parquet, ".jsonl": pl.read_ndjson}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A model, and the table that it was trained on, whose user ids are text."""
    folder = tmp_path_factory.mktemp("runs")
    log = synthetic_interactions(num_users=60, num_items=60)
    log.with_columns(user_id="user " + pl.col("user_id").cast(pl.String)).write_csv(folder / "log.csv")
    tiny = ["--hidden_size", "16", "--intermediate_size", "32", "--max_position_embeddings", "20"]
    flags = ["--dataset", str(folder / "log.csv"), "--output_dir", str(folder / "model"), "--num_train_epochs", "2"]
    assert main(["train", *flags, *tiny, "--disable_tqdm", "true"]) == 0
    return folder


def evaluate(folder, *flags):
    return main(["evaluate", "--model", str(folder / "model"), "--dataset", str(folder / "log.csv"), *flags])


@pytest.mark.parametrize("split", ["validation", "test"])
@pytest.mark.parametrize("suffix", READERS)
def test_means_of_the_file_are_the_printed_metrics(trained, tmp_path, capsys, suffix, split):
    path = tmp_path / f"ranks{suffix}"
    capsys.readouterr()
    assert evaluate(trained, "--split", split, "--json", "--ranks", str(path)) == 0
    metrics = json.loads(capsys.readouterr().out)["model"][split]
    found = READERS[suffix](path)
    assert found.columns == ["user_id", "item_id", "rank"]
    assert found["rank"].dtype == pl.Int64
    log = pl.read_csv(trained / "log.csv").sort("user_id", "timestamp", maintain_order=True)
    place = -1 if split == "test" else -2
    users = log.partition_by("user_id", as_dict=True).items()
    targets = {user: str(frame["item_id"][place]) for (user,), frame in users}
    assert dict(found.select("user_id", "item_id").cast(pl.String).rows()) == targets
    ranks = found["rank"].to_numpy()
    for k in (1, 10):
        assert (ranks <= k).mean() == metrics[f"hr@{k}"]
        assert np.where(ranks <= k, 1 / np.log2(1 + ranks), 0).mean() == pytest.approx(metrics[f"ndcg@{k}"], abs=1e-12)
        assert np.where(ranks <= k, 1 / ranks, 0).mean() == pytest.approx(metrics[f"mrr@{k}"], abs=1e-12)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", "--ranks"),
        ("ranks", "--ranks 'ranks' must end in one of .csv, .parquet, .jsonl"),
        ("no/such/ranks.csv", "is in a folder that does not exist"),
        ("log.csv", "--ranks 'log.csv' would replace or add to --dataset"),
        ("titles.csv", "--ranks 'titles.csv' would replace or add to --items"),
        ("model/items.parquet", "would replace a file of the model"),
    ],
)
def test_a_file_that_cannot_be_written_is_refused_before_any_work(trained, monkeypatch, capsys, path, message):
    monkeypatch.chdir(trained)
    Path("titles.csv").write_text("item_id,title\n1,one\n")
    monkeypatch.setattr(Recommender, "from_pretrained", lambda *_, **__: pytest.fail("the model was loaded"))
    before = {file: file.read_bytes() for file in Path().rglob("*") if file.is_file()}
    capsys.readouterr()
    assert evaluate(Path(), "--items", "titles.csv", "--ranks", path) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1
    assert {file: file.read_bytes() for file in Path().rglob("*") if file.is_file()} == before

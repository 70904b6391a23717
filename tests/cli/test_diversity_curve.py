"""`seqrec evaluate --diversity_curve`."""

import json
from pathlib import Path

import polars as pl
import pytest

from seqrec import Recommender
from seqrec.cli.command_line import main
from seqrec.interactions.synthetic import synthetic_interactions


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a log, a table of items and a model of them."""
    folder = tmp_path_factory.mktemp("curve")
    log = synthetic_interactions(num_users=30, seed=1)
    log.write_csv(folder / "log.csv")
    ids = log["item_id"].unique(maintain_order=True)
    genres = [("Drama|War", "Comedy", "War|Western")[place % 3] for place in range(len(ids))]
    pl.DataFrame({"item_id": ids, "title": ids, "genres": genres}).write_csv(folder / "titles.csv")
    tiny = ["--hidden_size", "16", "--intermediate_size", "32", "--max_position_embeddings", "20"]
    flags = ["--dataset", str(folder / "log.csv"), "--output_dir", str(folder / "model"), "--num_train_epochs", "1"]
    assert main(["train", *flags, *tiny, "--items", str(folder / "titles.csv"), "--disable_tqdm", "true"]) == 0
    return folder


def evaluate(*flags):
    return main(["evaluate", "--model", "model", "--dataset", "log.csv", "--items", "titles.csv", *flags])


@pytest.mark.parametrize("split", ["validation", "test"])
def test_the_picture_and_its_figures_are_written_and_summed_up(trained, monkeypatch, tmp_path, capsys, split):
    monkeypatch.chdir(trained)
    picture = tmp_path / "curve.png"
    flags = ["--diversity_curve", str(picture), "--diversify_by", "genres", "--rerank_from", "30"]
    assert evaluate("--split", split, *flags) == 0
    printed = capsys.readouterr().out
    assert picture.read_bytes().startswith(b"\x89PNG")
    curve = json.loads((tmp_path / "curve.json").read_text())
    assert (curve["split"], curve["num_candidates"], curve["diversify_by"]) == (split, 30, "genres")
    assert {"mmr", "dpp", "calibrated", "max_per", "popularity_penalty", "exposure"} == set(curve["methods"])
    assert f"{curve['own']['coverage@10']:.4f}" in printed.partition("own lists")[2]
    assert evaluate("--split", split, "--json") == 0
    figures = json.loads(capsys.readouterr().out)
    lists = figures["lists"]["model"][split]
    assert lists == {name: curve["own"][name] for name in lists}
    assert set(lists) == {"popularity_lift@10", "intra_list_distance@10", "categories"}
    assert figures["model"][split]["ndcg@10"] == pytest.approx(curve["own"]["ndcg@10"])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--diversity_curve", ""], "--diversity_curve"),
        (["--diversity_curve", "curve.jpg"], "--diversity_curve 'curve.jpg' must end in .png"),
        (["--diversity_curve", "no/such/curve.png"], "is in a folder that does not exist"),
        (["--diversity_curve", "model/metrics.png"], "would replace a file of the model"),
        (["--diversify_by", "genres"], "--diversify_by has no effect without --diversity_curve"),
        (["--rerank_from", "50"], "--rerank_from has no effect without --diversity_curve"),
    ],
)
def test_mistakes_are_refused_before_any_work(trained, monkeypatch, capsys, flags, message):
    monkeypatch.chdir(trained)
    monkeypatch.setattr(Recommender, "from_pretrained", lambda *_, **__: pytest.fail("the model was loaded"))
    before = {file: file.read_bytes() for file in Path().rglob("*") if file.is_file()}
    assert evaluate(*flags) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1
    assert {file: file.read_bytes() for file in Path().rglob("*") if file.is_file()} == before


def test_an_unknown_column_is_named_before_the_ranking(trained, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(trained)
    assert evaluate("--diversity_curve", str(tmp_path / "curve.png"), "--diversify_by", "mood") == 2
    assert "The items have no column 'mood'. They have: genres." in capsys.readouterr().err
    assert not list(tmp_path.iterdir())

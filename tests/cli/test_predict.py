"""`seqrec predict`, and `seqrec recommend --rank_by`."""

import json

import polars as pl
import pytest
import torch

from seqrec import Recommender
from seqrec.cli.command_line import main
from seqrec.testing.tiny_inputs import with_numbers

READERS = {".csv": pl.read_csv, ".parquet": pl.read_parquet, ".jsonl": pl.read_ndjson}


@pytest.fixture
def model_type():
    return "sasrec"


@pytest.fixture
def choices():
    return {"tasks": ["next_item", "rating", "like"], "rating_scale": [1, 5]}


@pytest.fixture
def tiny_model(tiny_model):
    torch.manual_seed(0)
    return with_numbers(tiny_model)


@pytest.fixture
def tables(tmp_path):
    """Interactions of 5 users, and pairs: paths of files."""
    rows = [(f"u{user}", f"item {(3 * user + step) % 40}", step) for user in range(5) for step in range(4)]
    log, pairs = tmp_path / "log.csv", tmp_path / "pairs.csv"
    pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row").write_csv(log)
    pl.DataFrame({"user_id": ["u3", "u0", "u3"], "item_id": ["item 1", "item 2", "item 3"]}).write_csv(pairs)
    return str(log), str(pairs)


def refusal(capsys, *argv):
    capsys.readouterr()
    assert main([str(word) for word in argv]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1, message
    return message


@pytest.mark.parametrize("suffix", READERS)
def test_predictions_are_written(folder, tables, tmp_path, suffix, capsys):
    log, pairs = tables
    output = tmp_path / f"out{suffix}"
    argv = ["predict", "--model", folder, "--input", pairs, "--histories", log, "--output", output, "--device", "cpu"]
    assert main([str(word) for word in argv]) == 0
    assert f"Wrote predictions of rating and like for 3 pairs to {output}." in capsys.readouterr().out
    expected = Recommender.from_pretrained(folder, device="cpu").predict_frame(pairs, log)
    found = READERS[suffix](output)
    assert found.columns == ["user_id", "item_id", "rating", "like"]
    assert found.select("user_id", "item_id").equals(expected.select("user_id", "item_id"))
    assert found["rating"].to_list() == pytest.approx(expected["rating"].to_list(), abs=1e-5)
    capsys.readouterr()
    assert main([str(word) for word in [*argv, "--quiet"]]) == 0
    assert capsys.readouterr().out == ""


def test_histories_may_be_in_the_pairs(folder, tmp_path):
    pairs, output = tmp_path / "pairs.csv", tmp_path / "out.csv"
    pl.DataFrame({"history": ["item 1,item 2", "item 5"], "sku": ["item 3", "item 4"]}).write_csv(pairs)
    argv = ["predict", "--model", folder, "--input", pairs, "--output", output, "--item_id_column", "sku"]
    assert main([str(word) for word in argv]) == 0
    recommender = Recommender.from_pretrained(folder, device="cpu")
    expected = recommender.predict([["item 1", "item 2"], ["item 5"]], [["item 3"], ["item 4"]])
    assert pl.read_csv(output)["rating"].to_list() == pytest.approx(expected["rating"].to_list(), abs=1e-5)


def test_what_cannot_be_predicted(folder, tables, tmp_path, capsys):
    log, pairs = tables
    model, output = ["predict", "--model", folder], tmp_path / "out.csv"
    assert "the following arguments are required: --input, --output" in refusal(capsys, *model)
    model += ["--input", pairs]
    assert "must end in one of .csv, .parquet, .jsonl" in refusal(capsys, *model, "--output", tmp_path / "out.txt")
    assert "would replace or add to --input" in refusal(capsys, *model, "--output", pairs)
    assert "would replace or add to --histories" in refusal(capsys, *model, "--histories", log, "--output", log)
    model += ["--output", output]
    assert "The pairs have no column 'history'" in refusal(capsys, *model)
    assert "--at now has no effect: the model reads no" in refusal(capsys, *model, "--histories", log, "--at", "now")
    assert "There is no flag --history" in refusal(capsys, *model, "--historys", log)
    pl.DataFrame({"user_id": ["u3"], "item_id": ["x9"]}).write_csv(pairs)
    assert "1 of 1 candidates are not in the vocabulary (first: 'x9')" in refusal(capsys, *model, "--histories", log)
    assert not output.exists()


@pytest.mark.parametrize("choices", [{}], ids=["next_item"])
def test_a_model_of_the_next_item_predicts_nothing_else(folder, tables, tmp_path, capsys):
    log, pairs = tables
    argv = ["predict", "--model", folder, "--input", pairs, "--histories", log, "--output", tmp_path / "out.csv"]
    assert "The model predicts only the next item" in refusal(capsys, *argv)


def test_recommendations_are_ranked_by_several_scores(folder, tables, tmp_path, capsys):
    log, _ = tables
    recommender = Recommender.from_pretrained(folder, device="cpu")
    argv = ["recommend", "--model", str(folder), "--k", "4", "--rank_by", "next_item=1, rating=-0.2"]
    assert main([*argv, "--history", "item 1,item 2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    options = {"k": 4, "rank_by": {"next_item": 1, "rating": -0.2}}
    assert [one["item_id"] for one in found] == [
        one.item_id for one in recommender.recommend(["item 1", "item 2"], **options)
    ]
    output = tmp_path / "out.csv"
    assert main([*argv, "--rerank_from", "9", "--input", log, "--output", str(output)]) == 0
    expected = recommender.recommend_frame(log, rerank_from=9, **options)
    assert pl.read_csv(output)["item_id"].equals(expected["item_id"])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--rank_by", "rating"], "'rating' is not of the form next_item=1,rating=0.2, each name once"),
        (["--rank_by", "rating=1,rating=2"], "each name once"),
        (["--rank_by", "rating=x"], "'x' is not a finite number"),
        (["--rank_by", "rating=inf"], "'inf' is not a finite number"),
        (["--rank_by", "rating=0"], "All weights in rank_by are 0"),
        (["--rank_by", "buy=1"], "rank_by names 'buy', which the model does not predict"),
        (["--rank_by", "rating=1", "--rerank_from", "3"], "--rerank_from 3 is not an integer of at least --k 10"),
        (["--rerank_from", "30"], "--rerank_from has no effect without --rank_by"),
    ],
)
def test_weights_that_cannot_be_used(folder, capsys, flags, message):
    assert message in refusal(capsys, "recommend", "--model", folder, "--history", "item 1", *flags)

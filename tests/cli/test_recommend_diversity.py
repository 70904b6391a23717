"""`seqrec recommend --diversity` and the other flags of diverse lists."""

import json

import polars as pl
import pytest

from seqrec import Recommender
from seqrec.cli.command_line import main
from seqrec.testing.tiny_inputs import NUM_ITEMS

FLAGS = ["--diversity", "0.4", "--method", "dpp", "--diversify_by", "genres", "--max_per", "genres=2, maker=1"]
OPTIONS = {"diversity": 0.4, "method": "dpp", "diversify_by": "genres", "max_per": {"genres": 2, "maker": 1}}


@pytest.fixture
def model_type():
    return "sasrec"


@pytest.fixture
def items(items):
    genres = [("War|Drama", "Comedy", "Drama", None)[row % 4] for row in range(NUM_ITEMS)]
    return items.with_columns(genres=pl.Series(genres), maker=pl.Series([row % 9 for row in range(NUM_ITEMS)]))


@pytest.mark.parametrize(
    ("flags", "options"),
    [
        (FLAGS, OPTIONS),
        (["--exploration", "1", "--seed", "-4"], {"exploration": 1.0, "seed": -4}),
        (["--popularity_penalty", "2", "--rerank_from", "20"], {"popularity_penalty": 2.0, "rerank_from": 20}),
        (["--diversity", "0"], {}),
    ],
    ids=str,
)
def test_lists_are_those_of_python(folder, tmp_path, capsys, flags, options):
    recommender = Recommender.from_pretrained(folder, device="cpu")
    argv = ["recommend", "--model", str(folder), "--k", "4", "--device", "cpu", *flags]
    assert main([*argv, "--history", "item 1,item 2", "--json"]) == 0
    found = [one["item_id"] for one in json.loads(capsys.readouterr().out)]
    assert found == [one.item_id for one in recommender.recommend(["item 1", "item 2"], k=4, **options)]
    log, output = str(tmp_path / "log.csv"), tmp_path / "out.csv"
    rows = [(f"u{user}", f"item {(3 * user + step) % 40}", step) for user in range(5) for step in range(4)]
    pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row").write_csv(log)
    assert main([*argv, "--input", log, "--output", str(output)]) == 0
    expected = recommender.recommend_frame(log, k=4, **options)
    assert pl.read_csv(output)["item_id"].to_list() == expected["item_id"].to_list()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--diversity", "2"], "--diversity 2.0 is not a number from 0 to 1"),
        (["--diversity", "x"], "--diversity 'x' is not a finite number"),
        (["--diversity", "0.5", "--method", "mrm"], "--method invalid choice: 'mrm'"),
        (
            ["--diversity", "0.5", "--method", "calibrated"],
            "--method calibrated needs a column of categories. Name one",
        ),
        (["--method", "dpp"], "--method dpp has no effect without --diversity"),
        (["--seed", "3"], "--seed 3 has no effect without --exploration. Leave it out"),
        (["--exploration", "1", "--seed", "1.5"], "--seed '1.5' is not a whole number"),
        (["--exploration=-1"], "--exploration -1.0 is not a finite number of at least 0"),
        (["--max_per", "genres"], "--max_per 'genres' is not of the form genres=3,brand=1, each name once"),
        (["--max_per", "genres=0"], "--max_per '0' is not a whole number of at least 1"),
        (["--max_per", "brand=1"], "The items have no column 'brand'. They have: genres, maker"),
        (["--rerank_from", "30"], "--rerank_from has no effect without --rank_by or an option of diverse lists"),
        (["--diversity", "0.5", "--rerank_from", "3"], "--rerank_from 3 is not an integer of at least --k 10"),
    ],
)
def test_flags_that_cannot_be_used(folder, capsys, flags, message):
    assert main(["recommend", "--model", str(folder), "--history", "item 1", *flags]) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1

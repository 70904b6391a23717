"""`seqrec tune` on the command line: its flags, its lines, and its end."""

import polars as pl
import pytest
import yaml

from seqrec.cli.command_line import main
from seqrec.interactions.synthetic import synthetic_interactions

SIZES = {"hidden_size": 8, "num_attention_heads": 1, "num_hidden_layers": 1, "intermediate_size": 16}
TINY = [word for name, value in {**SIZES, "num_train_epochs": 1}.items() for word in (f"--{name}", str(value))]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "table.csv"
    synthetic_interactions(num_users=120, num_items=30, num_tastes=2, mean_length=6).write_csv(path)
    return str(path)


def test_it_searches_saves_and_prints_a_summary(table, tmp_path, capsys):
    folder = tmp_path / "m"
    flags = ["--dataset", table, "--output_dir", str(folder), "--search", "learning_rate,hidden_dropout", *TINY]
    assert main(["tune", "--trials", "3", *flags]) == 0
    told = capsys.readouterr()
    assert told.err.startswith("Tuning sasrec on cpu for 3 trials: 120 users, 30 items,")
    assert "Searching learning_rate, hidden_dropout." in told.err
    lines = [line for line in told.err.splitlines() if line.startswith("Trial ")]
    assert [line.split(":")[0] for line in lines] == ["Trial 0 (defaults)", "Trial 1", "Trial 2"]
    assert all(line.endswith(" left.") for line in lines)
    assert "Best of 3 trials: trial " in told.err
    assert "%|" not in told.err  # no bar without a terminal
    assert "ndcg@10" in told.out
    assert f"seqrec recommend --model {folder}" in told.out
    recipe = yaml.safe_load((folder / "recipe.yaml").read_text())
    assert recipe["dataset"] == table
    assert recipe["hidden_size"] == 8
    assert "output_dir" not in recipe
    assert "seqrec tune --trials 3 --dataset table.csv" in (folder / "README.md").read_text()
    assert len(pl.read_parquet(folder / "trials.parquet")) == 3

    assert main(["tune", "--trials", "3", *flags]) == 2
    assert "holds a finished search of 3 trials. Give more --trials to continue it" in capsys.readouterr().err
    recipe_flags = ["--config", str(folder / "recipe.yaml"), "--output_dir", str(tmp_path / "again")]
    assert main(["train", *recipe_flags, "--quiet", "true"]) == 0


def test_quiet_shows_nothing_but_warnings(table, tmp_path, capsys):
    flags = ["--dataset", table, "--output_dir", str(tmp_path / "m"), "--search", "hidden_dropout", *TINY, "--quiet"]
    assert main(["tune", "--trials", "1", *flags]) == 0
    told = capsys.readouterr()
    assert told.out == ""
    assert "Trial" not in told.err


MISTAKES = [
    (
        ["--trials", "2", "--search", "learning_rat"],
        "--search learning_rat is no setting that a search of sasrec can vary",
    ),
    (["--trials", "2", "--search", "hidden_size"], "hidden_size is named by --search, but its value is given too"),
    (["--trials", "0"], "--trials 0 must be a whole number of at least 1"),
    (["--minutes", "-1"], "--minutes -1 leaves no time to search"),
    (["--trials", "2", "--processes", "0"], "--processes '0' is not a whole number of at least 1"),
    ([], "--minutes and --trials are not given"),
]


@pytest.mark.parametrize(("flags", "message"), MISTAKES, ids=[" ".join(flags) for flags, _ in MISTAKES])
def test_mistakes_take_one_line(table, tmp_path, capsys, flags, message):
    assert main(["tune", "--dataset", table, "--output_dir", str(tmp_path / "m"), *flags, *TINY]) == 2
    told = capsys.readouterr().err
    assert told.startswith("seqrec tune: ")
    assert message in told
    assert told.count("\n") == 1

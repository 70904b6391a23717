"""A model that a baseline beats on validation says so, with what to try; no other does."""

import json

import pytest

import seqrec
from seqrec.cli.command_line import main
from seqrec.evaluation.baseline_warning import BASELINE_WARNING, baseline_warning
from seqrec.interactions.synthetic import synthetic_interactions

TINY = {"hidden_size": 8, "num_attention_heads": 1, "num_hidden_layers": 1, "num_train_epochs": 1, "quiet": True}


def metrics(model, *, protocol=None, training=None, tuning=None, **baselines):
    found = {name: {"validation": {"ndcg@10": value}} for name, value in {"model": model, **baselines}.items()}
    others = {"protocol": protocol, "training": training, "tuning": tuning}
    return {**found, **{name: value for name, value in others.items() if value is not None}}


def test_a_model_that_wins_or_draws_says_nothing():
    assert baseline_warning(metrics(0.1, item_knn=0.09, popularity=0.05)) is None
    assert baseline_warning(metrics(0.1, item_knn=0.1)) is None
    assert baseline_warning(metrics(0.1, item_knn=0.2), "test") is None  # not measured


def test_the_better_baselines_are_named_the_best_one_first():
    text = baseline_warning(metrics(0.03, popularity=0.035, item_knn=0.041, recent_popularity=0.01))
    assert text == (
        "On validation, item-kNN (0.0410) and popularity (0.0350) have a better NDCG@10 than the model (0.0300). "
        "Try `seqrec tune`."
    )


DONE = {"num_epochs": 5.0, "best_epoch": 5.0, "arguments": {"num_train_epochs": 5}}
ADVICE = [
    ({"training": DONE}, "more `num_train_epochs` (the last epoch was the best) or `seqrec tune`"),
    ({"training": {**DONE, "best_epoch": 4.0}}, "Try `seqrec tune`."),
    ({"training": {**DONE, "arguments": {"num_train_epochs": 50}}}, "Try `seqrec tune`."),  # stopped early
    ({"tuning": {"num_trials": 3}}, "Try more time for `seqrec tune`."),
]


@pytest.mark.parametrize(("sections", "advice"), ADVICE)
def test_advice(sections, advice):
    assert advice in baseline_warning(metrics(0.03, item_knn=0.05, **sections))


def test_advice_where_recent_popularity_is_the_best():
    assert "Try `popularity_windows`" in baseline_warning(metrics(0.03, recent_popularity=0.05))
    told = {"popularity_windows": [7], "request_time": "last_event"}
    assert "Try `request_time` target" in baseline_warning(metrics(0.03, recent_popularity=0.05, protocol=told))
    told["request_time"] = "target"
    assert "Try `seqrec tune`." in baseline_warning(metrics(0.03, recent_popularity=0.05, protocol=told))
    assert "windows" not in baseline_warning(metrics(0.03, item_knn=0.06, recent_popularity=0.05))


@pytest.mark.parametrize("odd", [None, "high", float("nan"), True, {"validation": 3}, []])
def test_odd_values_say_nothing(odd):
    assert baseline_warning({**metrics(0.03, item_knn=odd), "training": odd, "protocol": odd}) is None
    assert baseline_warning({"model": odd, "item_knn": {"validation": {"ndcg@10": 1}}}) is None


@pytest.fixture(scope="module")
def beaten(tmp_path_factory):
    """A model that has learned nothing, and the table that it was trained on."""
    folder = tmp_path_factory.mktemp("beaten")
    frame = synthetic_interactions(num_users=150, num_items=40, num_tastes=2, mean_length=8)
    frame.write_csv(folder / "table.csv")
    return frame, folder


def test_python_logs_it_and_the_folder_tells_it(beaten, caplog):
    frame, folder = beaten
    recommender = seqrec.train(frame, output_dir=folder / "model", learning_rate=1e-9, **TINY)
    warning = recommender.metrics[BASELINE_WARNING]
    assert warning.startswith("On validation, item-kNN (")
    assert [record.getMessage() for record in caplog.records if record.name.startswith("seqrec")] == [warning]
    assert json.loads((folder / "model" / "metrics.json").read_text())[BASELINE_WARNING] == warning
    assert f"**{warning}**" in (folder / "model" / "README.md").read_text()


def test_commands_print_it(beaten, capsys):
    _, folder = beaten
    data = ["--dataset", str(folder / "table.csv")]
    settings = [word for name, value in TINY.items() for word in (f"--{name}", str(value).lower())][:-2]
    assert main(["train", *data, "--output_dir", str(folder / "2"), "--learning_rate", "1e-9", *settings]) == 0
    assert "On validation, item-kNN (" in capsys.readouterr().out
    quiet = ["--output_dir", str(folder / "3"), "--learning_rate", "1e-9", *settings, "--quiet", "true"]
    assert main(["train", *data, *quiet]) == 0
    told = capsys.readouterr()
    assert told.out == ""
    assert "On validation, item-kNN (" in told.err
    assert main(["evaluate", "--model", str(folder / "2"), *data, "--quiet"]) == 0
    assert "On test, item-kNN (" in capsys.readouterr().out.replace("\n  ", " ")
    assert main(["evaluate", "--model", str(folder / "2"), *data, "--quiet", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[BASELINE_WARNING].startswith("On test, item-kNN (")

"""A job with several tasks, from a table to predictions: known truth is found, and all roads give the same figures."""

import json
import subprocess
import sys

import numpy as np
import polars as pl
import pytest

import seqrec
from seqrec.evaluation.task_metrics import binary_metrics, expected_calibration_error, rating_metrics
from seqrec.interactions.synthetic_outcomes import synthetic_outcomes

SETTINGS = {
    "split_method": "temporal",
    "tasks": ["next_item", "rating", "click"],
    "past_labels": ["rating"],
    "hidden_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "hidden_dropout": 0.2,
    "learning_rate": 3e-3,
    "num_train_epochs": 10,
    "per_device_train_batch_size": 64,
    "logit_scale": None,
    "bf16": False,
}


@pytest.fixture(scope="module")
def truth():
    return synthetic_outcomes(num_users=2500)


@pytest.fixture(scope="module")
def folder(truth, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tasks")
    truth.interactions.write_parquet(folder / "table.parquet")
    seqrec.train(folder / "table.parquet", output_dir=folder / "model", seed=0, quiet=True, **SETTINGS)
    return folder


@pytest.fixture(scope="module")
def figures(folder):
    return json.loads((folder / "model" / "metrics.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def predicted(truth, folder, figures):
    """Predictions of all rows of the test period whose users have a history, with their labels."""
    table = truth.interactions
    chosen = table.filter(pl.col("click") == 1)
    start = chosen["timestamp"].sort()[-round(0.1 * chosen.height)]
    rows = table.filter(pl.col("timestamp") >= start)
    first = chosen.group_by("user_id").agg(first=pl.col("timestamp").min())
    rows = rows.join(first, on="user_id").filter(pl.col("timestamp") > pl.col("first"))
    pairs = rows.select("user_id", "item_id", "timestamp")
    recommender = seqrec.Recommender.from_pretrained(folder / "model")
    found = recommender.predict_frame(pairs, table)
    labels = rows.select(label_click=pl.col("click"), label_rating=pl.col("rating"))
    return pl.concat([found, labels], how="horizontal")


def test_the_truth_is_found(truth, predicted):
    users, items = predicted["user_id"], predicted["item_id"]
    ratings, clicks = truth.expected_ratings(users, items), truth.click_probabilities(users, items)
    residual = ((predicted["rating"].to_numpy() - ratings) ** 2).mean()
    assert 1 - residual / ratings.var() >= 0.9
    assert expected_calibration_error(predicted["click"].to_numpy(), predicted["label_click"].to_numpy()) <= 0.03
    assert np.corrcoef(predicted["click"].to_numpy(), clicks)[0, 1] > 0.9


def test_predictions_give_the_figures_of_training(predicted, figures):
    clicks = binary_metrics(predicted["click"], predicted["label_click"], predicted["user_id"].to_numpy())
    told = figures["tasks"]["click"]["model"]["test"]
    assert {name: told[name] for name in ("auc", "log_loss", "ece")} == pytest.approx(
        {name: clicks[name] for name in ("auc", "log_loss", "ece")}, abs=1e-6
    )
    rated = predicted.filter(pl.col("label_rating").is_not_null())
    told = figures["tasks"]["rating"]["model"]["test"]
    assert told == pytest.approx(rating_metrics(rated["rating"], rated["label_rating"]), abs=1e-6)


def test_evaluate_gives_the_figures_of_training(folder, figures):
    command = ["evaluate", "--model", str(folder / "model"), "--dataset", str(folder / "table.parquet")]
    flags = ["--split_method", "temporal", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "seqrec.cli", *command, *flags], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    for task in ("rating", "click"):
        assert found["tasks"][task]["model"]["test"] == pytest.approx(figures["tasks"][task]["model"]["test"], abs=1e-6)

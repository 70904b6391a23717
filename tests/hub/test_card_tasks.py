"""The part of a model card on label tasks."""

import re

import pytest

from seqrec.hub.card_tasks import task_sections
from seqrec.hub.model_card import build_model_card

CONFIG = {"model_type": "sasrec", "vocab_size": 100, "max_position_embeddings": 20}


def binary(value):
    return {"auc": value, "grouped_auc": 0.7, "log_loss": 0.6, "ece": 0.02, "grouped_auc_left_out": 0.125}


METRICS = {
    "tasks": {
        "rating": {
            "labels": {"test": {"num_rows": 9853, "num_users": 166, "mean": 3.4567}},
            "model": {"validation": {"rmse": 0.95, "mae": 0.75}, "test": {"rmse": 0.96, "mae": 0.76}},
            "training_mean": {"test": {"rmse": 1.13, "mae": 0.96}},
            "matrix_factorisation": {"test": {"rmse": 1.02, "mae": 0.82}},
            "confidence": {"model": {"test": {"rmse": [0.91, 1.01]}, "validation": {"rmse": [0.9, 1.0]}}},
            "rating_scale": [1, 5.0],
        },
        "like": {
            "labels": {"test": {"num_rows": 800, "num_users": 160, "mean": 0.55}},
            "model": {"validation": binary(0.74), "test": binary(0.73)},
            "item_mean": {"test": binary(0.7)},
            "uncalibrated": {"test": {"log_loss": 0.65, "ece": 0.09}},
            "calibration": {"slope": 0.8123, "shift": -0.1},
            "confidence": {"model": {"test": {"auc": [0.71, 0.75]}}},
        },
    }
}


GIVEN = {"config": CONFIG, "num_parameters": 1, "usage_items": [], "curve": None, "model_name": "ml"}


def build(metrics, **changes):
    return build_model_card(metrics, **{**GIVEN, **changes}).text


def test_tables_compare_the_model_with_the_baselines_with_intervals_on_test():
    rating, like = task_sections(METRICS)
    assert rating.tables[0].splitlines() == [
        "| `rating`, on test | RMSE | MAE |",
        "| --- | ---: | ---: |",
        "| **this model** | 0.9600 (0.9100 to 1.0100) | 0.7600 |",
        "| training mean | 1.1300 | 0.9600 |",
        "| SVD++ | 1.0200 | 0.8200 |",
    ]
    assert rating.tables[1].splitlines()[0] == "| `rating`, on validation | RMSE |"
    assert rating.tables[1].splitlines()[2:] == ["| **this model** | 0.9500 |"]
    assert like.tables[0].splitlines()[0] == "| `like`, on test | AUC | AUC by user | Log-loss | ECE |"
    assert like.tables[0].splitlines()[2].startswith("| **this model** | 0.7300 (0.7100 to 0.7500) |")


def test_sentences_describe_labels_scale_and_calibration():
    rating, like = task_sections(METRICS)
    assert rating.sentences == [
        "9,853 held-out items of 166 users have a label on test; their average is 3.46.",
        "Predictions lie between 1 and 5, the scale of the ratings (`rating_scale`).",
    ]
    assert like.sentences == [
        "800 held-out items of 160 users have a label on test; 55.0% of them are 1.",
        "The AUC by user leaves out 12.5% of these users, whose labels are all equal.",
        "Its logits were calibrated on validation, by slope 0.812 and shift -0.1 (before: "
        "Log-loss 0.6500, ECE 0.0900).",
    ]


def test_a_model_that_could_not_be_calibrated_says_so():
    like = {**METRICS["tasks"]["like"], "calibration": {"slope": 1.0, "shift": 0.0}}
    assert task_sections({"tasks": {"like": like}})[0].sentences[-1] == "Its probabilities are not calibrated."


def test_the_card_explains_the_metrics_and_shows_the_diagram():
    text = build(METRICS, reliability_picture="reliability.png")
    assert "### Predicted outcomes" in text
    assert "predicts `rating` (a rating) and `like` (a probability), from the history" in text
    for term in ("root mean squared error", "mean absolute error", "SVD++ is", "AUC is", "15 bins of equal width"):
        assert term in text
    picture = re.search(r"!\[(.*)\]\(reliability.png\)", text)
    assert picture[1].startswith("Reliability diagram on test: how often `like` came true by predicted probability")
    assert "\n\n\n\n" not in text


def test_the_metadata_list_the_metrics_of_tasks():
    card = build_model_card({**METRICS, "protocol": {"dataset": "films"}}, **GIVEN)
    found = {(one.metric_type, one.metric_name, one.dataset_split): one.metric_value for one in card.data.eval_results}
    assert found["rating_rmse", "RMSE (rating)", "test"] == 0.96
    assert found["like_grouped_auc", "AUC by user (like)", "validation"] == 0.7
    assert len(found) == 2 * (2 + 4)


def test_a_card_of_ratings_alone_says_nothing_of_probabilities():
    text = build({"tasks": {"rating": METRICS["tasks"]["rating"]}}, reliability_picture="reliability.png")
    assert "root mean squared error" in text
    for term in ("AUC", "probability", "reliability.png"):
        assert term not in text.partition("### Predicted outcomes")[2].partition("## Architecture")[0]


def test_a_card_warns_of_a_better_baseline():
    better = {**METRICS["tasks"]["rating"], "training_mean": {"validation": {"rmse": 0.9}}}
    lists = {"model": {"test": {"ndcg@10": 0.1, "hr@10": 0.2}}}
    text = build({**lists, "tasks": {"rating": better}})
    assert "**On validation, training mean (0.9000) predicts `rating` better" in text


@pytest.mark.parametrize("tasks", [None, {}, [], {"rating": None}, {"rating": {"model": {"test": {"rmse": "low"}}}}])
def test_without_usable_values_there_is_no_section(tasks):
    assert task_sections({"tasks": tasks}) == []
    assert "Predicted outcomes" not in build({"tasks": tasks})


def test_names_of_tasks_from_a_file_do_not_act_as_markup():
    found = {"<script>|`*x*": METRICS["tasks"]["like"]}
    text = build({"tasks": found}, reliability_picture="reliability.png")
    assert "<script>" not in text.replace("`<script>", "")
    table = next(line for line in text.splitlines() if "on test" in line and line.startswith("| "))
    assert table.count("|") == 6


def test_unusable_values_are_left_out():
    rating = {**METRICS["tasks"]["rating"], "labels": {"test": {"num_rows": "many"}}, "rating_scale": [1, None]}
    rating["confidence"] = {"model": {"test": {"rmse": ["low", 1]}}}
    found = task_sections({"tasks": {"rating": rating}})[0]
    assert found.sentences == []
    assert " to " not in found.tables[0]

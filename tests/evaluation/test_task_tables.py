"""Tables of tasks in the terminal, and warnings of baselines that predict better than a model."""

import pytest

from seqrec.evaluation.baseline_warning import baseline_warning
from seqrec.evaluation.task_metric_names import is_lower_better, looks_like_a_task_metric, task_metric_names
from seqrec.evaluation.task_tables import task_tables


def metrics(**tasks):
    """Metrics of tasks by ranker, on validation: the main one."""
    names = {"rating": ("rmse", "mae")}
    return {
        "tasks": {
            task: {
                ranker: {"validation": dict.fromkeys(names.get(task, ("auc", "grouped_auc", "log_loss", "ece")), value)}
                for ranker, value in found.items()
            }
            for task, found in tasks.items()
        }
    }


FIGURES = metrics(rating={"model": 0.9123456, "user_item_bias": 0.95}, like={"model": 0.75, "item_mean": None})


def test_each_task_has_a_table_with_the_model_first():
    rating, like = task_tables(FIGURES).split("\n\n")
    assert rating.splitlines() == [
        "rating            split         rmse     mae",
        "model             validation  0.9123  0.9123",
        "user + item bias  validation  0.9500  0.9500",
    ]
    assert like.splitlines()[0].split() == ["like", "split", "auc", "grouped_auc", "log_loss", "ece"]
    assert like.splitlines()[2].split() == ["item", "mean", "validation", "-", "-", "-", "-"]


@pytest.mark.parametrize("width", [30, 45, 80])
def test_tables_fit_the_terminal(width):
    shown = task_tables(FIGURES, width=width)
    assert all(len(line) <= max(width, 37) for line in shown.splitlines())
    assert "auc" in shown


def test_models_without_tasks_have_no_tables():
    assert task_tables({}) == ""


def test_a_baseline_with_a_lower_error_is_named():
    text = baseline_warning(
        metrics(rating={"model": 0.95, "training_mean": 1.1, "user_item_bias": 0.94, "matrix_factorisation": 0.93})
    )
    assert text == (
        "On validation, SVD++ (0.9300) and user + item bias (0.9400) predict `rating` better than the model (0.9500), "
        "by RMSE. Try `past_labels` (the model then reads the labels of past events too), more weight for the task "
        "(`task_weights`) or `seqrec tune`."
    )


def test_a_baseline_with_a_higher_auc_is_named():
    text = baseline_warning(metrics(like={"model": 0.7, "item_mean": 0.71, "user_item_bias": 0.69}))
    assert text.startswith("On validation, item mean (0.7100) predicts `like` better than the model (0.7000), by AUC.")


def test_a_model_that_reads_past_labels_is_not_told_to():
    found = metrics(like={"model": 0.7, "item_mean": 0.71})
    found["tasks"]["like"]["reads_past_labels"] = True
    assert baseline_warning(found).endswith("by AUC. Try more weight for the task (`task_weights`) or `seqrec tune`.")


def test_a_model_that_wins_or_draws_says_nothing():
    assert (
        baseline_warning(metrics(like={"model": 0.7, "item_mean": 0.7}, rating={"model": 1, "training_mean": 1.5}))
        is None
    )
    assert baseline_warning(metrics(like={"model": None, "item_mean": 0.7})) is None
    assert baseline_warning(metrics(like={"model": 0.1, "item_mean": 0.7}), "test") is None  # not measured


def test_warnings_of_lists_and_of_tasks_follow_one_another():
    found = metrics(like={"model": 0.7, "item_mean": 0.8})
    lists = {"model": {"validation": {"ndcg@10": 0.1}}, "popularity": {"validation": {"ndcg@10": 0.2}}}
    text = baseline_warning({**found, **lists})
    assert "popularity (0.2000) has a better NDCG@10" in text
    assert text.endswith("or `seqrec tune`.")
    assert text.count("On validation") == 2


@pytest.mark.parametrize(
    "tasks", [None, [], {"like": None}, {"like": {"model": "high"}}, {"<b>": {"model": {"validation": {"auc": 0}}}}]
)
def test_other_content_of_a_file_says_nothing(tasks):
    assert baseline_warning({"tasks": tasks}) is None


def test_names_of_metrics():
    names = task_metric_names(["rating", "like"])
    assert names == ["rating_rmse", "rating_mae", "like_auc", "like_grouped_auc", "like_log_loss", "like_ece"]
    assert [name for name in names if is_lower_better(name)] == [names[0], names[1], names[4], names[5]]
    assert all(map(looks_like_a_task_metric, names))
    assert not any(map(looks_like_a_task_metric, ("ndcg@10", "loss", "auc", "like")))

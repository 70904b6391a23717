"""Names of the rankers and metrics of tasks, and their tables in the terminal."""

from collections.abc import Mapping
from typing import Any

from seqrec.evaluation.tables import align_within
from seqrec.evaluation.task_metric_names import BINARY_METRICS, RATING_METRICS
from seqrec.interactions.label_names import RATING

__all__ = ["METRIC_LABELS", "TASK_RANKERS", "main_metric", "shown_metrics", "task_tables"]

# The model and the baselines of tasks: key in `metrics.json`, and display name.
TASK_RANKERS = {
    "model": "model",
    "training_mean": "training mean",
    "item_mean": "item mean",
    "user_item_bias": "user + item bias",
    "matrix_factorisation": "SVD++",
}
METRIC_LABELS = {
    "rmse": "RMSE",
    "mae": "MAE",
    "auc": "AUC",
    "grouped_auc": "AUC by user",
    "log_loss": "Log-loss",
    "ece": "ECE",
}


def shown_metrics(task: str) -> tuple[str, ...]:
    """Return the metrics of a task that tables show, the main one first."""
    return RATING_METRICS if task == RATING else BINARY_METRICS


def main_metric(task: str) -> str:
    """Return the metric by which a model is compared with baselines."""
    return shown_metrics(task)[0]


def task_tables(figures: Mapping[str, Any], *, width: int | None = None) -> str:
    """Format the metrics of tasks, a table for each task, with one line for each ranker and held-out split.

    Args:
        figures: The content of `metrics.json`.
        width: Columns of the terminal; metrics that do not fit are left out. None for no limit.

    Returns:
        The tables, separated by empty lines; an empty text for a model without label tasks.
    """
    return "\n\n".join(task_table(task, found, width) for task, found in figures.get("tasks", {}).items())


def task_table(task: str, found: Mapping[str, Any], width: int | None) -> str:
    """Format the metrics of one task."""
    names = shown_metrics(task)
    rows = [[task, "split", *names]]
    for ranker, title in TASK_RANKERS.items():
        for split, metrics in found.get(ranker, {}).items():
            values = [metrics[name] for name in names]
            rows.append([title, split, *("-" if value is None else f"{value:.4f}" for value in values)])
    return align_within(rows, width)

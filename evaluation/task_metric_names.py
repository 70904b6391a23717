"""Names of the metrics of tasks in validation, such as `rating_rmse` and `like_auc`."""

from collections.abc import Sequence

from seqrec.interactions.label_names import RATING

__all__ = ["BINARY_METRICS", "RATING_METRICS", "is_lower_better", "looks_like_a_task_metric", "task_metric_names"]

RATING_METRICS = ("rmse", "mae")
BINARY_METRICS = ("auc", "grouped_auc", "log_loss", "ece")
LOWER_IS_BETTER = tuple(f"_{name}" for name in ("rmse", "mae", "log_loss", "ece"))


def task_metric_names(tasks: Sequence[str]) -> list[str]:
    """Return the names of all metrics of label tasks.

    >>> task_metric_names(["rating"])
    ['rating_rmse', 'rating_mae']
    """
    return [f"{task}_{name}" for task in tasks for name in (RATING_METRICS if task == RATING else BINARY_METRICS)]


def is_lower_better(name: str) -> bool:
    """Return whether a metric is an error or a loss of a task."""
    return name.endswith(LOWER_IS_BETTER)


def looks_like_a_task_metric(name: str) -> bool:
    """Return whether a name is a metric of some task."""
    return name.endswith(tuple(f"_{one}" for one in (*RATING_METRICS, *BINARY_METRICS)))

"""A warning for a model that a baseline beats, and what to try."""

from collections.abc import Mapping
from typing import Any

from seqrec.evaluation.tables import RANKERS
from seqrec.evaluation.task_metric_names import is_lower_better
from seqrec.evaluation.task_tables import METRIC_LABELS, TASK_RANKERS, main_metric
from seqrec.interactions.joined_words import joined

__all__ = ["BASELINE_WARNING", "baseline_warning"]

BASELINE_WARNING = "baseline_warning"  # the field of `metrics.json`, which exists only if a baseline is better

METRIC = "ndcg@10"
LARGEST = 1e9  # larger numbers in a file are not metrics


def baseline_warning(metrics: Mapping[str, Any], split: str = "validation") -> str | None:
    """Say that baselines are better than the model, and what to try; None if none is.

    Lists are compared by NDCG@10, ratings by RMSE, binary outcomes by AUC.

    Args:
        metrics: The content of `metrics.json`, or what `measure` returns.
        split: The held-out split to look at.
    """
    tasks = value_at(metrics, "tasks")
    names = [name for name in tasks if name.isidentifier()] if isinstance(tasks, Mapping) else []
    found = [ranking_warning(metrics, split), *(task_warning(metrics, split, task) for task in names)]
    return " ".join(filter(None, found)) or None


def task_warning(metrics: Mapping[str, Any], split: str, task: str) -> str | None:
    """Say that baselines predict a task better than the model; None if none does."""
    metric = main_metric(task)
    found = {name: number_at(metrics, "tasks", task, name, split, metric) for name in TASK_RANKERS}
    model = found.pop("model")
    sign = -1 if is_lower_better(f"{task}_{metric}") else 1
    better = {
        name: value
        for name, value in found.items()
        if value is not None and model is not None and sign * value > sign * model
    }
    if not better:
        return None
    names = sorted(better, key=lambda name: -sign * better[name])
    told = joined([f"{TASK_RANKERS[name]} ({better[name]:.4f})" for name in names])
    verb = "predicts" if len(names) == 1 else "predict"
    reads_them = value_at(metrics, "tasks", task, "reads_past_labels")
    advice = [] if reads_them else ["`past_labels` (the model then reads the labels of past events too)"]
    advice += ["more weight for the task (`task_weights`)", "`seqrec tune`"]
    return (
        f"On {split}, {told} {verb} `{task}` better than the model ({model:.4f}), by {METRIC_LABELS[metric]}. "
        f"Try {joined(advice, 'or')}."
    )


def ranking_warning(metrics: Mapping[str, Any], split: str) -> str | None:
    """Say that baselines rank better than the model by NDCG@10; None if none does."""
    found = {name: number_at(metrics, name, split, METRIC) for name in RANKERS}
    model = found.pop("model")
    better = {name: value for name, value in found.items() if value is not None and model is not None and value > model}
    if not better:
        return None
    names = sorted(better, key=lambda name: -better[name])
    told = joined([f"{RANKERS[name]} ({better[name]:.4f})" for name in names])
    verb = "has" if len(names) == 1 else "have"
    advice = advice_for(metrics, names)
    return f"On {split}, {told} {verb} a better NDCG@10 than the model ({model:.4f}). Try {joined(advice, 'or')}."


def advice_for(metrics: Mapping[str, Any], better: list[str]) -> list[str]:
    """List what may help, the most promising first."""
    advice = []
    protocol, training = (metrics.get(name) for name in ("protocol", "training"))
    if better[0] == "recent_popularity":
        if not value_at(protocol, "popularity_windows"):
            advice.append("`popularity_windows` (the model then reads recent popularity too)")
        elif value_at(protocol, "request_time") != "target":
            advice.append("`request_time` target (this baseline knows the time of a request)")
    last, best = (number_at(metrics, "training", name) for name in ("num_epochs", "best_epoch"))
    if last is not None and last == best and last == number_at(training, "arguments", "num_train_epochs"):
        advice.append("more `num_train_epochs` (the last epoch was the best)")
    advice.append("more time for `seqrec tune`" if metrics.get("tuning") else "`seqrec tune`")
    return advice


def value_at(value: Any, *keys: str) -> Any:
    """Return what nested mappings hold; None if there is nothing."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def number_at(value: Any, *keys: str) -> float | None:
    """Return what nested mappings hold; None for anything else than a number of a metric or of epochs."""
    found = value_at(value, *keys)
    is_number = isinstance(found, int | float) and not isinstance(found, bool) and 0 <= found < LARGEST
    return found if is_number else None

"""The part of a model card on label tasks: how well a model predicts ratings and binary outcomes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from seqrec.evaluation.task_tables import METRIC_LABELS, TASK_RANKERS, main_metric, shown_metrics
from seqrec.hub.card_tables import SPLITS, dig, is_interval, number, table
from seqrec.hub.card_values import is_count, is_known, is_share, mapping
from seqrec.hub.markdown import code, text
from seqrec.interactions.label_names import RATING

__all__ = ["TaskSection", "task_sections"]


@dataclass(frozen=True)
class TaskSection:
    """What a card says of one task.

    Attributes:
        name: The task, as code.
        is_rating: Whether it is a regression.
        sentences: What the labels are, and how predictions were calibrated.
        tables: The results on test and on validation.
    """

    name: str
    is_rating: bool
    sentences: list[str]
    tables: list[str]


def task_sections(metrics: Mapping[str, Any]) -> list[TaskSection]:
    """Describe each task that was measured, as far as values are known."""
    found = []
    for task in mapping(metrics.get("tasks")):
        tables = [results for split in reversed(SPLITS) if (results := results_table(metrics, task, split))]
        if tables:
            found.append(TaskSection(code(task), task == RATING, sentences(metrics, task), tables))
    return found


def results_table(metrics: Mapping[str, Any], task: str, split: str) -> str:
    """Compare the model with the baselines: all metrics on test with intervals, the main one on validation."""
    names = shown_metrics(task) if split == "test" else (main_metric(task),)
    return table(
        [f"{code(task)}, on {split}", *(METRIC_LABELS[name] for name in names)],
        [
            [
                "**this model**" if ranker == "model" else text(title),
                *(cell(metrics, task, ranker, split, name) for name in names),
            ]
            for ranker, title in TASK_RANKERS.items()
        ],
    )


def cell(metrics: Mapping[str, Any], task: str, ranker: str, split: str, name: str) -> str:
    """Format one metric, with its interval on test."""
    value = number(dig(metrics, "tasks", task, ranker, split, name))
    interval = dig(metrics, "tasks", task, "confidence", ranker, split, name)
    if not value or not is_interval(interval) or split != "test":
        return value
    low, high = interval
    return f"{value} ({number(low)} to {number(high)})"


def sentences(metrics: Mapping[str, Any], task: str) -> list[str]:
    """Describe the labels on test, the scale of ratings, and the calibration of probabilities."""
    found = [labels_sentence(metrics, task)]
    if dig(metrics, "tasks", task, "reads_past_labels") is True:
        found.append("The model also reads this label of past events.")
    if task == RATING:
        found.append(scale_sentence(dig(metrics, "tasks", task, "rating_scale")))
    else:
        found += [left_out_sentence(metrics, task), calibration_sentence(metrics, task)]
    return [sentence for sentence in found if sentence]


def labels_sentence(metrics: Mapping[str, Any], task: str) -> str:
    """Say how many labels there are on test, and their average."""
    found = mapping(dig(metrics, "tasks", task, "labels", "test"))
    rows, users, mean = (found.get(name) for name in ("num_rows", "num_users", "mean"))
    if not (is_count(rows) and is_count(users) and is_known(mean)):
        return ""
    average = f"their average is {mean:.2f}" if task == RATING else f"{mean:.1%} of them are 1"
    return f"{rows:,} held-out items of {users:,} users have a label on test; {average}."


def scale_sentence(scale: Any) -> str:
    """Say what ratings are possible."""
    if not is_interval(scale):
        return ""
    return f"Predictions lie between {scale[0]:g} and {scale[1]:g}, the scale of the ratings (`rating_scale`)."


def left_out_sentence(metrics: Mapping[str, Any], task: str) -> str:
    """Say how many users the AUC by user leaves out."""
    share = dig(metrics, "tasks", task, "model", "test", "grouped_auc_left_out")
    return (
        f"The AUC by user leaves out {share:.1%} of these users, whose labels are all equal." if is_share(share) else ""
    )


def calibration_sentence(metrics: Mapping[str, Any], task: str) -> str:
    """Say how probabilities were calibrated, and what they were before."""
    found = mapping(dig(metrics, "tasks", task, "calibration"))
    slope, shift = found.get("slope"), found.get("shift")
    if not (is_known(slope) and is_known(shift)):
        return ""
    if (slope, shift) == (1, 0):
        return "Its probabilities are not calibrated."
    before = {name: dig(metrics, "tasks", task, "uncalibrated", "test", name) for name in ("log_loss", "ece")}
    told = [f"{METRIC_LABELS[name]} {value:.4f}" for name, value in before.items() if is_known(value)]
    earlier = f" (before: {', '.join(told)})" if told else ""
    return f"Its logits were calibrated on validation, by slope {slope:.3g} and shift {shift:.3g}{earlier}."

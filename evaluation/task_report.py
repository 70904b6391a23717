"""The section `tasks` of `metrics.json`: how well a model and the baselines predict outcomes.

Shape suffixes: U evaluated rows, N rows with a label.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from seqrec.evaluation.calibration import uncalibrated
from seqrec.evaluation.task_baselines import (
    LabelledPairs,
    TaskBaseline,
    TrainingMean,
    fit_item_mean,
    fit_user_item_bias,
)
from seqrec.evaluation.task_confidence import binary_intervals, rating_intervals
from seqrec.evaluation.task_factors import fit_matrix_factorisation
from seqrec.evaluation.task_metric_names import BINARY_METRICS, RATING_METRICS
from seqrec.evaluation.task_metrics import binary_metrics, rating_metrics, reliability
from seqrec.evaluation.task_rows import has_label, held_out_pairs, rows_with_outcomes, training_pairs
from seqrec.interactions.data_arguments import HELD_OUT
from seqrec.interactions.histories import Histories, as_histories
from seqrec.interactions.label_names import RATING, target_key
from seqrec.interactions.prepared_sets import PreparedData

__all__ = ["measure_tasks", "validation_task_metrics"]

BEFORE_CALIBRATION = ("log_loss", "ece")  # those that calibration changes
MOST_ROWS = 2_000_000  # training rows up to which the matrix is factorised, which then takes minutes

Calibration = tuple[float, float]


def measure_tasks(
    predict: Callable[[Histories], Mapping[str, np.ndarray]],
    data: PreparedData,
    *,
    tasks: Sequence[str],
    calibration: Mapping[str, Calibration],
    rating_scale: Sequence[float] | None = None,
    past_labels: Sequence[str] = (),
    splits: Sequence[str] = HELD_OUT,
) -> dict[str, Any]:
    """Measure a model and the baselines of tasks on held-out splits.

    Rows with a label and a known item count; of clicks, also the impressions. Baselines know the training rows only.

    Args:
        predict: Predicts the outcomes of held-out rows, as `predict_targets` does.
        data: Sequences with the labels of the tasks.
        tasks: The label tasks to measure.
        calibration: Slope and shift of each binary task, by which its probabilities were calibrated.
        rating_scale: Lowest and highest rating, noted next to the figures of ratings.
        past_labels: The tasks whose labels of past events the model reads, noted too.
        splits: The splits to measure, of "validation" and "test".

    Returns:
        For each task: `"reads_past_labels"`; `"labels"`, with the number of rows and users and the average label by
        split; `"rating_scale"` or `"calibration"`; `"model"`, `"training_mean"`, `"item_mean"`, `"user_item_bias"` and
        `"matrix_factorisation"`, as far as they apply, each with its metrics by split (None if undefined);
        `"uncalibrated"`, with the metrics of the model that calibration changed; `"confidence"`, by these names and by
        split; and `"reliability"`, the bins of the reliability diagram by split.
    """
    held_out = {split: rows_with_outcomes(data.sequences, split) for split in splits}
    predicted = {split: predict(rows) for split, rows in held_out.items()}
    found = {}
    for task in tasks:
        rows = {split: held_out[split] for split in splits if has_label(held_out[split], task).any()}
        of_model = {split: predicted[split][task][has_label(rows[split], task)] for split in rows}
        pairs = {split: held_out_pairs(rows[split], task) for split in rows}
        of_all = {"model": of_model, **baseline_predictions(data, task, pairs)}
        found[task] = {
            "reads_past_labels": task in past_labels,
            "labels": {split: describe_labels(one) for split, one in pairs.items()},
            **measure_all(of_all, pairs, is_rating=task == RATING),
        }
        if task == RATING:
            found[task]["rating_scale"] = None if rating_scale is None else list(rating_scale)
        else:
            found[task] |= describe_calibration(of_model, pairs, calibration[task])
    return found


def baseline_predictions(
    data: PreparedData, task: str, pairs: Mapping[str, LabelledPairs]
) -> dict[str, dict[str, np.ndarray]]:
    """Predict the labels of held-out pairs by each baseline of a task, by its name and by split."""
    train = training_pairs(as_histories(data.sequences["train"]), task)
    if len(train) == 0:
        return {}
    validation = held_out_pairs(rows_with_outcomes(data.sequences, "validation"), task)
    baselines = rating_baselines(train, validation) if task == RATING else binary_baselines(train, validation)
    return {
        name: {split: baseline.predict(one.users_N, one.items_N) for split, one in pairs.items()}
        for name, baseline in baselines.items()
    }


def rating_baselines(train: LabelledPairs, validation: LabelledPairs) -> dict[str, TaskBaseline]:
    """Fit the baselines of ratings. Factorisation is left out where it would take longer than minutes."""
    found: dict[str, TaskBaseline] = {
        "training_mean": TrainingMean.fit(train),
        "user_item_bias": fit_user_item_bias(train, validation),
    }
    if len(train) <= MOST_ROWS:
        found["matrix_factorisation"] = fit_matrix_factorisation(train, validation)
    return found


def binary_baselines(train: LabelledPairs, validation: LabelledPairs) -> dict[str, TaskBaseline]:
    """Fit the baselines of binary outcomes, which predict within 0 and 1."""
    return {"item_mean": fit_item_mean(train, validation), "user_item_bias": fit_user_item_bias(train, validation)}


def measure_all(
    predicted: Mapping[str, Mapping[str, np.ndarray]], pairs: Mapping[str, LabelledPairs], *, is_rating: bool
) -> dict[str, Any]:
    """Compute metrics and intervals of each ranker's predictions, by its name and by split."""
    found: dict[str, Any] = {name: {} for name in predicted}
    found["confidence"] = {name: {} for name in predicted}
    intervals = rating_intervals if is_rating else binary_intervals
    for name, by_split in predicted.items():
        for split, values_N in by_split.items():
            one = pairs[split]
            found[name][split] = measure_one(values_N, one, is_rating=is_rating)
            found["confidence"][name][split] = intervals(values_N, one.labels_N, one.users_N)
    return found


def measure_one(predicted_N: np.ndarray, pairs: LabelledPairs, *, is_rating: bool) -> dict[str, float | None]:
    """Compute the metrics of a task; None for those that are undefined, as JSON has no NaN."""
    if is_rating:
        metrics = rating_metrics(predicted_N, pairs.labels_N)
    else:
        metrics = binary_metrics(predicted_N, pairs.labels_N, pairs.users_N)
    return {name: value if math.isfinite(value) else None for name, value in metrics.items()}


def describe_labels(pairs: LabelledPairs) -> dict[str, float]:
    """Count the labelled rows and their users, and average the labels."""
    return {
        "num_rows": len(pairs),
        "num_users": len(np.unique(pairs.users_N)),
        "mean": float(pairs.labels_N.mean()),
    }


def describe_calibration(
    predicted: Mapping[str, np.ndarray], pairs: Mapping[str, LabelledPairs], calibration: Calibration
) -> dict[str, Any]:
    """Describe how reliable a model's probabilities are, and what calibration changed."""
    slope, shift = calibration
    before = {}
    for split, values_N in predicted.items():
        metrics = measure_one(uncalibrated(values_N, slope, shift), pairs[split], is_rating=False)
        before[split] = {name: metrics[name] for name in BEFORE_CALIBRATION}
    return {
        "calibration": {"slope": slope, "shift": shift},
        "uncalibrated": before,
        "reliability": {
            split: reliability(values_N, pairs[split].labels_N).record() for split, values_N in predicted.items()
        },
    }


def validation_task_metrics(predicted: Mapping[str, np.ndarray], rows: Histories) -> dict[str, float]:
    """Compute the metrics of each task for which held-out rows have labels, as `{"rating_rmse": …, "like_auc": …}`.

    Undefined ones are left out, such as the AUC by user if each has one row.

    Args:
        predicted: Predictions (U,) of the rows by task, from `predict_targets`.
        rows: The rows, with `target` and the labels of the tasks.
    """
    found: dict[str, float] = {}
    for task, values_U in predicted.items():
        if target_key(task) not in rows.rows or not (counts_U := has_label(rows, task)).any():
            continue
        metrics = measure_one(values_U[counts_U], held_out_pairs(rows, task), is_rating=task == RATING)
        names = RATING_METRICS if task == RATING else BINARY_METRICS
        found |= {f"{task}_{name}": value for name in names if (value := metrics[name]) is not None}
    return found

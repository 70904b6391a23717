"""Calibration of a binary task: a slope and a shift of its logits, fitted on validation (Platt 1999).

Shape suffix: N rows with a label.
"""

import logging

import numpy as np
from numpy.typing import ArrayLike

from seqrec.evaluation.task_metrics import auc

__all__ = ["MIN_LABELS", "fit_calibration", "uncalibrated"]

MIN_LABELS = 100  # with fewer, a fit would be noise
MAX_STEPS = 100
TOLERANCE = 1e-10  # of the gradient of the average log-loss
SMALLEST_STEP = 1e-6  # share of a Newton step that is tried last

logger = logging.getLogger(__name__)


def fit_calibration(logits_N: ArrayLike, labels_N: ArrayLike, *, task: str = "task") -> tuple[float, float]:
    """Fit p = sigmoid(slope · logit + shift) by minimising the log-loss, with Newton's method.

    The slope is the inverse of a temperature. As it is above 0, the order of the predictions stays the same. Where a
    fit is not possible, a line in the log says why, and logits stay as they are: with fewer than 100 labels, labels of
    one kind only, or logits that separate the labels perfectly or do not order them better than chance.

    Args:
        logits_N: Logits of the rows.
        labels_N: Their labels: 0, 1, or NaN for a row without one, which is left out.
        task: Name of the task, for the log.

    Returns:
        `(slope, shift)`; (1, 0) if they could not be fitted.
    """
    has_label_N = ~np.isnan(np.asarray(labels_N, dtype=np.float64))
    inputs_N = np.asarray(logits_N, dtype=np.float64)[has_label_N]
    targets_N = np.asarray(labels_N, dtype=np.float64)[has_label_N]
    obstacle = obstacle_to_fit(inputs_N, targets_N)
    if obstacle is None:
        slope, shift = minimise_log_loss(inputs_N, targets_N)
        if slope > 0 and np.isfinite([slope, shift]).all():
            return slope, shift
        obstacle = "higher logits do not go with label 1"
    logger.warning("The task %s is not calibrated: on validation, %s.", task, obstacle)
    return 1.0, 0.0


def obstacle_to_fit(logits_N: np.ndarray, labels_N: np.ndarray) -> str | None:
    """Say why a calibration cannot be fitted; None if it can."""
    if len(labels_N) < MIN_LABELS:
        return f"it has {len(labels_N)} labels, and a fit needs {MIN_LABELS}"
    if labels_N.min() == labels_N.max():
        return f"all of its {len(labels_N)} labels are {labels_N[0]:g}"
    value = auc(logits_N, labels_N)
    if value <= 0.5:
        return f"its predictions do not order the labels better than chance (AUC {value:.3f})"
    return "its predictions separate the labels perfectly" if value == 1 else None


def minimise_log_loss(logits_N: np.ndarray, labels_N: np.ndarray) -> tuple[float, float]:
    """Minimise the log-loss over slope and shift, from 0 of both; a step that would raise it is shortened."""
    centre, spread = logits_N.mean(), logits_N.std()
    inputs_N2 = np.stack([(logits_N - centre) / spread, np.ones_like(logits_N)], axis=1)
    found_2 = np.zeros(2)
    for _ in range(MAX_STEPS):
        outputs_N = inputs_N2 @ found_2
        probabilities_N = 0.5 * (1 + np.tanh(outputs_N / 2))
        gradient_2 = inputs_N2.T @ (probabilities_N - labels_N) / len(labels_N)
        if np.abs(gradient_2).max() < TOLERANCE:
            break
        weights_N1 = (probabilities_N * (1 - probabilities_N))[:, None]
        curvature_22 = inputs_N2.T @ (weights_N1 * inputs_N2) / len(labels_N)
        step_2 = np.linalg.lstsq(curvature_22, gradient_2, rcond=None)[0]
        loss = average_log_loss(outputs_N, labels_N)
        share = 1.0
        while average_log_loss(inputs_N2 @ (found_2 - share * step_2), labels_N) > loss and share > SMALLEST_STEP:
            share /= 2
        found_2 = found_2 - share * step_2
    slope = found_2[0] / spread
    return float(slope), float(found_2[1] - slope * centre)


def average_log_loss(logits_N: np.ndarray, labels_N: np.ndarray) -> float:
    """Average the log-loss of logits, in nats."""
    return float(np.mean(np.logaddexp(0, logits_N) - labels_N * logits_N))


def uncalibrated(probabilities_N: ArrayLike, slope: float, shift: float) -> np.ndarray:
    """Return the probabilities before a calibration, which is undone on their logits; in float64.

    >>> uncalibrated([0.5], 2.0, 1.0).round(4)
    array([0.3775])
    """
    probabilities_N = np.asarray(probabilities_N, dtype=np.float64)
    with np.errstate(divide="ignore"):  # probabilities of 0 and 1 stay
        logits_N = np.log(probabilities_N) - np.log1p(-probabilities_N)
    return 0.5 * (1 + np.tanh((logits_N - shift) / slope / 2))

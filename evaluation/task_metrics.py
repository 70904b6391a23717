"""Metrics of predicted ratings and of predicted probabilities of binary outcomes, such as a click or a like.

They are a few lines of NumPy each, so that they need no further dependency; tests compare them with torchmetrics.

Shape suffixes: N rows with a label, P rows with label 1, Q rows with label 0, U users, C bins.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from seqrec.errors import InputError

__all__ = [
    "GROUPED_AUC_LEFT_OUT",
    "NUM_BINS",
    "Reliability",
    "auc",
    "auc_by_user",
    "binary_metrics",
    "checked_rows",
    "expected_calibration_error",
    "grouped_auc",
    "log_losses",
    "placements",
    "rating_metrics",
    "reliability",
]

NUM_BINS = 15  # the usual number, of equal width (Guo et al. 2017)
GROUPED_AUC_LEFT_OUT = "grouped_auc_left_out"
CLOSEST = 1e-7  # to 0 and 1 that a probability counts as in the log-loss, about the resolution of float32


def rating_metrics(predicted_N: ArrayLike, labels_N: ArrayLike) -> dict[str, float]:
    """Compute the root mean squared error and the mean absolute error, in the unit of the ratings.

    Args:
        predicted_N: Predicted ratings.
        labels_N: True ratings.

    Raises:
        InputError: If there are no rows, or the arrays differ in length or hold values that are not finite.

    >>> rating_metrics([3.0, 4.0], [3, 2])
    {'rmse': 1.4142135623730951, 'mae': 1.0}
    """
    predicted_N, labels_N = checked_rows(predicted_N, labels_N)
    errors_N = predicted_N - labels_N
    return {"rmse": float(np.sqrt(np.mean(errors_N**2))), "mae": float(np.abs(errors_N).mean())}


def binary_metrics(probabilities_N: ArrayLike, labels_N: ArrayLike, users_N: ArrayLike) -> dict[str, float]:
    """Compute all metrics of a binary task.

    Args:
        probabilities_N: Predicted probabilities of label 1.
        labels_N: Labels, 0 or 1.
        users_N: User of each row: ids or numbers.

    Returns:
        `auc`, `log_loss` in nats, `ece` (see `expected_calibration_error`), `grouped_auc`, and `grouped_auc_left_out`,
        the share of users that it leaves out. AUCs are NaN without rows of both labels.

    Raises:
        InputError: If there are no rows, arrays differ in length, labels are other than 0 and 1, or probabilities are
            outside 0 to 1.
    """
    probabilities_N, labels_N = checked_rows(probabilities_N, labels_N, are_binary=True)
    value, left_out = grouped_auc(probabilities_N, labels_N, users_N)
    return {
        "auc": auc(probabilities_N, labels_N),
        "log_loss": float(log_losses(probabilities_N, labels_N).mean()),
        "ece": expected_calibration_error(probabilities_N, labels_N),
        "grouped_auc": value,
        GROUPED_AUC_LEFT_OUT: left_out,
    }


def auc(scores_N: ArrayLike, labels_N: ArrayLike) -> float:
    """Compute the area under the ROC curve: how probably a row with label 1 scores above one with label 0.

    Equal scores count half. NaN if all labels are equal.

    >>> auc([0.1, 0.4, 0.4, 0.9], [0, 0, 1, 1])
    0.875
    """
    return float(auc_by_user(scores_N, labels_N, np.zeros(np.shape(labels_N), dtype=np.int64))[0][0])


def grouped_auc(scores_N: ArrayLike, labels_N: ArrayLike, users_N: ArrayLike) -> tuple[float, float]:
    """Average the AUC of each user's rows, weighted by their number.

    Users whose labels are all equal have no AUC and are left out. (Zhu et al. 2017, "Optimized Cost per Click in Taobao
    Display Advertising", equation 9: GAUC.)

    Returns:
        The average, NaN if no user has both labels; and the share of users left out.
    """
    auc_U, num_rows_U = auc_by_user(scores_N, labels_N, users_N)
    counts_U = ~np.isnan(auc_U)
    left_out = float(1 - counts_U.mean())
    return (float(np.average(auc_U[counts_U], weights=num_rows_U[counts_U])) if counts_U.any() else np.nan), left_out


def auc_by_user(scores_N: ArrayLike, labels_N: ArrayLike, users_N: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Compute the AUC of each user's rows (NaN if all labels are equal), and count the rows.

    Computed from the ranks within a user (Mann-Whitney); equal scores share the average of their ranks.

    Returns:
        `auc_U` and `num_rows_U`, in the sorted order of the users.
    """
    scores_N, labels_N = np.asarray(scores_N, dtype=np.float64), np.asarray(labels_N) > 0
    codes_N = np.unique(np.asarray(users_N), return_inverse=True)[1]
    order_N = np.lexsort([scores_N, codes_N])
    scores_N, labels_N, codes_N = scores_N[order_N], labels_N[order_N], codes_N[order_N]
    num_rows_U = np.bincount(codes_N)
    changes_N = np.ones(len(codes_N), dtype=bool)  # where the user or the score differs from that of the row before
    changes_N[1:] = (codes_N[1:] != codes_N[:-1]) | (scores_N[1:] != scores_N[:-1])
    firsts = np.flatnonzero(changes_N)
    lengths = np.diff(firsts, append=len(codes_N))
    starts_N = (num_rows_U.cumsum() - num_rows_U)[codes_N]
    ranks_N = (firsts + (lengths - 1) / 2).repeat(lengths) - starts_N + 1
    num_ones_U = np.bincount(codes_N, labels_N)
    above_U = np.bincount(codes_N, ranks_N * labels_N) - num_ones_U * (num_ones_U + 1) / 2
    num_pairs_U = num_ones_U * (num_rows_U - num_ones_U)
    return np.divide(above_U, num_pairs_U, out=np.full(len(num_pairs_U), np.nan), where=num_pairs_U > 0), num_rows_U


def placements(scores_N: np.ndarray, labels_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the share of pairs with rows of the other label in which each row is ordered correctly (ties: half).

    The average of either array is the AUC (DeLong et al. 1988).

    Returns:
        `placements_P` and `placements_Q`, in the order of the rows.
    """
    ones_P, zeros_Q = scores_N[labels_N > 0], scores_N[labels_N <= 0]
    return share_below(ones_P, zeros_Q), 1 - share_below(zeros_Q, ones_P)


def share_below(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the share of `others` below each value, equal ones counting half."""
    others = np.sort(others)
    below, up_to = (np.searchsorted(others, values, side=side) for side in ("left", "right"))
    return (below + up_to) / (2 * len(others))


def log_losses(probabilities_N: np.ndarray, labels_N: np.ndarray) -> np.ndarray:
    """Return each row's negative log-likelihood, in nats, with probabilities kept 1e-7 away from 0 and 1."""
    probabilities_N = np.clip(probabilities_N, CLOSEST, 1 - CLOSEST)
    return -np.log(np.where(labels_N > 0, probabilities_N, 1 - probabilities_N))


@dataclass(frozen=True)
class Reliability:
    """How often label 1 occurred, by predicted probability, in bins of equal width from 0 to 1.

    Attributes:
        num_rows_C: Number of rows in each bin; the lower edge belongs to the bin.
        predicted_C: Their average probability, NaN in an empty bin.
        observed_C: Share of label 1 among them, NaN in an empty bin.
    """

    num_rows_C: np.ndarray
    predicted_C: np.ndarray
    observed_C: np.ndarray

    def record(self) -> Mapping[str, list[float]]:
        """Return the bins that are not empty, as plain lists for JSON."""
        holds_C = self.num_rows_C > 0
        found = {"num_rows": self.num_rows_C, "predicted": self.predicted_C, "observed": self.observed_C}
        return {name: values_C[holds_C].tolist() for name, values_C in found.items()}


def reliability(probabilities_N: ArrayLike, labels_N: ArrayLike, *, num_bins: int = NUM_BINS) -> Reliability:
    """Compare predicted probabilities with the share of label 1, bin by bin.

    Raises:
        InputError: As in `binary_metrics`.
    """
    probabilities_N, labels_N = checked_rows(probabilities_N, labels_N, are_binary=True)
    edges = np.linspace(0, 1, num_bins + 1)
    bins_N = np.minimum(np.searchsorted(edges, probabilities_N, side="right") - 1, num_bins - 1)
    num_rows_C = np.bincount(bins_N, minlength=num_bins)
    sums = [np.bincount(bins_N, values_N, minlength=num_bins) for values_N in (probabilities_N, labels_N)]
    predicted_C, observed_C = (
        np.divide(sum_C, num_rows_C, out=np.full(num_bins, np.nan), where=num_rows_C > 0) for sum_C in sums
    )
    return Reliability(num_rows_C, predicted_C, observed_C)


def expected_calibration_error(probabilities_N: ArrayLike, labels_N: ArrayLike, *, num_bins: int = NUM_BINS) -> float:
    """Average the distance between predicted probability and share of label 1 over rows, in 15 bins of equal width.

    (Naeini et al. 2015; Guo et al. 2017, equation 3, with the probability of label 1 as confidence.)

    >>> expected_calibration_error([0.5, 0.5, 0.9, 0.9], [0, 1, 1, 1])
    0.04999999999999999
    """
    found = reliability(probabilities_N, labels_N, num_bins=num_bins)
    gaps_C = np.nan_to_num(np.abs(found.predicted_C - found.observed_C))
    return float(np.average(gaps_C, weights=found.num_rows_C))


def checked_rows(
    predicted_N: ArrayLike, labels_N: ArrayLike, *, are_binary: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Return predictions and labels in float64; refuse unusable ones."""
    predicted_N, labels_N = np.asarray(predicted_N, dtype=np.float64), np.asarray(labels_N, dtype=np.float64)
    if predicted_N.shape != labels_N.shape or labels_N.ndim != 1 or len(labels_N) == 0:
        raise InputError(
            f"There are predictions of shape {predicted_N.shape} for labels of shape {labels_N.shape}. Give one of "
            "each per row, and at least one row."
        )
    if not (np.isfinite(predicted_N).all() and np.isfinite(labels_N).all()):
        raise InputError("Predictions and labels must be finite numbers. Leave out the rows without a label.")
    if are_binary and not np.isin(labels_N, (0, 1)).all():
        raise InputError(f"Labels of a binary task must be 0 or 1, got {labels_N[~np.isin(labels_N, (0, 1))][0]:g}.")
    if are_binary and (predicted_N.min() < 0 or predicted_N.max() > 1):
        raise InputError(
            f"Probabilities must be between 0 and 1, got {predicted_N.min():g} to {predicted_N.max():g}. Pass "
            "predictions, not logits."
        )
    return predicted_N, labels_N

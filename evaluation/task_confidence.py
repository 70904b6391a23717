"""Confidence intervals of the metrics of tasks: users are independent of each other, the rows of one user are not.

Averages over rows are resampled by users, as ranking metrics are. The AUC has a closed form (Obuchowski 1997,
"Nonparametric Analysis of Clustered ROC Curve Data"). The expected calibration error has no interval: resamples of it
are biased upwards.

Shape suffixes: N rows with a label, U users, R resamples.
"""

from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from seqrec.evaluation.confidence import percentile_interval, resample_means
from seqrec.evaluation.task_metrics import auc_by_user, checked_rows, log_losses, placements

__all__ = ["auc_interval", "binary_intervals", "rating_intervals"]

LEVEL = 0.95
NUM_RESAMPLES = 1000

Interval = tuple[float, float]


def rating_intervals(
    predicted_N: ArrayLike, labels_N: ArrayLike, users_N: ArrayLike, *, level: float = LEVEL, seed: int = 0
) -> dict[str, Interval]:
    """Compute intervals of `rmse` and `mae`.

    Args:
        predicted_N: Predicted ratings.
        labels_N: True ratings.
        users_N: User of each row: ids or numbers.
        level: How probably an interval covers the value of the population.
        seed: Equal seeds give equal intervals.

    Raises:
        InputError: See `rating_metrics`.
    """
    predicted_N, labels_N = checked_rows(predicted_N, labels_N)
    errors_N = predicted_N - labels_N
    codes_N = np.unique(np.asarray(users_N), return_inverse=True)[1]
    squares_R, absolutes_R = resampled_averages(
        np.stack([np.bincount(codes_N, errors_N**2), np.bincount(codes_N, np.abs(errors_N))]),
        np.bincount(codes_N),
        seed,
    )
    return {"rmse": percentile_interval(np.sqrt(squares_R), level), "mae": percentile_interval(absolutes_R, level)}


def binary_intervals(
    probabilities_N: ArrayLike, labels_N: ArrayLike, users_N: ArrayLike, *, level: float = LEVEL, seed: int = 0
) -> dict[str, Interval]:
    """Compute intervals of `auc`, `log_loss` and `grouped_auc`; an AUC that is undefined has none.

    Args:
        probabilities_N: Predicted probabilities of label 1.
        labels_N: Labels, 0 or 1.
        users_N: User of each row: ids or numbers.
        level: How probably an interval covers the value of the population.
        seed: Equal seeds give equal intervals.

    Raises:
        InputError: See `binary_metrics`.
    """
    probabilities_N, labels_N = checked_rows(probabilities_N, labels_N, are_binary=True)
    codes_N = np.unique(np.asarray(users_N), return_inverse=True)[1]
    losses_N = log_losses(probabilities_N, labels_N)
    averages_R = resampled_averages(np.bincount(codes_N, losses_N)[None], np.bincount(codes_N), seed)[0]
    found = {"log_loss": percentile_interval(averages_R, level)}
    if labels_N.min() < labels_N.max():
        found = {"auc": auc_interval(probabilities_N, labels_N, codes_N, level=level), **found}
    auc_U, num_rows_U = auc_by_user(probabilities_N, labels_N, codes_N)
    has_both_U = ~np.isnan(auc_U)
    if has_both_U.any():
        sums_U = (auc_U * num_rows_U)[has_both_U]
        averages_R = resampled_averages(sums_U[None], num_rows_U[has_both_U], seed)[0]
        found["grouped_auc"] = percentile_interval(averages_R, level)
    return found


def auc_interval(scores_N: np.ndarray, labels_N: np.ndarray, users_N: np.ndarray, *, level: float = LEVEL) -> Interval:
    """Compute an interval of the AUC in closed form, of rows that belong to users.

    Each row deviates from the AUC by its placement. The deviations of a user's rows with label 1 are summed and divided
    by P, those of the rows with label 0 by Q; both are added. The variance is U / (U - 1) times the sum of squares over
    users: Obuchowski's equation 4, with one such factor for all three of its terms. With one row per user, it is that
    of DeLong et al. (1988) but for these factors.

    Args:
        scores_N: Predicted scores or probabilities.
        labels_N: Labels, both 0 and 1.
        users_N: User of each row, as numbers from 0.
        level: How probably the interval covers the value of the population.
    """
    placements_P, placements_Q = placements(scores_N, labels_N)
    value = placements_P.mean()
    is_one_N = labels_N > 0
    num_users = int(users_N.max()) + 1
    deviations_U = sum(
        np.bincount(users_N[chosen_N], found - value, minlength=num_users) / len(found)
        for chosen_N, found in ((is_one_N, placements_P), (~is_one_N, placements_Q))
    )
    variance = np.square(deviations_U).sum() * num_users / max(num_users - 1, 1)
    half = NormalDist().inv_cdf((1 + level) / 2) * np.sqrt(variance)
    return float(max(value - half, 0)), float(min(value + half, 1))


def resampled_averages(sums_MU: np.ndarray, num_rows_U: np.ndarray, seed: int) -> np.ndarray:
    """Average over the rows of resampled users.

    Args:
        sums_MU: Sum over each user's rows, for each metric.
        num_rows_U: Number of each user's rows.
        seed: Equal seeds give equal resamples.

    Returns:
        The averages by metric and resample, (M, R).
    """
    values_UM = np.concatenate([sums_MU, num_rows_U[None]]).T
    one_each_U = np.ones(len(values_UM), dtype=np.int64)
    means_RM = resample_means(values_UM, one_each_U, num_resamples=NUM_RESAMPLES, seed=seed)
    return (means_RM[:, :-1] / means_RM[:, -1:]).T

"""Confidence of a mean over users: percentile bootstrap intervals (Efron & Tibshirani 1993, chapter 13).

A resample draws U users with replacement. Users with equal values are interchangeable, so it is enough to draw how
many of each kind a resample holds, from a multinomial distribution. That is equivalent, and there are far fewer kinds
than users: with one target and one k, only k + 1, since all ranks beyond k count as 0.

Shape suffixes: U users (evaluated rows), G kinds of users, M metrics, R resamples.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from seqrec.errors import InputError
from seqrec.evaluation.metrics import RANKING_METRICS

__all__ = ["confidence_intervals", "percentile_interval", "resample_means"]

METRICS = ("ndcg", "hr", "mrr")
MAX_DRAWS = 2**22  # counts (R, G) drawn at once: 32 MiB


def bootstrap_interval(
    values_U: ArrayLike, *, level: float = 0.95, num_resamples: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Compute the interval that contains the mean in a share `level` of resamples of users.

    Args:
        values_U: A value for each user, such as `ndcg(ranks, k=10)`.
        level: Share of resamples within the interval; equally many lie above and below it.
        num_resamples: Number of samples of U users.
        seed: Equal seeds give equal intervals.

    Returns:
        The lower and upper bound.

    Raises:
        InputError: If there are no values, one is not finite, or `level` or `num_resamples` is out of range.
    """
    values_U = np.asarray(values_U, dtype=np.float64)
    if values_U.ndim != 1 or len(values_U) == 0 or not np.isfinite(values_U).all():
        raise InputError(
            f"An interval needs one finite value per user and at least one user, got values of shape "
            f"{values_U.shape}, {np.sum(~np.isfinite(values_U))} of them not finite."
        )
    values_G, num_users_G = np.unique(values_U, return_counts=True)
    means_RM = resample_means(values_G[:, None], num_users_G, num_resamples=num_resamples, seed=seed)
    return percentile_interval(means_RM[:, 0], level)


def confidence_intervals(
    ranks: ArrayLike,
    ks: Sequence[int] = (10,),
    *,
    level: float = 0.95,
    num_resamples: int = 1000,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """Compute bootstrap intervals of several ranking metrics from the same resamples of users.

    Args:
        ranks: Integer ranks, (U,) or (U, T) padded with 0, as for `ranking_metrics`.
        ks: Lengths at which lists are cut off.
        level: See `bootstrap_interval`.
        num_resamples: See `bootstrap_interval`.
        seed: See `bootstrap_interval`.

    Returns:
        `{"ndcg@10": (low, high), "hr@10": …, "mrr@10": …}`, for each k.

    Raises:
        InputError: If ranks, ks, `level` or `num_resamples` are out of range.
    """
    ranks, num_repeats = distinct_ranks(np.asarray(ranks), ks)
    values = {f"{name}@{k}": RANKING_METRICS[name](ranks, k) for k in ks for name in METRICS}
    if not values:
        raise InputError("ks is empty. Give at least one length at which lists are cut off.")
    values_GM = np.stack([*values.values()], axis=1)
    if num_repeats is None:
        values_GM, num_users_G = np.unique(values_GM, axis=0, return_counts=True)
    else:
        num_users_G = num_repeats
    means_RM = resample_means(values_GM, num_users_G, num_resamples=num_resamples, seed=seed)
    return {name: percentile_interval(means_RM[:, m], level) for m, name in enumerate(values)}


def distinct_ranks(ranks: np.ndarray, ks: Sequence[int]) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the kinds of users with one target each, by decreasing rank, and their numbers: faster than by values.

    All ranks beyond the longest list are one kind. Ranks of several targets are returned as they are, with None.
    """
    if ranks.ndim != 1 or ranks.dtype.kind not in "iu" or not len(ranks) or not ks or ranks.min() < 1:
        return ranks, None
    ranks_G, num_users_G = np.unique(np.minimum(ranks, max(ks) + 1), return_counts=True)
    return ranks_G[::-1], num_users_G[::-1]


def resample_means(values_GM: np.ndarray, num_users_G: np.ndarray, *, num_resamples: int, seed: int) -> np.ndarray:
    """Draw samples of U users and average their values, some samples at a time.

    Returns:
        `means_RM`.
    """
    if num_resamples < 1:
        raise InputError(f"num_resamples must be at least 1, and better 1000, got {num_resamples}.")
    generator = np.random.default_rng(seed)
    num_users = num_users_G.sum()
    at_once = max(1, MAX_DRAWS // len(num_users_G))
    means_RM = np.empty((num_resamples, values_GM.shape[1]))
    for start in range(0, num_resamples, at_once):
        size = min(at_once, num_resamples - start)
        drawn_RG = generator.multinomial(num_users, num_users_G / num_users, size=size)
        means_RM[start : start + size] = drawn_RG @ values_GM / num_users
    return means_RM


def percentile_interval(means_R: np.ndarray, level: float) -> tuple[float, float]:
    """Cut off equal shares of the lowest and highest means."""
    if not 0 < level < 1:
        raise InputError(f"level, the share of resamples inside the interval, must be between 0 and 1, got {level}.")
    outside = (1 - level) / 2
    low, high = np.quantile(means_R, [outside, 1 - outside])
    return float(low), float(high)

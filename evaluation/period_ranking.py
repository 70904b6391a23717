"""Rank once per user, for all held-out items of a period together, as benchmarks with a global temporal split do.

Shape suffixes: R rows (one per held-out interaction), U users, K list length, T distinct targets of all users.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seqrec.errors import InputError
from seqrec.evaluation.evaluator import rank_dataset
from seqrec.interactions.histories import Histories
from seqrec.search.interfaces import Encoder

__all__ = ["PeriodRanking", "rank_periods"]

DEFAULT_KS = (10, 50, 100)


@dataclass(frozen=True)
class PeriodRanking:
    """One list per user, and which of its items the user chose in the period.

    Attributes:
        is_hit_UK: Whether each place of a user's list holds a target.
        num_targets_U: Each user's distinct targets.
        num_events_U: Each user's held-out interactions, which may repeat items.
    """

    is_hit_UK: np.ndarray
    num_targets_U: np.ndarray
    num_events_U: np.ndarray

    def metrics(self, ks: Sequence[int] = DEFAULT_KS) -> dict[str, float]:
        """Average over users, for each k.

        Returns:
            - `hr@k`, `recall@k` and `ndcg@k`: as in `seqrec.evaluation.metrics`, of several targets per user. The NDCG
              is the mean of each user's DCG divided by that of the best list.
            - `yambda_ndcg@k` and `yambda_recall@k`: as in the code of Yambda's benchmark. The NDCG is the mean DCG
              divided by the mean DCG of the best lists, so users with many targets weigh more; and each repeated
              interaction counts as one more target.
        """
        found = {}
        for k in ks:
            is_hit_UK = self.is_hit_UK[:, :k]
            hits_U, gains_U = is_hit_UK.sum(axis=1), is_hit_UK @ discounts(is_hit_UK.shape[1])
            found[f"hr@{k}"] = (hits_U > 0).mean()
            found[f"recall@{k}"] = (hits_U / self.num_targets_U).mean()
            found[f"ndcg@{k}"] = (gains_U / best_gains(self.num_targets_U, k)).mean()
            found[f"yambda_recall@{k}"] = (hits_U / self.num_events_U).mean()
            found[f"yambda_ndcg@{k}"] = gains_U.mean() / best_gains(self.num_events_U, k).mean()
        return {name: float(value) for name, value in found.items()}


def discounts(length: int) -> np.ndarray:
    """Return the discount of each place of a list: 1 / log2(1 + rank)."""
    return 1 / np.log2(np.arange(length) + 2)


def best_gains(num_targets_U: np.ndarray, k: int) -> np.ndarray:
    """Return the DCG@k of lists that begin with all targets."""
    return discounts(k).cumsum()[np.minimum(num_targets_U, k) - 1]


def rank_periods(
    ranked: Encoder,
    rows: Histories,
    *,
    max_length: int,
    exclude_seen: bool = True,
    ks: Sequence[int] = DEFAULT_KS,
    batch_size: int = 256,
    progress: bool = False,
) -> PeriodRanking:
    """List the best items for each user at the beginning of the held-out part, which is all that the model reads.

    Args:
        ranked: A model.
        rows: A held-out part, as `prepare` returns it: one row per interaction, those of a user on the same events.
        max_length: See `rank_dataset`.
        exclude_seen: See `rank_dataset`; False in Yambda's benchmark, where people listen to tracks again.
        ks: Lengths of lists to be measured.
        batch_size: See `rank_dataset`.
        progress: See `rank_dataset`.

    Raises:
        InputError: If a k is below 1, or the rows cannot be ranked (see `rank_dataset`).
    """
    if not ks or min(ks) < 1:
        raise InputError(f"ks must be integers >= 1, got {list(ks)}.")
    order_R = np.lexsort((rows.lengths_R, rows.starts_R))
    is_first_R = np.diff(rows.starts_R[order_R], prepend=-1) > 0
    ranking = rank_dataset(
        ranked,
        rows.select(order_R[is_first_R]),
        max_length=max_length,
        exclude_seen=exclude_seen,
        list_length=min(max(ks), len(ranked.encode_items())),
        batch_size=batch_size,
        progress=progress,
    )
    user_R, item_R = is_first_R.cumsum() - 1, rows.rows["target"][order_R].astype(np.int64)
    size = max(int(item_R.max()), int(ranking.top_UK.max())) + 1
    keys_T = np.unique(user_R * size + item_R)
    users_U = np.arange(len(ranking.top_UK))
    return PeriodRanking(
        np.isin(users_U[:, None] * size + ranking.top_UK, keys_T) & (ranking.top_UK > 0),
        np.bincount(keys_T // size),
        np.bincount(user_R),
    )

"""Rank the best items again, by a weighted sum of several scores.

Shape suffixes: B users, D hidden size, S seen items, N candidates, K list length.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from seqrec.errors import InputError
from seqrec.interactions.number_checks import is_finite_number
from seqrec.interactions.request_options import require_candidates
from seqrec.search.finite import require_finite
from seqrec.search.interfaces import Reranker
from seqrec.search.score_floor import ScoreFloor

__all__ = ["WeightedReranker", "make_rerankers", "make_weighted_reranker", "standardise"]

NEXT_ITEM = "next_item"


@dataclass(frozen=True)
class WeightedReranker:
    """Ranks each user's best items by the weighted sum of their standardised scores.

    Attributes:
        predict: Returns predictions (B, N) by task from user vectors (B, D) and token ids (B, N).
        weights: Weight of each score by its name: `next_item` for the score that the items were found by, or a task.
        num_candidates: Number N of best items that are ranked again.
    """

    predict: Callable[[Tensor, Tensor], Mapping[str, Tensor]]
    weights: Mapping[str, float]
    num_candidates: int
    reads_users = True

    def rank(
        self, users_BD: Tensor, seen_BS: Tensor, scores_BN: Tensor, token_ids_BN: Tensor, k: int
    ) -> tuple[Tensor, Tensor]:
        """List the k items with the highest sums, which are their scores; ties are in the order of token ids.

        For arguments, see `Reranker`.

        Raises:
            NonFiniteError: If a score or a prediction is infinite or NaN.
        """
        token_ids_BN, order_BN = token_ids_BN.sort(dim=1)
        is_item_BN = token_ids_BN > 0
        found = {NEXT_ITEM: scores_BN.gather(1, order_BN)}
        require_finite(found[NEXT_ITEM].where(is_item_BN, 0), what="Scores")
        if self.weights.keys() - {NEXT_ITEM}:
            found |= self.predict(users_BD, token_ids_BN)
        sums_BN = torch.zeros_like(token_ids_BN, dtype=torch.float64)
        for name, weight in self.weights.items():
            values_BN = require_finite(found[name].where(is_item_BN, 0), what=f"Predictions ({name})")
            sums_BN += weight * standardise(values_BN, is_item_BN)
        sums_BN = sums_BN.where(is_item_BN, -torch.inf)
        scores_BK, choice_BK = (part[:, :k] for part in sums_BN.sort(dim=1, descending=True, stable=True))
        return scores_BK.float(), token_ids_BN.gather(1, choice_BK)


def standardise(values_BN: Tensor, is_item_BN: Tensor) -> Tensor:
    """Return z-scores within each row: (value − mean) / standard deviation; 0 throughout where all values are equal.

    Args:
        values_BN: Finite numbers.
        is_item_BN: Which of them count; the others' results are arbitrary.

    Returns:
        `z_BN`, float64.
    """
    values_BN = values_BN.double()
    num_B1 = is_item_BN.sum(dim=1, keepdim=True).clamp(min=1)
    mean_B1 = values_BN.where(is_item_BN, 0).sum(dim=1, keepdim=True) / num_B1
    centred_BN = values_BN - mean_B1
    variance_B1 = centred_BN.square().where(is_item_BN, 0).sum(dim=1, keepdim=True) / num_B1
    # Equal values can differ from their rounded mean.
    highest_B1 = values_BN.where(is_item_BN, -torch.inf).amax(dim=1, keepdim=True)
    lowest_B1 = values_BN.where(is_item_BN, torch.inf).amin(dim=1, keepdim=True)
    return (centred_BN / variance_B1.sqrt()).where(highest_B1 > lowest_B1, 0)


def make_rerankers(
    model: Any,
    rank_by: Mapping[str, float] | None,
    make_diversifier: Callable[..., Reranker] | None,
    *,
    k: int,
    rerank_from: int,
    min_score: float | None = None,
) -> list[Reranker]:
    """Return what ranks the best items of a model again, in this order: weights of several scores, and diversity.

    Args:
        model: A `NextItemHead`.
        rank_by: Weights by name, `next_item` or a task; None to keep the scores.
        make_diversifier: Makes what chooses diverse lists, from k and `rerank_from`; None for lists as they are.
        k: Length of the lists.
        rerank_from: Number of best items that are ranked again.
        min_score: Minimum score of the items that diverse lists are chosen from.

    Raises:
        InputError: See `make_weighted_reranker`.
    """
    found: list[Reranker] = []
    if rank_by is not None:
        tasks = [NEXT_ITEM, *model.config.label_tasks]
        sizes = {"k": k, "rerank_from": rerank_from, "num_items": model.config.num_items}
        found.append(make_weighted_reranker(model.predict_tasks, rank_by, tasks, **sizes))
    if make_diversifier is not None:
        found += [] if min_score is None else [ScoreFloor(min_score)]
        found.append(make_diversifier(k=k, rerank_from=rerank_from))
    return found


def make_weighted_reranker(
    predict: Callable[[Tensor, Tensor], Mapping[str, Tensor]],
    rank_by: Mapping[str, float],
    tasks: Sequence[str],
    *,
    k: int,
    rerank_from: int,
    num_items: int,
) -> WeightedReranker:
    """Check the weights of scores, and the number of items to rank again.

    Args:
        predict: See `WeightedReranker`.
        rank_by: Weights by name.
        tasks: Names that may have a weight, `next_item` among them.
        k: Length of the lists.
        rerank_from: Number of best items that are ranked again, at least k; all items if there are fewer.
        num_items: Size of the catalogue.

    Raises:
        InputError: If a name is unknown, a weight is not a finite number, all weights are 0, or `rerank_from` is not an
            integer of at least k.
    """
    if not isinstance(rank_by, Mapping) or not rank_by:
        raise InputError(
            f"rank_by must be a dictionary of weights, such as {{'next_item': 1, 'rating': 0.2}}, got {rank_by!r:.60}."
        )
    unknown = [name for name in rank_by if name not in tasks]
    if unknown:
        raise InputError(
            f"rank_by names {unknown[0]!r}, which the model does not predict. It predicts: {', '.join(tasks)}."
        )
    for name, weight in rank_by.items():
        if not is_finite_number(weight):
            raise InputError(f"The weight of {name!r} in rank_by must be a finite number, got {weight!r:.60}.")
    if not any(rank_by.values()):
        raise InputError("All weights in rank_by are 0, so nothing decides the order. Give one task another weight.")
    weights = {name: float(weight) for name, weight in rank_by.items() if weight}
    return WeightedReranker(predict, weights, min(require_candidates(rerank_from, k), num_items))

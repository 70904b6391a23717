"""Shared negative sampling, and scoring of targets and negatives.

Shape suffixes: G groups that share negatives, M tokens per group, S negatives, V vocabulary, D hidden size.
"""

from math import log1p

import torch
from torch import Tensor

from seqrec.interactions.item_rows import rows_of, token_ids_of

__all__ = ["draw_negatives", "log_uniform_probability", "score_candidates"]


def draw_negatives(
    sampling: str,
    num_items: int,
    shape: tuple[int, int],
    device: torch.device,
    items_by_count_I: Tensor | None = None,
) -> Tensor:
    """Draw token ids of items, with replacement.

    Args:
        sampling: `"uniform"`, or `"log_uniform"`: Zipf's law over items ranked by popularity.
        num_items: Number of items in the catalogue.
        shape: (G, S).
        device: Device of the result.
        items_by_count_I: Item rows, most popular first; None if token ids have that order.
    """
    if sampling == "uniform":
        return torch.randint(token_ids_of(0), token_ids_of(num_items), shape, device=device)
    # Inverts the distribution function of the ranks r = 0 … n − 1: P(rank < r) = log(r + 1) / log(n + 1).
    ranks_GS = torch.expm1(torch.rand(shape, device=device, dtype=torch.float64) * log1p(num_items)).long()
    ranks_GS = ranks_GS.clamp(max=num_items - 1)
    items_GS = ranks_GS if items_by_count_I is None else items_by_count_I[ranks_GS]
    return token_ids_of(items_GS)


def log_uniform_probability(token_ids: Tensor, num_items: int, ranks_by_count_I: Tensor | None = None) -> Tensor:
    """Return each item's probability in one draw of `"log_uniform"`, float32.

    Args:
        token_ids: Token ids of the items.
        num_items: Number of items in the catalogue.
        ranks_by_count_I: Each item's rank by popularity, from 0; None if token ids have that order.
    """
    ranks = rows_of(token_ids)
    if ranks_by_count_I is not None:
        ranks = ranks_by_count_I[ranks]
    return (torch.log1p(1 / (ranks.double() + 1)) / log1p(num_items)).float()


def score_candidates(
    hidden_GMD: Tensor, targets_GMD: Tensor, negatives_GSD: Tensor, labels_GM: Tensor, negative_ids_GS: Tensor
) -> tuple[Tensor, Tensor]:
    """Score each token's target and its group's negatives, with one matrix product per group for the negatives.

    A negative that is a token's own target gets the lowest finite score for that token.

    Args:
        hidden_GMD: User vectors.
        targets_GMD: Vector of each token's target.
        negatives_GSD: Vectors of the negatives.
        labels_GM: Token id of each target.
        negative_ids_GS: Token id of each negative.

    Returns:
        `target_scores_GM` and `negative_scores_GMS`, both float32.
    """
    target_scores_GM = (hidden_GMD.float() * targets_GMD.float()).sum(dim=-1)
    negative_scores_GMS = (hidden_GMD @ negatives_GSD.transpose(1, 2)).float()
    is_target_GMS = (labels_GM[:, :, None] == negative_ids_GS[:, None]).float()  # a CPU fills by mask five times slower
    return target_scores_GM, negative_scores_GMS - is_target_GMS * torch.finfo(torch.float32).max

"""Negatives that many tokens share, and everybody's scores for them.

Shape suffixes: G groups that share negatives, M tokens of a group, S negatives, V vocabulary, D hidden size.
"""

from math import log1p

import torch
from torch import Tensor

from seqrec.interactions.item_rows import rows_of, token_ids_of


def draw_negatives(
    sampling: str,
    num_items: int,
    shape: tuple[int, int],
    device: torch.device,
    items_by_count_I: Tensor | None = None,
) -> Tensor:
    """Draw token ids of items, with replacement.

    Args:
        sampling: `"uniform"`, or `"log_uniform"`, which follows Zipf's law along the items, most popular first.
        num_items: Items of the catalogue.
        shape: (G, S).
        device: Where the result shall lie.
        items_by_count_I: The items, counted from 0 in the order of their token ids, most popular first; None where
            token ids have that order.
    """
    if sampling == "uniform":
        return torch.randint(token_ids_of(0), token_ids_of(num_items), shape, device=device)
    # The inverse of the distribution function log(r + 1) / log(n + 1) of the ranks r = 0 … n − 1.
    ranks_GS = torch.expm1(torch.rand(shape, device=device, dtype=torch.float64) * log1p(num_items)).long()
    ranks_GS = ranks_GS.clamp(max=num_items - 1)
    items_GS = ranks_GS if items_by_count_I is None else items_by_count_I[ranks_GS]
    return token_ids_of(items_GS)


def log_uniform_probability(token_ids: Tensor, num_items: int, ranks_by_count_I: Tensor | None = None) -> Tensor:
    """Return how probably each item is the one that `"log_uniform"` draws, float32.

    Args:
        token_ids: Items.
        num_items: Items of the catalogue.
        ranks_by_count_I: Each item's rank by popularity, from 0; None where token ids have that order.
    """
    ranks = rows_of(token_ids)
    if ranks_by_count_I is not None:
        ranks = ranks_by_count_I[ranks]
    return (torch.log1p(1 / (ranks.double() + 1)) / log1p(num_items)).float()


def score_candidates(
    hidden_GMD: Tensor, targets_GMD: Tensor, negatives_GSD: Tensor, labels_GM: Tensor, negative_ids_GS: Tensor
) -> tuple[Tensor, Tensor]:
    """Score each token's target and its group's negatives: for the latter, one matrix product a group.

    A negative that happens to be a token's own target scores as low as can be for that token.

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

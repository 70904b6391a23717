"""Aims of diverse lists: how much an item adds to those already chosen.

Each method is greedy: the item with the largest gain is next. Relevance is the user's scores scaled to 0 to 1, λ is the
diversity.

Shape suffixes: B users, N candidates, D hidden size, T chosen items, M most categories of one item, C columns of a
table of categories, S seen items.
"""

from typing import Protocol

import torch
from torch import Tensor, nn

from seqrec.search.diversity_categories import BatchCategories

__all__ = [
    "Calibration",
    "CategorySimilarity",
    "Determinant",
    "MarginalRelevance",
    "Method",
    "Similarity",
    "VectorSimilarity",
]

LOWEST_VARIANCE = 1e-5  # below it, float32 cannot distinguish an item from a combination of the chosen ones
TINY = torch.finfo(torch.float32).tiny
HISTORY_SHARE = 0.01  # α of Steck: of the history's mix in the list's, so that no share is 0


class Method(Protocol):
    """Says how much candidates add to the chosen items."""

    def bonus(self) -> Tensor | None:
        """Return what is added to (1 − λ) · relevance (B, N); None for nothing."""
        ...

    def add(self, place_B1: Tensor) -> None:
        """Choose one candidate of each user."""
        ...


class Similarity(Protocol):
    """Compares candidates with each other."""

    def to(self, place_B1: Tensor) -> Tensor:
        """Return the similarity (B, N) of all candidates to one of them; that of an item to itself is 1, or 0."""
        ...


class VectorSimilarity:
    """Cosine similarity of vectors (B, N, D)."""

    def __init__(self, vectors_BND: Tensor) -> None:
        self.directions_BND = nn.functional.normalize(vectors_BND.float(), dim=2)

    def to(self, place_B1: Tensor) -> Tensor:
        """See `Similarity`."""
        chosen_B1D = self.directions_BND[torch.arange(len(place_B1), device=place_B1.device)[:, None], place_B1]
        return torch.bmm(chosen_B1D, self.directions_BND.transpose(1, 2)).squeeze(1)


class CategorySimilarity:
    """Jaccard similarity of sets of categories: shared ones by all of both; 0 for items without any.

    Jaccard, 1901; a kernel, as determinants need it: Gower, Biometrics 1971.
    """

    def __init__(self, categories: BatchCategories) -> None:
        self.categories = categories
        self.size_BN = categories.is_code_BME.sum(dim=1)

    def to(self, place_B1: Tensor) -> Tensor:
        """See `Similarity`."""
        codes_BM, is_code_BM = self.categories.of_items(place_B1)
        is_own_BC = self.categories.new_table().scatter_(1, codes_BM, is_code_BM)
        is_own_BC[:, -1] = 0
        shared_BN = self.categories.look_up(is_own_BC).sum(dim=1)
        return shared_BN / (self.size_BN + self.size_BN.gather(1, place_B1) - shared_BN).clamp(min=1)


class MarginalRelevance:
    """Maximal marginal relevance: (1 − λ) · relevance − λ · similarity to the most similar chosen item.

    Carbonell & Goldstein, SIGIR 1998. Nothing is subtracted for the first item.
    """

    def __init__(self, similarity: Similarity, weight: float) -> None:
        self.similarity, self.weight = similarity, weight
        self.bonus_BN: Tensor | None = None

    def bonus(self) -> Tensor | None:
        """See `Method`."""
        return self.bonus_BN

    def add(self, place_B1: Tensor) -> None:
        """See `Method`."""
        bonus_BN = -self.weight * self.similarity.to(place_B1)
        self.bonus_BN = bonus_BN if self.bonus_BN is None else torch.minimum(self.bonus_BN, bonus_BN)


class Determinant:
    """Determinantal point process: (1 − λ) · relevance + λ · log d², summed over a list, is greedily maximal.

    The sum of log d² is the log-determinant of the chosen items' similarities: d² is the share of an item that is not
    explained by the chosen ones, at least `LOWEST_VARIANCE`. Chen, Zhang & Zhou, NeurIPS 2018, algorithm 1,
    with the Cholesky factor extended by one row for each chosen item.
    """

    def __init__(self, similarity: Similarity, weight: float) -> None:
        self.similarity, self.weight = similarity, weight
        self.variance_BN: Tensor | None = None
        self.factors_BTN: Tensor | None = None

    def bonus(self) -> Tensor | None:
        """See `Method`."""
        return None if self.variance_BN is None else self.weight * self.variance_BN.clamp(min=LOWEST_VARIANCE).log()

    def add(self, place_B1: Tensor) -> None:
        """See `Method`."""
        factor_BN = self.similarity.to(place_B1)
        if self.variance_BN is None or self.factors_BTN is None:
            self.variance_BN, self.factors_BTN = 1 - factor_BN.square(), factor_BN[:, None]
            return
        own_B1T = self.factors_BTN.gather(2, place_B1[:, :, None].expand(-1, self.factors_BTN.shape[1], -1)).mT
        factor_BN = factor_BN - torch.bmm(own_B1T, self.factors_BTN)[:, 0]
        factor_BN = factor_BN / self.variance_BN.gather(1, place_B1).clamp(min=LOWEST_VARIANCE).sqrt()
        self.variance_BN = self.variance_BN - factor_BN.square()
        self.factors_BTN = torch.cat([self.factors_BTN, factor_BN[:, None]], dim=1)


class Calibration:
    """Calibrated lists: Σ (1 − λ) · relevance − λ · KL(p, q) is greedily maximal.

    p is the mix of categories in the history, q in the list: means over items, in which an item's categories share 1
    equally and items without any do not count. KL(p, q) = Σ p · log(p / q̃), with q̃ = (1 − α) q + α p and α = 0.01.
    Steck, RecSys 2018. Histories without categories leave the order to relevance.
    """

    def __init__(self, seen: BatchCategories, candidates: BatchCategories, weight: float) -> None:
        self.candidates, self.weight = candidates, weight
        history_BC = seen.new_table().scatter_add_(1, seen.codes_BME.flatten(1), seen.shares().flatten(1))
        self.history_BC = history_BC / history_BC.sum(dim=1, keepdim=True).clamp(min=TINY)
        self.history_BMN = candidates.look_up(self.history_BC)
        self.entropy_B1 = torch.special.entr(self.history_BC).sum(dim=1, keepdim=True)
        self.share_BMN = candidates.shares()
        self.has_any_BN = candidates.is_code_BME.amax(dim=1)
        self.listed_BC = candidates.new_table()
        self.num_listed_B1 = self.listed_BC.new_zeros(len(self.listed_BC), 1)

    def bonus(self) -> Tensor:
        """See `Method`."""
        num_B1 = self.num_listed_B1 + 1
        now_BC = mix(self.listed_BC, self.history_BC, num_B1)
        added_BMN = (1 - HISTORY_SHARE) / num_B1[:, None] * self.share_BMN
        gained_BN = (self.history_BMN * (added_BMN / self.candidates.look_up(now_BC)).log1p()).sum(dim=1)
        without_B1 = self.overlap(mix(self.listed_BC, self.history_BC, self.num_listed_B1.clamp(min=1)))
        overlap_BN = (self.overlap(now_BC) + gained_BN).where(self.has_any_BN > 0, without_B1)
        return self.weight * (self.entropy_B1 + overlap_BN)

    def overlap(self, mix_BC: Tensor) -> Tensor:
        """Return Σ p · log q̃ (B, 1)."""
        return (self.history_BC * mix_BC.log()).sum(dim=1, keepdim=True)

    def add(self, place_B1: Tensor) -> None:
        """See `Method`."""
        codes_BM, is_code_BM = self.candidates.of_items(place_B1)
        share_BM = is_code_BM / is_code_BM.sum(dim=1, keepdim=True).clamp(min=1)
        self.listed_BC.scatter_add_(1, codes_BM, share_BM)
        self.num_listed_B1 += self.has_any_BN.gather(1, place_B1)


def mix(listed_BC: Tensor, history_BC: Tensor, num_B1: Tensor) -> Tensor:
    """Return q̃ (B, C) of lists of `num_B1` items with categories, above 0."""
    return ((1 - HISTORY_SHARE) / num_B1 * listed_BC + HISTORY_SHARE * history_BC).clamp(min=TINY)

"""Choose lists from the best items so that they are diverse, less popular, or partly random.

Shape suffixes: B users, D hidden size, S seen items, N candidates, K list length, V vocabulary.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from seqrec.interactions.item_categories import ItemCategories
from seqrec.interactions.item_rows import rows_of
from seqrec.interactions.request_options import require_candidates
from seqrec.search.diversity_caps import Cap
from seqrec.search.diversity_categories import BatchCategories
from seqrec.search.diversity_draws import gumbel_noise, history_keys
from seqrec.search.diversity_methods import (
    Calibration,
    CategorySimilarity,
    Determinant,
    MarginalRelevance,
    Method,
    Similarity,
    VectorSimilarity,
)
from seqrec.search.diversity_options import CALIBRATED, VECTORS, DiversityOptions
from seqrec.search.finite import require_finite
from seqrec.search.reranking import standardise

__all__ = ["Diversifier", "make_diversifier"]

BY_SIMILARITY: dict[str, type[MarginalRelevance | Determinant]] = {"mmr": MarginalRelevance, "dpp": Determinant}


@dataclass(frozen=True)
class Diversifier:
    """Chooses the items of lists one after the other; each keeps its own score.

    Attributes:
        options: How to choose.
        num_candidates: Number N of best items to choose from.
        item_vectors: Returns the vectors (B, N, D) of token ids (B, N).
        counts_V: Training interactions of each token id.
        categories: The categories of the columns that the options name.
    """

    options: DiversityOptions
    num_candidates: int
    item_vectors: Callable[[Tensor], Tensor]
    counts_V: np.ndarray
    categories: dict[str, ItemCategories]
    reads_users = False

    def rank(
        self, users_BD: Tensor, seen_BS: Tensor, scores_BN: Tensor, token_ids_BN: Tensor, k: int
    ) -> tuple[Tensor, Tensor]:
        """List k items for each user, in the order in which they are chosen, with their own scores.

        Of equally good items, the one with the higher score is chosen. Lists are shorter if no other candidate is
        within the limits of `max_per`. For arguments, see `Reranker`; only the number of users matters.

        Raises:
            NonFiniteError: If a score is infinite or NaN.
        """
        is_item_BN = token_ids_BN > 0
        require_finite(scores_BN.where(is_item_BN, 0), what="Scores")
        relevance_BN = self.relevance(seen_BS, scores_BN, token_ids_BN)
        method = None
        if self.options.diversity:
            relevance_BN = (1 - self.options.diversity) * scaled(relevance_BN, is_item_BN)
            method = self.method(seen_BS, token_ids_BN)
        limits = self.options.max_per or {}
        caps = [Cap(self.batch_categories(column, token_ids_BN), most) for column, most in limits.items()]
        place_BK, is_found_BK = choose(relevance_BN.where(is_item_BN, -torch.inf), k, method, caps)
        scores_BK = scores_BN.gather(1, place_BK).float().where(is_found_BK, -torch.inf)
        return scores_BK, token_ids_BN.gather(1, place_BK).where(is_found_BK, 0)

    def relevance(self, seen_BS: Tensor, scores_BN: Tensor, token_ids_BN: Tensor) -> Tensor:
        """Return scores with exploration's noise and without popularity (B, N); arbitrary in empty places."""
        options, is_item_BN = self.options, token_ids_BN > 0
        if options.exploration:
            noise_BN = gumbel_noise(history_keys(seen_BS, options.seed), token_ids_BN)
            scores_BN = scores_BN + options.exploration * noise_BN
        if options.popularity_penalty:
            counts_BN = torch.from_numpy(self.counts_V)[token_ids_BN.cpu()].to(token_ids_BN.device)
            popularity_BN = standardise(counts_BN.float().log1p(), is_item_BN)
            scores_BN = standardise(scores_BN, is_item_BN) - options.popularity_penalty * popularity_BN
        return scores_BN

    def method(self, seen_BS: Tensor, token_ids_BN: Tensor) -> Method:
        """Begin lists by the method of the options."""
        options = self.options
        if options.method == CALIBRATED:
            both = self.batch_categories(options.diversify_by, torch.cat([seen_BS, token_ids_BN], dim=1))
            return Calibration(*both.split(seen_BS.shape[1]), options.diversity)
        return BY_SIMILARITY[options.method](self.similarity(token_ids_BN), options.diversity)

    def similarity(self, token_ids_BN: Tensor) -> Similarity:
        """Compare candidates as the options say."""
        column = self.options.diversify_by
        if column == VECTORS:
            return VectorSimilarity(self.item_vectors(token_ids_BN))
        return CategorySimilarity(self.batch_categories(column, token_ids_BN))

    def batch_categories(self, column: str, token_ids_BE: Tensor) -> BatchCategories:
        """Look up the categories of items in a column."""
        categories = self.categories[column]
        return BatchCategories.of(categories.codes_VM, len(categories.names), token_ids_BE)


def choose(worth_BN: Tensor, k: int, method: Method | None, caps: list[Cap]) -> tuple[Tensor, Tensor]:
    """Choose k candidates of each user, one after the other.

    Args:
        worth_BN: What an item counts for by itself, −inf in empty places. It is changed.
        k: How many, at most N.
        method: What else counts.
        caps: Limits of categories.

    Returns:
        Their places (B, K), and whether one was found (bool); once none is, none follows.
    """
    places, is_found = [], []
    parts: list[Cap | Method] = [*caps, *([] if method is None else [method])]
    while True:
        bonus_BN = None if method is None else method.bonus()
        gain_BN = worth_BN if bonus_BN is None else worth_BN + bonus_BN
        for cap in caps:
            gain_BN = gain_BN.where(cap.is_free(), -torch.inf)
        gain_B1, place_B1 = gain_BN.max(dim=1, keepdim=True)  # the first of equal gains
        places.append(place_B1)
        is_found.append(gain_B1 > -torch.inf)
        if len(places) == k:
            break
        worth_BN.scatter_(1, place_B1, -torch.inf)
        for part in parts:
            part.add(place_B1)
    return torch.cat(places, dim=1), torch.cat(is_found, dim=1)


def scaled(relevance_BN: Tensor, is_item_BN: Tensor) -> Tensor:
    """Scale each user's relevance to 0 to 1, float32: the best item has 1, the worst 0; all have 0 if equal."""
    highest_B1 = relevance_BN.where(is_item_BN, -torch.inf).amax(dim=1, keepdim=True)
    lowest_B1 = relevance_BN.where(is_item_BN, torch.inf).amin(dim=1, keepdim=True)
    is_spread_B1 = highest_B1 > lowest_B1
    return ((relevance_BN - lowest_B1) / (highest_B1 - lowest_B1)).where(is_spread_B1, 0).float()


def make_diversifier(
    options: DiversityOptions,
    *,
    k: int,
    rerank_from: int,
    item_vectors: Callable[[Tensor], Tensor],
    counts_V: np.ndarray,
    categories: Callable[[str], ItemCategories],
) -> Diversifier:
    """Make what chooses diverse lists from the best items.

    Args:
        options: How to choose.
        k: Length of the lists.
        rerank_from: Number of best items to choose from, at least k; all items if there are fewer.
        item_vectors: Returns the vectors (…, D) of token ids (…), such as the `item_vectors` of a model; called if
            items are compared by vectors.
        counts_V: Training interactions of each token id, 0 for special tokens.
        categories: Returns the categories of a column, such as `Catalogue.categories`; called for the columns that the
            options name.

    Raises:
        InputError: If `rerank_from` is not an integer of at least k, or the items lack a column.
    """
    num_items = rows_of(len(counts_V))
    columns = [*(options.max_per or ())]
    if options.diversity and options.diversify_by != VECTORS:
        columns.append(options.diversify_by)
    return Diversifier(
        options,
        min(require_candidates(rerank_from, k), num_items),
        item_vectors,
        counts_V,
        {column: categories(column) for column in dict.fromkeys(columns)},
    )

"""Methods that make lists diverse, each with several strengths, for the trade-off curve.

Shape suffixes: N candidates, V vocabulary, D hidden size.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from seqrec.evaluation.list_candidates import Candidates
from seqrec.interactions.catalogue import Catalogue
from seqrec.search.diversity import make_diversifier
from seqrec.search.diversity_options import CALIBRATED, VECTORS, DiversityOptions
from seqrec.search.exposure import ExposureReranker, exposure_bonuses, least_lists
from seqrec.search.interfaces import Reranker

__all__ = ["OPTIONS", "Setting", "settings_of"]

# The option that sets the strength of each method.
OPTIONS = {
    "mmr": "diversity",
    "dpp": "diversity",
    "calibrated": "diversity",
    "max_per": "max_per",
    "popularity_penalty": "popularity_penalty",
    "exposure": "min_exposure",
}
DIVERSITIES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
CAPS = (5, 4, 3, 2, 1)
PENALTIES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)
SHARES = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)


@dataclass(frozen=True)
class Setting:
    """A method with one strength.

    Attributes:
        method: A key of `OPTIONS`.
        strength: The value of its option.
        reranker: Chooses the lists.
    """

    method: str
    strength: float
    reranker: Reranker


def settings_of(
    items: Catalogue,
    vectors_VD: torch.Tensor,
    population: Candidates,
    *,
    diversify_by: str = VECTORS,
    k: int,
) -> Iterator[Setting]:
    """Yield all methods that apply with their strengths, from weak to strong.

    Args:
        items: The catalogue.
        vectors_VD: The model's item vectors.
        population: The candidates of all users, N each, for which the method "exposure" computes bonuses.
        diversify_by: `"vectors"`, or the name of a column, by which lists are also calibrated and capped.
        k: Length of the lists.

    Raises:
        InputError: If the items have no such column, or N is less than k.
    """
    num_candidates = population.token_ids_UN.shape[1]
    for method, options in diversity_options(diversify_by):
        reranker = make_diversifier(
            options,
            k=k,
            rerank_from=num_candidates,
            item_vectors=lambda token_ids: vectors_VD[token_ids],
            counts_V=items.counts_by_token,
            categories=items.categories,
        )
        yield Setting(method, strength_of(method, options, diversify_by), reranker)
    for share in distinct_shares(len(population.rows), k, len(items)):
        bonuses_V = exposure_bonuses(
            population.scores_UN, population.token_ids_UN, share=share, k=k, vocab_size=items.vocab_size
        )
        yield Setting("exposure", share, ExposureReranker(bonuses_V, num_candidates))


def distinct_shares(num_users: int, k: int, num_items: int) -> list[float]:
    """Return the shares that stand for different numbers of lists."""
    by_number = {least_lists(share, num_users, k, num_items): share for share in reversed(SHARES)}
    return sorted(by_number.values())


def diversity_options(diversify_by: str) -> Iterator[tuple[str, DiversityOptions]]:
    """Yield the options of the methods that `make_diversifier` has."""
    has_categories = diversify_by != VECTORS
    for method in ("mmr", "dpp", *([CALIBRATED] if has_categories else [])):
        for diversity in DIVERSITIES:
            chosen: dict[str, Any] = {"diversity": diversity, "method": method, "diversify_by": diversify_by}
            yield method, DiversityOptions(**chosen)
    for most in CAPS if has_categories else ():
        yield "max_per", DiversityOptions(max_per={diversify_by: most})
    for penalty in PENALTIES:
        yield "popularity_penalty", DiversityOptions(popularity_penalty=penalty)


def strength_of(method: str, options: DiversityOptions, diversify_by: str) -> float:
    """Return the value of the option that sets the strength."""
    return options.max_per[diversify_by] if options.max_per else getattr(options, OPTIONS[method])

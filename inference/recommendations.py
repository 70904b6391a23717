"""The results of recommending.

Shape suffixes: R histories, K list length.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from seqrec.interactions.catalogue import Catalogue
from seqrec.interactions.item_rows import rows_of

__all__ = ["Recommendation", "Recommendations", "describe"]


@dataclass(frozen=True)
class Recommendation:
    """One recommended item. The score is the model's logit; compare scores only within one list."""

    item_id: str
    score: float
    title: str | None = None

    @property
    def columns(self) -> Mapping[str, Any] | None:
        """Values of the `item_columns` that were asked for, by name; None if there were none."""
        return None

    def to_dict(self) -> dict[str, Any]:
        """Return id, score and title, followed by the columns that were asked for."""
        return {"item_id": self.item_id, "score": self.score, "title": self.title, **(self.columns or {})}


@dataclass(frozen=True)
class DescribedRecommendation(Recommendation):
    """A recommended item with columns of the table of items."""

    columns: Mapping[str, Any] | None = field(default=None, hash=False)


class Recommendations(list[Recommendation]):
    """A user's recommendations, best first, and how they came about; a diverse list is in the order of choosing.

    `unknown_items` are the items of the history that the model does not know; they were left out. `is_popularity` is
    True if no known item was left: the list then holds the most popular items, of recent days if the model reads recent
    popularity. A score is then the natural logarithm of the item's share of interactions.
    """

    def __init__(
        self,
        items: Sequence[Recommendation] = (),
        *,
        unknown_items: Sequence[str] = (),
        is_popularity: bool = False,
    ) -> None:
        super().__init__(items)
        self.unknown_items = tuple(unknown_items)
        self.is_popularity = is_popularity


def describe(
    scores_RK: np.ndarray, token_ids_RK: np.ndarray, items: Catalogue, item_columns: Sequence[str] = ()
) -> list[list[Recommendation]]:
    """Turn lists of scores and token ids into lists of recommendations, without empty places.

    Args:
        scores_RK: Scores.
        token_ids_RK: Token ids, 0 in empty places.
        items: The catalogue.
        item_columns: Columns of the items whose values are told.
    """
    if item_columns:
        return describe_with_columns(scores_RK, token_ids_RK, items, item_columns)
    item_ids, titles = items.item_ids, items.titles
    return [
        [Recommendation(item_ids[row], score, titles[row]) for score, row in zip(scores, rows, strict=True) if row >= 0]
        for scores, rows in zip(scores_RK.tolist(), rows_of(token_ids_RK).tolist(), strict=True)
    ]


def describe_with_columns(
    scores_RK: np.ndarray, token_ids_RK: np.ndarray, items: Catalogue, item_columns: Sequence[str]
) -> list[list[Recommendation]]:
    """Do as `describe` does, with columns of the items."""
    plain = describe(scores_RK, token_ids_RK, items)
    rows = rows_of(token_ids_RK[token_ids_RK > 0])
    values = iter(items.frame.select(item_columns)[rows].iter_rows(named=True))
    return [
        [DescribedRecommendation(one.item_id, one.score, one.title, next(values)) for one in found] for found in plain
    ]

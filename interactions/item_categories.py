"""Categories of items, such as genres, as codes.

The module needs NumPy alone, so that a model's pipeline can read them without seqrec.

Shape suffixes: V vocabulary, M most categories of one item, E pairs of an item and a category.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

__all__ = ["NO_CATEGORY", "ItemCategories"]

NO_CATEGORY = -1


@dataclass(frozen=True)
class ItemCategories:
    """Which categories each item belongs to.

    Attributes:
        names: Names of the categories, the most frequent first.
        codes_VM: Places in `names` of the categories of each token id, in the item's own order, followed by −1.
    """

    names: tuple[str, ...]
    codes_VM: np.ndarray

    @classmethod
    def of_pairs(cls, names: tuple[str, ...], token_ids_E: np.ndarray, codes_E: np.ndarray, vocab_size: int) -> Self:
        """Lay out pairs of a token id and a code, in which those of one token id are neighbours."""
        counts_V = np.bincount(token_ids_E, minlength=vocab_size)
        begins_V = np.cumsum(counts_V) - counts_V
        codes_VM = np.full((vocab_size, int(counts_V.max(initial=1))), NO_CATEGORY, dtype=np.int64)
        codes_VM[token_ids_E, np.arange(len(token_ids_E)) - begins_V[token_ids_E]] = codes_E
        return cls(names, codes_VM)

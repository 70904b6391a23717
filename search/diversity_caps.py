"""Limit how many items of one category a list holds.

Shape suffixes: B users, N candidates.
"""

from torch import Tensor

from seqrec.search.diversity_categories import BatchCategories

__all__ = ["Cap"]


class Cap:
    """Most items of one category in a list; items without a category are not limited.

    Args:
        candidates: The candidates' categories.
        most: Most items of one category.
    """

    def __init__(self, candidates: BatchCategories, most: int) -> None:
        self.candidates, self.most = candidates, most
        self.counts_BC = candidates.new_table()

    def is_free(self) -> Tensor:
        """Return which candidates exceed no limit: bool, (B, N)."""
        return self.candidates.look_up(self.counts_BC).amax(dim=1) < self.most

    def add(self, place_B1: Tensor) -> None:
        """Choose one candidate of each user."""
        self.counts_BC.scatter_add_(1, *self.candidates.of_items(place_B1))

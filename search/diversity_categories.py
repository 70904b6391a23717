"""Categories of the items of a batch, as codes that index a table per user.

Shape suffixes: B users, V vocabulary, E items of one user, M most categories of one item, C columns of a table.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from seqrec.interactions.item_categories import NO_CATEGORY

__all__ = ["BatchCategories"]

LARGE_TABLE = 4096  # columns beyond which codes are numbered per user


@dataclass(frozen=True)
class BatchCategories:
    """The categories of some items of each user.

    Attributes:
        codes_BEM: Columns of the categories in tables (B, C); the last column stands for no category.
        is_code_BEM: Whether these are categories, as float32 (1 or 0).
        num_columns: C.
    """

    codes_BEM: Tensor
    is_code_BEM: Tensor
    num_columns: int

    @classmethod
    def of(cls, codes_VM: np.ndarray, num_categories: int, token_ids_BE: Tensor) -> "BatchCategories":
        """Look up the categories of items.

        Args:
            codes_VM: Codes of each token id, `NO_CATEGORY` in empty places.
            num_categories: How many codes there are.
            token_ids_BE: Token ids.
        """
        device = token_ids_BE.device
        codes_BEM = torch.from_numpy(codes_VM)[token_ids_BE.cpu()].to(device)  # the table stays where it is
        if num_categories > LARGE_TABLE:
            codes_BEM, num_categories = numbered_per_row(codes_BEM)
        is_code_BEM = codes_BEM != NO_CATEGORY
        return cls(codes_BEM.where(is_code_BEM, num_categories), is_code_BEM.float(), num_categories + 1)

    def new_table(self) -> Tensor:
        """Return zeros (B, C)."""
        return self.is_code_BEM.new_zeros(len(self.codes_BEM), self.num_columns)

    def look_up(self, table_BC: Tensor) -> Tensor:
        """Return the entries of a table for each category of each item (B, E, M)."""
        return table_BC.gather(1, self.codes_BEM.flatten(1)).view_as(self.codes_BEM)

    def of_items(self, place_B1: Tensor) -> tuple[Tensor, Tensor]:
        """Return the codes (B, M) of one item of each user, and whether they are categories (1 or 0)."""
        place_B1M = place_B1[:, :, None].expand(-1, -1, self.codes_BEM.shape[2])
        return self.codes_BEM.gather(1, place_B1M)[:, 0], self.is_code_BEM.gather(1, place_B1M)[:, 0]

    def part(self, places: slice) -> "BatchCategories":
        """Return the categories of a part of each user's items."""
        return BatchCategories(self.codes_BEM[:, places], self.is_code_BEM[:, places], self.num_columns)


def numbered_per_row(codes_BEM: Tensor) -> tuple[Tensor, int]:
    """Replace each user's codes by 0, 1, … in ascending order, so that tables need no column for other categories.

    Returns:
        The new codes, `NO_CATEGORY` where it was, and how many there are at most.
    """
    sorted_BX, order_BX = codes_BEM.flatten(1).sort(dim=1)
    is_new_BX = sorted_BX != NO_CATEGORY
    is_new_BX[:, 1:] &= sorted_BX[:, 1:] != sorted_BX[:, :-1]
    number_BX = is_new_BX.cumsum(dim=1) - 1  # -1, NO_CATEGORY, before the first category
    numbered_BX = torch.empty_like(number_BX).scatter_(1, order_BX, number_BX)
    return numbered_BX.view_as(codes_BEM), int(number_BX.max()) + 1 if number_BX.numel() else 0

"""Categories of the items of a batch, as codes that index a table per user.

Shape suffixes: B users, V vocabulary, E items of one user, M most categories of one item, C columns of a table.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from seqrec.interactions.item_categories import NO_CATEGORY

__all__ = ["BatchCategories"]

LARGE_TABLE = 4096  # columns beyond which codes are numbered per user


@dataclass(frozen=True)
class BatchCategories:
    """The categories of some items of each user.

    Attributes:
        codes_BME: Columns of the categories in tables (B, C); the last column stands for no category.
        is_code_BME: Whether these are categories, as float32 (1 or 0).
        num_columns: C.
    """

    codes_BME: Tensor
    is_code_BME: Tensor
    num_columns: int

    @classmethod
    def of(cls, codes_VM: np.ndarray, num_categories: int, token_ids_BE: Tensor) -> "BatchCategories":
        """Look up the categories of items.

        Args:
            codes_VM: Codes of each token id, `NO_CATEGORY` in empty places.
            num_categories: How many codes there are.
            token_ids_BE: Token ids.
        """
        # The table stays in main memory. Sums over categories are faster where items are neighbours.
        codes_BEM = nn.functional.embedding(token_ids_BE.cpu(), torch.from_numpy(codes_VM))
        codes_BME = codes_BEM.to(token_ids_BE.device).transpose(1, 2).contiguous()
        if num_categories > LARGE_TABLE:
            codes_BME, num_categories = numbered_per_row(codes_BME)
        is_code_BME = codes_BME != NO_CATEGORY
        return cls(codes_BME.where(is_code_BME, num_categories), is_code_BME.float(), num_categories + 1)

    def new_table(self) -> Tensor:
        """Return zeros (B, C)."""
        return self.is_code_BME.new_zeros(len(self.codes_BME), self.num_columns)

    def look_up(self, table_BC: Tensor) -> Tensor:
        """Return the entries of a table for each category of each item (B, M, E)."""
        return table_BC.gather(1, self.codes_BME.flatten(1)).view_as(self.codes_BME)

    def of_items(self, place_B1: Tensor) -> tuple[Tensor, Tensor]:
        """Return the codes (B, M) of one item of each user, and whether they are categories (1 or 0)."""
        place_BM1 = place_B1[:, None].expand(-1, self.codes_BME.shape[1], -1)
        return self.codes_BME.gather(2, place_BM1)[..., 0], self.is_code_BME.gather(2, place_BM1)[..., 0]

    def shares(self) -> Tensor:
        """Return the share (B, M, E) of each category in its item: 1 by the number of the item's categories."""
        return self.is_code_BME / self.is_code_BME.sum(dim=1, keepdim=True).clamp(min=1)

    def split(self, num_first: int) -> "tuple[BatchCategories, BatchCategories]":
        """Divide each user's items into the first ones and the others."""
        return self.part(slice(num_first)), self.part(slice(num_first, None))

    def part(self, places: slice) -> "BatchCategories":
        """Return the categories of a part of each user's items."""
        codes, is_code = (tensor[..., places].contiguous() for tensor in (self.codes_BME, self.is_code_BME))
        return BatchCategories(codes, is_code, self.num_columns)


def numbered_per_row(codes_BME: Tensor) -> tuple[Tensor, int]:
    """Replace each user's codes by 0, 1, … in ascending order, so that tables need no column for other categories.

    Returns:
        The new codes, `NO_CATEGORY` where it was, and how many there are at most.
    """
    sorted_BX, order_BX = codes_BME.flatten(1).sort(dim=1)
    is_new_BX = sorted_BX != NO_CATEGORY
    is_new_BX[:, 1:] &= sorted_BX[:, 1:] != sorted_BX[:, :-1]
    number_BX = is_new_BX.cumsum(dim=1) - 1  # -1, NO_CATEGORY, before the first category
    numbered_BX = torch.empty_like(number_BX).scatter_(1, order_BX, number_BX)
    return numbered_BX.view_as(codes_BME), int(number_BX.max()) + 1 if number_BX.numel() else 0

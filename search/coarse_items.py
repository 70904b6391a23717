"""Items in few bits, whose scores are computed fast and are wrong by less than a known bound.

Shape suffixes: B users or vectors, V vocabulary, D hidden size, C items of one chunk, N blocks of `BLOCK` items.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from seqrec.search.largest import BLOCK

__all__ = ["Bfloat16Items", "CoarseItems", "CoarseUsers", "Int8Items", "coarse_items", "largest_of_blocks"]

LEVELS = 127  # of int8 on either side of 0
CHUNK_ITEMS = 1024 * BLOCK  # items that are prepared at once
FLOAT32_ERROR = 2**-13  # share of |u|·|i| that covers the rounding of exact scores, and of what is computed here


@dataclass(frozen=True)
class CoarseUsers:
    """User vectors in few bits.

    Attributes:
        levels_BD: What is multiplied with items.
        scale_B: Factor of each user's products, more than 0.
        length_B: Length of each vector.
        rest_B: Length of the difference of each vector and the rounded one.
    """

    levels_BD: Tensor
    scale_B: Tensor
    length_B: Tensor
    rest_B: Tensor


class CoarseItems(ABC):
    """Item vectors in few bits.

    If û and î are the rounded vectors of u and i, u·i − û·î = u·(i − î) + (u − û)·î, so that the scores differ by at
    most |u|·|i − î| + |u − û|·|î|.

    Args:
        items_VD: Item vectors in float32 on the CPU.
    """

    product_error: float  # of a product of rounded vectors, as a share of |û|·|î|

    def __init__(self, items_VD: Tensor) -> None:
        levels, scales, lengths, rests = [], [], [], []
        for items_CD in items_VD.split(CHUNK_ITEMS):
            rounded = self.round(items_CD)
            levels.append(rounded.levels_BD)
            scales.append(rounded.scale_B)
            lengths.append(rounded.length_B + rounded.rest_B)  # the rounded vector may be the longer one
            rests.append(rounded.rest_B)
        self.levels_VD, self.scale_V = torch.cat(levels), torch.cat(scales)
        self.longest_N = largest_of_blocks(torch.cat(lengths)[None])[0]
        self.largest_rest_N = largest_of_blocks(torch.cat(rests)[None])[0]

    def round(self, vectors_BD: Tensor) -> CoarseUsers:
        """Round vectors."""
        levels_BD, scale_B = self.levels(vectors_BD)
        rest_BD = vectors_BD - levels_BD * scale_B[:, None]
        return CoarseUsers(levels_BD, scale_B, vectors_BD.norm(dim=1), rest_BD.norm(dim=1))

    @abstractmethod
    def levels(self, vectors_BD: Tensor) -> tuple[Tensor, Tensor]:
        """Return vectors in few bits (B, D), and the scale of each (B,)."""

    @abstractmethod
    def multiply(self, users: CoarseUsers, start: int, stop: int) -> Tensor:
        """Return scores (B, C) of the items from `start` up to `stop`, each user's divided by its scale.

        They are float32, in a new tensor that may be modified.
        """

    def bounds(self, users: CoarseUsers, maxima_BN: Tensor) -> Tensor:
        """Return what no exact score in a block exceeds (B, N), from the maximum of its coarse scores."""
        length_B1, rest_B1 = users.length_B[:, None], users.rest_B[:, None]
        error_B1 = rest_B1 + (self.product_error + FLOAT32_ERROR) * (length_B1 + rest_B1)
        return maxima_BN * users.scale_B[:, None] + error_B1 * self.longest_N + length_B1 * self.largest_rest_N


class Int8Items(CoarseItems):
    """Item vectors of int8, each scaled by its largest component; users are rounded alike. Products are exact."""

    product_error = 0.0

    def levels(self, vectors_BD: Tensor) -> tuple[Tensor, Tensor]:
        """Return integers from −127 to 127, and the scale of each vector; 1 for zeros."""
        largest_B = vectors_BD.abs().amax(dim=1)
        scale_B = (largest_B / LEVELS).where(largest_B > 0, 1)
        return (vectors_BD / scale_B[:, None]).round().clamp(-LEVELS, LEVELS).to(torch.int8), scale_B

    def multiply(self, users: CoarseUsers, start: int, stop: int) -> Tensor:
        """Return scores, each user's divided by its scale."""
        return torch._int_mm(users.levels_BD, self.levels_VD[start:stop].T) * self.scale_V[start:stop]


class Bfloat16Items(CoarseItems):
    """Item vectors of bfloat16. Products are rounded to it again."""

    product_error = 2**-8

    def levels(self, vectors_BD: Tensor) -> tuple[Tensor, Tensor]:
        """Return vectors of bfloat16, and ones."""
        return vectors_BD.bfloat16(), torch.ones(len(vectors_BD))

    def multiply(self, users: CoarseUsers, start: int, stop: int) -> Tensor:
        """Return scores."""
        return (users.levels_BD @ self.levels_VD[start:stop].T).float()


def largest_of_blocks(values_BC: Tensor) -> Tensor:
    """Return the largest value of each block of columns (B, N); the last one may be shorter than the others."""
    if values_BC.shape[1] % BLOCK:
        values_BC = nn.functional.pad(values_BC, (0, -values_BC.shape[1] % BLOCK), value=-torch.inf)
    return values_BC.view(len(values_BC), -1, BLOCK).amax(dim=2)


def coarse_items(items_VD: Tensor) -> CoarseItems:
    """Return items in the form that this processor multiplies fastest.

    That is int8 where it has VNNI instructions, without which products of int8 are slow, or overflow. In torch 2.13,
    products of int8 vectors with a single component, such as the ranks of popular items, are wrong.
    """
    instructions = torch.cpu.get_capabilities()
    has_vnni = instructions.get("avx512_vnni") or instructions.get("avx_vnni")
    return Int8Items(items_VD) if has_vnni and items_VD.shape[1] > 1 else Bfloat16Items(items_VD)

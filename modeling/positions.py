"""Positions, and the modules that turn them into vectors or angles.

Shape suffixes: B batch, L length, D hidden size, H heads, E size of a head.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from seqrec.errors import InputError
from seqrec.modeling.growing_histories import GrowingHistories

__all__ = ["LearnedPositions", "PositionTerms", "Rotary", "RotaryPositions", "positions_from_newest", "rotate"]

Rotary = tuple[Tensor, Tensor]


class PositionTerms(NamedTuple):
    """How positions enter a model.

    Attributes:
        added_BLD: Vectors added to the input.
        rotary: Cosines and sines that rotate queries and keys, (B, L, 1, E) each; see `rotary_table`.
        bias_BHLL: Numbers added to the scores of queries (third axis) for keys (last axis); only with the attention
            implementations "eager" and "sdpa". B and H may be 1.
    """

    added_BLD: Tensor | None = None
    rotary: Rotary | None = None
    bias_BHLL: Tensor | None = None

    def plus(self, other: "PositionTerms") -> "PositionTerms":
        """Add the terms of another module, such as those of times.

        Raises:
            InputError: If both rotate queries and keys.
        """
        if self.rotary is not None and other.rotary is not None:
            raise InputError(
                "Positions and times cannot both rotate queries and keys. Choose another position_embedding_type or "
                "time_encoding."
            )
        return PositionTerms(
            added_BLD=total(self.added_BLD, other.added_BLD),
            rotary=self.rotary or other.rotary,
            bias_BHLL=total(self.bias_BHLL, other.bias_BHLL),
        )


def total(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    """Add two tensors, either of which may be missing."""
    if first is None or second is None:
        return second if first is None else first
    return first + second


class LearnedPositions(nn.Embedding):
    """An embedding of each position, added to the input."""

    def __init__(self, config: Any) -> None:
        super().__init__(config.max_position_embeddings, config.hidden_size)


class RotaryPositions(nn.Module):
    """Angles that rotate queries and keys; see `rotary_table`."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.head_dim = config.hidden_size // config.num_attention_heads

    def forward(self, positions_BL: Tensor) -> PositionTerms:
        """Return the angles for positions counted back from each sequence's newest item."""
        return PositionTerms(rotary=rotary_table(positions_BL, self.head_dim))

    def between(self, histories: GrowingHistories) -> PositionTerms:
        """Return the angles of new events; only differences matter, so positions count back from the oldest event."""
        return self(-histories.queries_BQ)


def positions_from_newest(
    length: int, attention_mask_BL: Tensor | None, position_ids_BL: Tensor | None, device: torch.device
) -> Tensor:
    """Count each token's position back from the newest item of its sequence, which is 0.

    Left-padded SASRec numbers positions in this way, so the newest item has the same position embedding whatever the
    history's length. Padding on either side does not change positions.

    Args:
        length: L.
        attention_mask_BL: 1 for items and 0 for padding, or None.
        position_ids_BL: Positions that restart at 0 with every packed sequence, or None.
        device: Device of the result.

    Returns:
        Positions (B, L), or (1, L) if both are None and all rows are alike.
    """
    if position_ids_BL is not None:
        index_L = torch.arange(length, device=device)
        starts_BL = torch.where(position_ids_BL == 0, index_L, length)
        next_start_BL = starts_BL.flip(-1).cummin(-1).values.flip(-1).roll(-1, dims=-1)
        next_start_BL = torch.where(index_L == length - 1, length, next_start_BL)
        return next_start_BL - 1 - index_L
    if attention_mask_BL is not None:
        mask_BL = attention_mask_BL.to(device=device, dtype=torch.long)
        return (mask_BL.flip(-1).cumsum(-1).flip(-1) - 1).clamp(min=0)
    return torch.arange(length - 1, -1, -1, device=device)[None]


def rotary_table(positions_BL: Tensor, head_dim: int) -> Rotary:
    """Return the cosines and sines that rotate queries and keys: (B, L, 1, E) each.

    Rotary positions, Su et al. 2021, equation 15: the product of a query and a key then depends on the distance
    between them. The first half of a head's dimensions is paired with the second half.
    """
    frequencies = 10_000 ** (-torch.arange(0, head_dim, 2, device=positions_BL.device) / head_dim)
    angles = (positions_BL[..., None] * frequencies).repeat(1, 1, 2)[:, :, None]
    return angles.cos(), angles.sin()


def rotate(values_BLHE: Tensor, rotary: Rotary) -> Tensor:
    """Rotate each head's vectors by the angles of their positions; `rotary` is from `rotary_table`."""
    cosine, sine = rotary
    first, second = values_BLHE.chunk(2, dim=-1)
    turned = values_BLHE * cosine + torch.cat([-second, first], dim=-1) * sine
    return turned.to(values_BLHE.dtype)

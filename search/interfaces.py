"""The two sides of a search: encoders turn histories and items into vectors; indexes find the best items for a vector.

Shape suffixes: B users, L length, V vocabulary, D hidden size, K list length, S excluded items, A allowed items.
"""

from typing import Protocol

import torch
from torch import Tensor

__all__ = ["Encoder", "Index"]


class Encoder(Protocol):
    """Turns users and items into vectors of one space, in which a score is a dot product."""

    def encode_users(self, input_ids: Tensor, attention_mask: Tensor | None = None, **columns: Tensor) -> Tensor:
        """Return user vectors (B, D).

        Args:
            input_ids: Histories (B, L), oldest item first.
            attention_mask: 1 for items, 0 for padding (B, L); None if nothing is padded.
            **columns: Further event columns (B, L), if the encoder reads any.
        """
        ...

    def encode_items(self, ids: Tensor | None = None) -> Tensor:
        """Return the vectors (…, D) of token ids (…), or (V, D) of all."""
        ...


class Index(Protocol):
    """Finds the best items for user vectors on one device, as `scoring.top_k` does."""

    device: torch.device

    def search(
        self, users_BD: Tensor, k: int, *, excluded_BS: Tensor | None = None, allowed_BA: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return `scores_BK` and `token_ids_BK`."""
        ...

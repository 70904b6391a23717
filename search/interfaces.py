"""The parts of a search: encoders turn histories and items into vectors, indexes find the best items for a vector, and
rerankers choose from these.

Shape suffixes: B users, L length, V vocabulary, D hidden size, K list length, N candidates, S seen or excluded items,
A allowed items.
"""

from typing import Protocol

import torch
from torch import Tensor

__all__ = ["Encoder", "Index", "Reranker"]


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

    def within(self, allowed_A: Tensor | None, denied_S: Tensor | None) -> "Index":
        """Return an index of the items that are allowed, all if None, and not denied; see `ExactIndex.within`."""
        ...


class Reranker(Protocol):
    """Chooses and orders the items of a list from the best items that an index found."""

    @property
    def num_candidates(self) -> int:
        """N, how many items to choose from."""
        ...

    @property
    def reads_users(self) -> bool:
        """Whether user vectors are needed; lists for histories without known items, which have none, then stay."""
        ...

    def rank(
        self, users_BD: Tensor, seen_BS: Tensor, scores_BN: Tensor, token_ids_BN: Tensor, k: int
    ) -> tuple[Tensor, Tensor]:
        """List k items for each user.

        Args:
            users_BD: User vectors.
            seen_BS: Token ids of the users' histories, 0 in empty places.
            scores_BN: Scores, the highest first, −inf in empty places.
            token_ids_BN: Token ids, 0 in empty places.
            k: Length of the lists, at most N.

        Returns:
            `scores_BK` (float32) and `token_ids_BK`; −inf and 0 in empty places, which come last.
        """
        ...

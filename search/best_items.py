"""Find histories' best items, everything being token ids.

Shape suffixes: B users, L length, V vocabulary, D hidden size, K list length, S excluded items, A allowed items.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from seqrec.interactions.histories import Histories
from seqrec.interactions.history_collator import HistoryCollator, batches_of_like_length, encoder_inputs, pad_items
from seqrec.search.finite import require_finite

BATCH_SIZE = 256
TokenLists = Sequence[np.ndarray]


class Encoder(Protocol):
    """What can be evaluated and served: users and items in one space, score = their product."""

    def encode_users(self, input_ids: Tensor, attention_mask: Tensor | None = None, **columns: Tensor) -> Tensor:
        """Return user vectors (B, D) of histories (B, L); `columns` are further event columns (B, L)."""
        ...

    def encode_items(self) -> Tensor:
        """Return item vectors (V, D)."""
        ...


class Index(Protocol):
    """What finds the best items for user vectors, as `scoring.top_k` does, on one device."""

    device: torch.device

    def search(
        self, users_BD: Tensor, k: int, *, excluded_BS: Tensor | None = None, allowed_BA: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return `scores_BK` and `token_ids_BK`."""
        ...


@dataclass(frozen=True)
class Answerer:
    """An encoder of histories, and its item vectors to be searched."""

    encoder: Encoder
    index: Index


def best_items(
    model: Answerer,
    popularity: Answerer,
    histories: Histories | TokenLists,
    k: int,
    *,
    max_length: int,
    exclude_seen: bool = True,
    allowed: TokenLists | None = None,
    denied: TokenLists | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Find the k best items for each history; an empty history is answered by popularity.

    Histories of like length share a batch, as in evaluation.

    Args:
        model: Answers histories that hold items.
        popularity: Answers the others.
        histories: Each user's events, or token ids of items, oldest first.
        k: Length of the lists.
        max_length: Newest items that the model reads.
        exclude_seen: Whether to leave out what is in a history.
        allowed: For each history, the only token ids that may be listed.
        denied: For each history, token ids that may not be listed.

    Returns:
        `scores_BK` and `token_ids_BK`, the latter 0 where nothing was left to recommend.
    """
    if not isinstance(histories, Histories):
        histories = Histories.from_lists({"input_ids": histories})
    scores_BK = np.zeros((len(histories), k), dtype=np.float32)
    token_ids_BK = np.zeros((len(histories), k), dtype=np.int64)
    lengths_B = histories.lengths_R
    collate = HistoryCollator(max_length)
    for answerer, chosen_B in ((model, lengths_B > 0), (popularity, lengths_B == 0)):
        rows = np.flatnonzero(chosen_B)
        for places in batches_of_like_length(np.minimum(lengths_B[rows], max_length), BATCH_SIZE):
            batch = rows[places]
            scores_BK[batch], token_ids_BK[batch] = best_items_of_batch(
                answerer,
                collate(histories.select(batch)),
                k,
                exclude_seen=exclude_seen,
                allowed=None if allowed is None else [allowed[row] for row in batch],
                denied=None if denied is None else [denied[row] for row in batch],
            )
    return scores_BK, token_ids_BK


@torch.inference_mode()
def best_items_of_batch(
    answerer: Answerer,
    batch: dict[str, Tensor],
    k: int,
    *,
    exclude_seen: bool,
    allowed: TokenLists | None,
    denied: TokenLists | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Encode one batch and list its best items."""
    device = answerer.index.device
    batch = {name: tensor.to(device) for name, tensor in batch.items()}
    users_BD = answerer.encoder.encode_users(**encoder_inputs(batch))
    excluded_BS = batch["seen_ids"] if exclude_seen else None
    if denied is not None:
        denied_BS = pad_items(Histories.from_lists({"input_ids": denied})).to(device)
        excluded_BS = denied_BS if excluded_BS is None else torch.cat([excluded_BS, denied_BS], dim=1)
    allowed_BA = None if allowed is None else pad_items(Histories.from_lists({"input_ids": allowed})).to(device)
    scores_BK, token_ids_BK = answerer.index.search(users_BD, k, excluded_BS=excluded_BS, allowed_BA=allowed_BA)
    if not (scores_BK < torch.inf).all():  # as NaN is not either; empty places hold -inf
        require_finite(scores_BK.where(scores_BK != -torch.inf, 0), what="Scores")
    return scores_BK.numpy(force=True), token_ids_BK.numpy(force=True)

"""From tokenized histories to lists of token ids, for the pipeline and `Recommender` alike.

Shape suffixes: B users, R histories, L length, K list length, S excluded items, A allowed items.
"""

from collections.abc import Callable, Sequence
from typing import overload

import numpy as np
import torch
from torch import Tensor

from seqrec.interactions.histories import Histories
from seqrec.interactions.history_collator import HistoryCollator, batches_of_like_length, encoder_inputs, pad_items
from seqrec.interactions.special_tokens import PAD_ID
from seqrec.search.finite import require_finite
from seqrec.search.interfaces import Encoder, Index, Reranker
from seqrec.search.ranked_search import RankedSearch
from seqrec.search.score_floor import drop_below

__all__ = ["Retriever", "TokenLists", "lists_of", "require_finite_lists"]

BATCH_SIZE = 256
LONG_LIST = 2**12  # allowed or denied items from which on a mask of the catalogue is faster than their ids
TokenLists = Sequence[np.ndarray]


class Retriever:
    """Finds the best items for histories: by a model, or by popularity for empty histories.

    Args:
        encoder: Encodes histories that are not empty.
        index: Index of the encoder's items.
        popularity: Index that answers empty histories, with ones (B, 1) for users.
        max_length: Number of newest events that the encoder reads.
        columns: Event columns that the encoder reads.
    """

    def __init__(
        self,
        encoder: Encoder,
        index: Index,
        popularity: Index,
        *,
        max_length: int,
        columns: Sequence[str] = ("input_ids",),
    ) -> None:
        self.encoder, self.index, self.popularity = encoder, index, popularity
        self.max_length = max_length
        self.columns = tuple(columns)
        self.collate = HistoryCollator(max_length, self.columns)

    @property
    def in_torch(self) -> "Retriever":
        """The retriever whose encoder is a torch module, to be explained: this one, unless it runs a graph."""
        return self

    def retrieve(
        self,
        histories: Histories,
        k: int,
        *,
        exclude_seen: bool = True,
        allowed: TokenLists | None = None,
        denied: TokenLists | None = None,
        rerankers: Sequence[Reranker] = (),
        users_RD: Tensor | None = None,
        min_score: float | None = None,
        advance: Callable[[int], object] | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the k best items for each history.

        Histories of similar length share a batch, as in evaluation.

        Args:
            histories: Token ids of each user's items, oldest first, and the encoder's further columns.
            k: Length of the lists.
            exclude_seen: Whether to leave out the items of a history.
            allowed: The only token ids that may be listed: one array for all histories, or one for each.
            denied: Token ids that may not be listed: one array for all histories, or one for each.
            rerankers: Rank the best items again, one after the other; those that read user vectors leave out empty
                histories.
            users_RD: The vectors of the histories, if they are known; those of empty ones are not read.
            min_score: Items that score lower are left out, after all ranking; see `read_min_score`.
            advance: Called with the number of histories of each batch when it is done.

        Returns:
            `scores_RK` and `token_ids_RK`; the token id is 0 where no item was left to recommend.

        Raises:
            NonFiniteError: If a score is infinite or NaN.
        """
        with torch.inference_mode():
            retriever, allowed, denied = self.narrowed(allowed, denied, histories.lengths_R)
            found = retriever.retrieve_all(histories, k, exclude_seen, allowed, denied, rerankers, users_RD, advance)
        return found if min_score is None else drop_below(*found, min_score)

    def narrowed(
        self, allowed: TokenLists | None, denied: TokenLists | None, lengths_R: np.ndarray
    ) -> tuple["Retriever", TokenLists | None, TokenLists | None]:
        """Return a retriever of fewer items in place of long lists for all histories, and the remaining lists."""
        if not (is_long_for_all(allowed) or is_long_for_all(denied)):
            return self, allowed, denied
        masks = [None if ids is None or len(ids) > 1 else self.to_device(ids[0]) for ids in (allowed, denied)]
        index = self.index.within(*masks) if lengths_R.any() else self.index
        popularity = self.popularity if lengths_R.all() else self.popularity.within(*masks)
        retriever = Retriever(self.encoder, index, popularity, max_length=self.max_length, columns=self.columns)
        return retriever, allowed if masks[0] is None else None, denied if masks[1] is None else None

    def to_device(self, token_ids: np.ndarray) -> Tensor:
        """Return token ids as a tensor on the device of the index."""
        return torch.from_numpy(token_ids).to(self.index.device)

    def retrieve_all(
        self,
        histories: Histories,
        k: int,
        exclude_seen: bool,
        allowed: TokenLists | None,
        denied: TokenLists | None,
        rerankers: Sequence[Reranker],
        users_RD: Tensor | None,
        advance: Callable[[int], object] | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the best items for each history, batch by batch."""
        if len(histories) == 1 and advance is None:
            return self.retrieve_batch(histories, k, exclude_seen, allowed, denied, rerankers, users_RD)
        scores_RK = np.zeros((len(histories), k), dtype=np.float32)
        token_ids_RK = np.zeros((len(histories), k), dtype=np.int64)
        for batch in self.batches(histories.lengths_R):
            for rows in apart(batch, allowed, denied):
                own, allow, deny = self, lists_of(allowed, rows), lists_of(denied, rows)
                if len(rows) == 1:
                    own, allow, deny = self.narrowed(allow, deny, histories.lengths_R[rows])
                scores_RK[rows], token_ids_RK[rows] = own.retrieve_batch(
                    histories.select(rows),
                    k,
                    exclude_seen,
                    allow,
                    deny,
                    rerankers,
                    None if users_RD is None else users_RD[torch.from_numpy(rows).to(users_RD.device)],
                )
            if advance is not None:
                advance(len(batch))
        return scores_RK, token_ids_RK

    def encode(self, histories: Histories) -> Tensor:
        """Return the user vectors (R, D) of histories; zeros for empty ones.

        Histories of similar length share a batch, as in `retrieve`.
        """
        device = self.index.device
        with torch.inference_mode():
            padding_1D = self.encoder.encode_items(torch.full((1,), PAD_ID, device=device))
            users_RD = torch.zeros_like(padding_1D).repeat(len(histories), 1)
            for rows in self.batches(histories.lengths_R):
                if histories.lengths_R[rows[0]]:
                    batch = self.collate_to(device, histories.select(rows))
                    users_RD[torch.from_numpy(rows).to(device)] = self.encoder.encode_users(**encoder_inputs(batch))
            return users_RD

    def collate_to(self, device: torch.device, histories: Histories) -> dict[str, Tensor]:
        """Collate histories on a device."""
        return {name: tensor.to(device) for name, tensor in self.collate(histories).items()}

    def batches(self, lengths_R: np.ndarray) -> list[np.ndarray]:
        """Divide histories into batches; empty ones get separate batches."""
        read_R = np.minimum(lengths_R, self.max_length)
        parts = np.flatnonzero(lengths_R > 0), np.flatnonzero(lengths_R == 0)
        return [rows[places] for rows in parts for places in batches_of_like_length(read_R[rows], BATCH_SIZE)]

    def retrieve_batch(
        self,
        histories: Histories,
        k: int,
        exclude_seen: bool,
        allowed: TokenLists | None,
        denied: TokenLists | None,
        rerankers: Sequence[Reranker] = (),
        users_BD: Tensor | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Encode one batch, in which all or no histories are empty, and list the best items for each."""
        index = self.index if histories.lengths_R[0] else self.popularity
        batch = self.collate_to(index.device, histories)
        if histories.lengths_R[0]:
            users_BD = self.encoder.encode_users(**encoder_inputs(batch)) if users_BD is None else users_BD
        else:
            users_BD = torch.ones(len(histories), 1, device=index.device)
            rerankers = [reranker for reranker in rerankers if not reranker.reads_users]
        excluded_BS = batch["seen_ids"] if exclude_seen else None
        if denied is not None:
            denied_BS = matrix(denied, index.device)
            if excluded_BS is not None:
                denied_BS = torch.cat([excluded_BS, denied_BS.expand(len(excluded_BS), -1)], dim=1)
            excluded_BS = denied_BS
        allowed_BA = None if allowed is None else matrix(allowed, index.device)
        if rerankers:
            search = RankedSearch(index, users_BD, batch["seen_ids"], excluded_BS, allowed_BA)
            found = search.lists(k, rerankers)
        else:
            found = index.search(users_BD, k, excluded_BS=excluded_BS, allowed_BA=allowed_BA)
        scores_BK, token_ids_BK = found[0].numpy(force=True), found[1].numpy(force=True)
        require_finite_lists(scores_BK)
        return scores_BK, token_ids_BK


def require_finite_lists(scores_BK: np.ndarray) -> None:
    """Raise a `NonFiniteError` if a score is infinite or NaN; empty places hold −inf."""
    if not (scores_BK < np.inf).all():  # also false for NaN
        require_finite(torch.from_numpy(np.where(scores_BK == -np.inf, 0, scores_BK)), what="Scores")


def is_long_for_all(lists: TokenLists | None) -> bool:
    """Return whether there is one list for all histories, and it is long."""
    return lists is not None and len(lists) == 1 and len(lists[0]) >= LONG_LIST


def apart(batch: np.ndarray, *lists: TokenLists | None) -> list[np.ndarray]:
    """Divide the rows of a batch so that those with long lists are alone, which bounds the memory for all lists."""
    is_long_B = np.zeros(len(batch), dtype=bool)
    for ids in lists:
        if ids is not None and len(ids) > 1:
            is_long_B |= [len(ids[row]) >= LONG_LIST for row in batch]
    if not is_long_B.any():
        return [batch]
    return [*np.split(batch[is_long_B], is_long_B.sum()), *([batch[~is_long_B]] if not is_long_B.all() else [])]


@overload
def lists_of(lists: TokenLists, rows: np.ndarray) -> TokenLists: ...


@overload
def lists_of(lists: None, rows: np.ndarray) -> None: ...


def lists_of(lists: TokenLists | None, rows: np.ndarray) -> TokenLists | None:
    """Select the lists of some histories; a single list for all is returned unchanged."""
    return lists if lists is None or len(lists) == 1 else [lists[row] for row in rows]


def matrix(lists: TokenLists, device: torch.device) -> Tensor:
    """Return lists of token ids as rows of a matrix, padded with 0."""
    return pad_items(Histories.from_lists({"input_ids": lists})).to(device)

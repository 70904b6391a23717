"""Retrieve by an exported graph: `Retriever` with the graph as encoder and, where it can, as index.

Shape suffixes: B histories, D size of user vectors, K list length, S excluded items.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from seqrec.inference.exported_graph import EXCLUDED, IDS, LIST_LENGTH, USERS
from seqrec.inference.graph_sessions import GraphSession
from seqrec.interactions.histories import Histories
from seqrec.interactions.history_collator import pad_items
from seqrec.search.interfaces import Encoder, Reranker
from seqrec.search.retriever import Retriever, TokenLists, require_finite_lists

__all__ = ["ExportedEncoder", "ExportedRetriever"]

ONE = np.array(1, dtype=np.int64)
NOTHING = np.zeros((1, 0), dtype=np.int64)


class ExportedEncoder:
    """Encodes users by an exported graph, and items by the model that it was made from.

    Args:
        session: Runs the graph.
        model: The model.
        columns: Event columns that the graph reads besides `input_ids`, in its order.
    """

    def __init__(self, session: GraphSession, model: Encoder, columns: tuple[str, ...]) -> None:
        self.session, self.model, self.columns = session, model, columns

    def encode_users(self, input_ids: Tensor, attention_mask: Tensor | None = None, **columns: Tensor) -> Tensor:
        """Return user vectors (B, D); padding is told by the ids."""
        inputs = self.inputs({IDS: input_ids, **columns}, no_items(len(input_ids)), ONE)
        (users_BD,) = self.session.run(inputs, (USERS,))
        return torch.from_numpy(users_BD)

    def encode_items(self, ids: Tensor | None = None) -> Tensor:
        """Return the vectors (…, D) of token ids (…), or (V, D) of all."""
        return self.model.encode_items(ids)

    def inputs(self, batch: Mapping[str, Tensor], excluded_BS: np.ndarray, k: np.ndarray) -> dict[str, np.ndarray]:
        """Arrange the inputs of the graph in its order."""
        columns = {name: batch[name].numpy() for name in self.columns}
        return {IDS: batch[IDS].numpy(), EXCLUDED: excluded_BS, LIST_LENGTH: k, **columns}


class ExportedRetriever(Retriever):
    """Finds the best items by an exported graph.

    The graph lists items unless only some are allowed, seen ones may be listed, or lists are ranked again; an index
    then searches with the user vectors of the graph.

    Args:
        retriever: Retriever of the model that the graph was made from.
        session: Runs the graph.
        lists_items: Whether the graph's items, and those that it hides, are the retriever's.
    """

    encoder: ExportedEncoder

    def __init__(self, retriever: Retriever, session: GraphSession, *, lists_items: bool) -> None:
        encoder = ExportedEncoder(session, retriever.encoder, tuple(sorted(retriever.columns[1:])))
        super().__init__(
            encoder,
            retriever.index,
            retriever.popularity,
            max_length=retriever.max_length,
            columns=retriever.columns,
        )
        self.of_model, self.lists_items = retriever, lists_items

    @property
    def in_torch(self) -> Retriever:
        """See `Retriever.in_torch`."""
        return self.of_model

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
        can_list = self.lists_items and exclude_seen and allowed is None and not rerankers and users_BD is None
        if not can_list or not histories.lengths_R[0]:
            return super().retrieve_batch(histories, k, exclude_seen, allowed, denied, rerankers, users_BD)
        batch = self.collate(histories)
        excluded_BS = excluded_items(batch, denied)
        inputs = self.encoder.inputs(batch, excluded_BS, np.array(k, dtype=np.int64))
        _, scores_BK, token_ids_BK = self.encoder.session.run(inputs)
        require_finite_lists(scores_BK)
        return scores_BK, token_ids_BK


def excluded_items(batch: Mapping[str, Tensor], denied: TokenLists | None) -> np.ndarray:
    """Return the token ids (B, S) not to list besides those that the model reads: denied and older seen ones."""
    num_rows = len(batch[IDS])
    parts = []
    if batch["seen_ids"] is not batch[IDS]:
        parts.append(batch["seen_ids"].numpy())
    if denied is not None:
        denied_BS = pad_items(Histories.from_lists({"input_ids": denied})).numpy()
        parts.append(np.broadcast_to(denied_BS, (num_rows, denied_BS.shape[1])))
    return np.concatenate(parts, axis=1) if parts else no_items(num_rows)


def no_items(num_rows: int) -> np.ndarray:
    """Return a matrix (B, 0) of token ids."""
    return NOTHING if num_rows == 1 else np.zeros((num_rows, 0), dtype=np.int64)

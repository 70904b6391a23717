"""Serve a model: find the best items for histories, and the most popular ones for histories without known items.

Shape suffixes: V vocabulary, H hidden items.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seqrec.search.finite import require_finite
from seqrec.search.interfaces import Index
from seqrec.search.popular_items import PopularItems, interaction_shares
from seqrec.search.retriever import Retriever

__all__ = ["make_retriever"]


@torch.no_grad()
def make_retriever(
    model: Any,
    make_index: Callable[[Tensor, Tensor | None], Index],
    *,
    counts_V: np.ndarray,
    hidden_H: np.ndarray,
) -> Retriever:
    """Build what answers requests.

    Histories without known items are answered by training interactions or, if the model reads recent popularity, by its
    latest counts; see `interaction_shares`.

    Args:
        model: A `NextItemHead`.
        make_index: Builds the index of item vectors, without hidden items.
        counts_V: Training interactions of each token id, 0 for special tokens.
        hidden_H: Token ids that are never recommended.

    Raises:
        NonFiniteError: If an item vector is infinite or NaN.
    """
    hidden = torch.from_numpy(hidden_H) if len(hidden_H) else None
    index = make_index(require_finite(model.encode_items(), what="Item vectors"), hidden)
    recent = model.recent_counts
    shares_V = interaction_shares(counts_V, None if recent is None else recent.latest_counts())
    return Retriever(
        model,
        index,
        PopularItems(shares_V, device=index.device, hidden_H=hidden),
        max_length=model.config.max_history_length,
        columns=model.config.event_columns,
    )

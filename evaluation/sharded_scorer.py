"""Rank with a model whose item table is divided among processes, which all rank the same rows together.

Shape suffixes: B users of a batch, N users that one process encodes, R items of this process, D hidden size.
"""

from typing import Any

import torch
from torch import Tensor

from seqrec.search.sharded_scores import ShardedScores

__all__ = ["ShardedScorer"]


class ShardedScorer:
    """Score users by a model with divided items; see `evaluator.Scorer`. The model is left in evaluation mode.

    All processes must score the same batches. Each encodes a part of the users, which the processes exchange, and
    scores all of them against its own items.

    Args:
        model: The model with its head.
        items: Its `ShardedItems`.
    """

    def __init__(self, model: Any, items: Any) -> None:
        self.model, self.shards, self.config = model.eval(), items.shards, model.config
        self.items_RD = model.model.as_items(items.weight.detach())
        self.device, self.vocab_size = self.items_RD.device, items.shards.num_rows

    def score_users(self, input_ids: Tensor, attention_mask: Tensor | None = None, **columns: Tensor) -> ShardedScores:
        """Score the catalogue for histories (B, L), the same in all processes."""
        num_users, num_processes = len(input_ids), self.shards.num_processes
        num_each = -(-num_users // num_processes)
        first = self.shards.index * num_each
        # Where there are too few users for all processes, the last one is encoded again.
        rows_N = torch.arange(first, first + num_each, device=self.device).clamp(max=num_users - 1)
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask, **columns}
        own = {name: None if values is None else values[rows_N] for name, values in inputs.items()}
        users_BD = self.shards.gather(self.model.encode_users(**own)).flatten(end_dim=1)[:num_users]
        return ShardedScores.of_shard(users_BD, self.items_RD, self.shards)

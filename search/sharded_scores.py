"""Score users against a catalogue whose items are divided among processes.

Each process scores all users against its own items. Ranks are sums, and lists are merged, so that every process gets
the results of the whole catalogue, and no process ever holds it.

Shape suffixes: B users, V vocabulary, D hidden size, K list length, P processes, R items of this process.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch.distributed as dist
from torch import Tensor

from seqrec.search.largest import BLOCK
from seqrec.search.row_shards import RowShards
from seqrec.search.scoring import CHUNK_SCORES, Scores, products

__all__ = ["ShardedScores"]


@dataclass
class ShardedScores(Scores):
    """Scores of which each process computes those of its own items; see `Scores`.

    All processes score the same users, and call the same methods. Ties count as in `Scores`.

    Attributes:
        shards: Which process holds which items.
    """

    shards: Any = None

    @classmethod
    def of_shard(cls, users_BD: Tensor, items_RD: Tensor, shards: RowShards) -> "ShardedScores":
        """Multiply the users of all processes with the items of this one."""
        users_BD = users_BD.detach().float()
        stretch = partial(stretch_of_shard, users_BD, items_RD.detach(), shards.first)
        return cls(stretch, (users_BD.shape[0], shards.num_rows), users_BD.device, shards=shards)

    def masked(
        self, excluded_BS: Tensor | None, allowed_BA: Tensor | None = None, chunk_scores: int | None = None
    ) -> "ShardedScores":
        """Return the same scores, with −inf for items that are excluded or not allowed."""
        return ShardedScores(
            self.stretch, self.shape, self.device, excluded_BS, allowed_BA, chunk_scores, shards=self.shards
        )

    def __iter__(self) -> Iterator[tuple[int, Tensor]]:
        """Yield each chunk's first token id and its scores, for the items of this process."""
        first, stop = self.shards.first, self.shards.stop
        chunk_tokens = max(1, (self.chunk_scores or CHUNK_SCORES) // max(1, self.shape[0]) // BLOCK) * BLOCK
        if stop - first > chunk_tokens:
            for start in range(first, stop, chunk_tokens):
                yield start, self.score(start, min(start + chunk_tokens, stop))
            return
        if self.only_chunk is None:
            self.only_chunk = self.score(first, stop)
        yield first, self.only_chunk

    def top_k(self, k: int) -> tuple[Tensor, Tensor]:
        """Merge the lists of all processes; see the function `top_k`."""
        scores_BK, ids_BK = super().top_k(k)
        all_scores, all_ids = (
            self.shards.gather(found).transpose(0, 1).flatten(start_dim=1) for found in (scores_BK, ids_BK)
        )
        # Processes hold ascending token ids: the stable sort keeps ties in the order of token ids.
        scores, places = all_scores.sort(dim=1, descending=True, stable=True)
        return scores[:, :k], all_ids.gather(1, places[:, :k])

    def scores_of(self, targets_B: Tensor) -> Tensor:
        """Return the score of each user's target, which one of the processes holds."""
        return self.shards.reduce(super().scores_of(targets_B), dist.ReduceOp.MAX)

    def count_not_lower(self, target_scores_B: Tensor) -> Tensor:
        """Count the items of all processes that do not score lower than the target."""
        return self.shards.reduce(super().count_not_lower(target_scores_B))


def stretch_of_shard(users_BD: Tensor, items_RD: Tensor, first: int, start: int, stop: int) -> Tensor:
    """Multiply users with the items from token id `start` up to `stop`; see `Scores.stretch`."""
    return products(users_BD, items_RD[start - first : stop - first].float())

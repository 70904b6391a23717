"""Learned numbers that are added to attention scores, chosen by a relation between the query and the key.

Shape suffixes: B batch, L length, H heads, N rows of a table.
"""

from typing import Any

import torch
from torch import Tensor, nn

from seqrec.modeling.growing_histories import GrowingHistories
from seqrec.modeling.positions import PositionTerms

__all__ = ["BiasTable", "RelativePositions"]


class BiasTable(nn.Embedding):
    """A table (N, H) of numbers to add to attention scores, one for each row and head."""

    def forward(self, rows_BLL: Tensor) -> Tensor:
        """Look up the numbers of all queries (second axis) and keys (last axis).

        On a CPU, the gradient takes a tenth of that of an embedding: each query sums its own before all are added up.

        Args:
            rows_BLL: Rows of the table, as int64.

        Returns:
            The numbers (B, H, L, L).
        """
        batch, length, _ = rows_BLL.shape
        table_BHLN = self.weight.T.contiguous()[:, None].expand(batch, -1, length, -1)
        return table_BHLN.gather(3, rows_BLL[:, None].expand(-1, self.embedding_dim, -1, -1))


class RelativePositions(nn.Module):
    """A bias for each number of positions between query and key, and each head.

    As in T5 (Raffel et al. 2020, section 2.1), all layers share one table; here each distance has its own row. Models
    that see later keys have further rows for them.
    """

    def __init__(self, config: Any) -> None:
        super().__init__()
        longest = config.max_position_embeddings
        self.farthest_ahead = 0 if config.is_causal else longest - 1
        self.bias = BiasTable(longest + self.farthest_ahead, config.num_attention_heads)

    def forward(self, positions_BL: Tensor) -> PositionTerms:
        """Return the bias (1, H, L, L), alike in all rows: the events of a history are next to each other in each.

        Args:
            positions_BL: Positions, of which only the number matters.
        """
        index_L = torch.arange(positions_BL.shape[1], device=positions_BL.device)
        back_LL = index_L[:, None] - index_L
        rows_LL = (back_LL + self.farthest_ahead).clamp(min=0)  # the mask of causal models hides all later keys
        return PositionTerms(bias_BHLL=self.bias(rows_LL[None]))

    def between(self, histories: GrowingHistories) -> PositionTerms:
        """Return the bias (B, H, Q, K) of new events."""
        back_BQK = histories.queries_BQ[:, :, None] - histories.keys_BK[:, None]
        return PositionTerms(bias_BHLL=self.bias((back_BQK + self.farthest_ahead).clamp(min=0)))

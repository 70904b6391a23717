"""One graph from token ids to lists: a model, the vectors of its items, and the search among them.

Shape suffixes: B histories, L length, V vocabulary, D size of user vectors, S excluded items, K list length,
H hidden items.
"""

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from seqrec.interactions.events import event_column
from seqrec.interactions.special_tokens import NUM_SPECIAL_TOKENS, PAD_ID
from seqrec.modeling.backbone import NextItemBackbone
from seqrec.modeling.modeling_next_item import NextItemHead

__all__ = ["EXCLUDED", "IDS", "LIST_LENGTH", "OUTPUTS", "USERS", "ExportedGraph", "GraphInput", "graph_inputs"]

IDS, EXCLUDED, LIST_LENGTH = "input_ids", "excluded_ids", "k"
USERS, SCORES, LISTED = "user_vectors", "scores", "token_ids"
OUTPUTS = (USERS, SCORES, LISTED)
EXAMPLE_SHAPE = (2, 3)  # of the inputs that are traced; sizes 0 and 1 would be taken for constants


@dataclass(frozen=True)
class GraphInput:
    """An input of the graph.

    Attributes:
        name: Its name.
        dtype: NumPy name of its type.
        axes: Names of its axes, all of variable size.
        description: What it holds.
    """

    name: str
    dtype: str
    axes: tuple[str, ...]
    description: str

    def example(self) -> Tensor:
        """Return a value with which the graph can be traced."""
        dtype = getattr(torch, self.dtype)
        if not self.axes:
            return torch.tensor(1, dtype=dtype)
        fill = NUM_SPECIAL_TOKENS if self.name in (IDS, EXCLUDED) else 0
        return torch.full(EXAMPLE_SHAPE, fill, dtype=dtype)


def graph_inputs(columns: tuple[str, ...]) -> tuple[GraphInput, ...]:
    """List the inputs of the graph of a model that reads these event columns, `input_ids` first.

    The others come last, in alphabetic order, in which torch flattens a dictionary.
    """
    events = ("batch", "length")
    found = [
        GraphInput(IDS, "int64", events, "token ids of histories, oldest first, padded with 0"),
        GraphInput(EXCLUDED, "int64", ("batch", "excluded"), "further token ids not to list, padded with 0"),
        GraphInput(LIST_LENGTH, "int64", (), "length of the lists, from 1 to the number of items"),
    ]
    for name in sorted(columns[1:]):
        column = event_column(name)
        found.append(GraphInput(name, column.dtype, events, f"column of the events, padded with {column.fill}"))
    return tuple(found)


class ExportedGraph(nn.Module):
    """Encode histories, score all items, and list the best.

    Item vectors are weights of the graph, whatever they were computed from; so are the latest counts of a model that
    reads recent popularity. All weights are float32.

    Args:
        model: A next-item model on the CPU, which stays as it is.
        hidden_H: Token ids that are never listed.
    """

    items_VD: Tensor
    blocked_V: Tensor

    def __init__(self, model: NextItemHead, hidden_H: np.ndarray) -> None:
        super().__init__()
        self.column_names = tuple(sorted(model.config.event_columns[1:]))
        with torch.no_grad():
            embeddings_VD = model.model.item_embedding(torch.arange(model.config.vocab_size)).float()
            items_VD = model.encode_items().float()
        self.backbone = copy_with_items(model.model, embeddings_VD)
        is_same = items_VD.equal(embeddings_VD)
        self.register_buffer("items_VD", self.backbone.item_embedding.weight if is_same else items_VD)
        blocked_V = torch.zeros(len(items_VD))
        blocked_V[:NUM_SPECIAL_TOKENS] = -torch.inf
        blocked_V[torch.from_numpy(hidden_H)] = -torch.inf
        self.register_buffer("blocked_V", blocked_V)
        self.eval().requires_grad_(False)

    def forward(
        self, input_ids: Tensor, excluded_ids: Tensor, k: Tensor, columns: dict[str, Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """List the k best items of each history; those in `input_ids` are left out.

        Args:
            input_ids: Token ids (B, L), oldest first, padded on either side with 0; at least one item in each row.
            excluded_ids: Further token ids not to list (B, S), padded with 0; S may be 0.
            k: Length of the lists, from 1 to the number of items.
            columns: The events' other columns (B, L) that the model reads, by name.

        Returns:
            User vectors (B, D); scores (B, K), best first, −inf where no item is left; and token ids (B, K), 0 there.
        """
        is_item_BL = (input_ids != PAD_ID).long()
        users_BD = self.backbone.encode_users(input_ids, is_item_BL, **columns)
        scores_BV = nn.functional.linear(users_BD, self.items_VD) + self.blocked_V
        scores_BV = scores_BV.scatter(1, torch.cat([input_ids, excluded_ids], dim=1), -torch.inf)
        length: Any = k.item()  # of variable size: int() would make it a constant
        torch._check(length >= 1)
        torch._check(length <= scores_BV.shape[1])
        best_BK, ids_BK = scores_BV.topk(length, dim=1)
        return users_BD, best_BK, ids_BK.where(best_BK > -torch.inf, 0)


def copy_with_items(backbone: NextItemBackbone, embeddings_VD: Tensor) -> NextItemBackbone:
    """Copy a backbone in float32, with a plain embedding as its item encoder, and without counts."""
    memo = {id(backbone.item_embedding): nn.Embedding.from_pretrained(embeddings_VD)}
    if backbone.recent_counts is not None:
        memo[id(backbone.recent_counts)] = nn.Identity()
    copied: NextItemBackbone = copy.deepcopy(backbone, memo)
    copied.config._attn_implementation = "eager"  # the strides of fused attention differ from those of its formula
    return copied.float()

"""Items whose embedding is divided among processes by rows, for catalogues that do not fit on one device.

`torch.distributed.tensor` has sharded embeddings, but for processes that read one batch: for processes with batches of
their own, it gathers the whole table. Here, as in TorchRec's row-wise sharding, each process sends the token ids of its
batch to the processes that hold their rows, and these send back vectors.

Shape suffixes: R items of this process, D hidden size, U different token ids, M token ids asked by all processes;
… any shape of token ids.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from seqrec.errors import InputError
from seqrec.interactions.special_tokens import PAD_ID
from seqrec.modeling.item_encoder import ItemEncoder
from seqrec.modeling.sharded_loss import sharded_cross_entropy
from seqrec.search.row_shards import RowShards

__all__ = ["ShardedItems", "shard_items"]


class ShardedItems(ItemEncoder):
    """An `ItemEncoder` of which each process holds some rows: `weight` (R, D).

    The gradient of the rows is the mean over processes, as `DistributedDataParallel` averages that of other weights; it
    must leave out these. Each process must call it equally often.

    Args:
        encoder: The encoder of the whole catalogue, whose weights are copied.
        shards: Which process holds which rows.

    Attributes:
        vector_dtype: Type of the vectors, and of the saved table; the rows may be converted to a smaller one.
    """

    shards: RowShards
    weight: nn.Parameter
    vector_dtype: torch.dtype

    def __init__(self, encoder: ItemEncoder, shards: RowShards) -> None:
        nn.Module.__init__(self)
        self.__dict__.update({name: value for name, value in vars(encoder).items() if not name.startswith("_")})
        self._modules.update(encoder._modules)
        own_RD = encoder.weight.detach()[shards.first : shards.stop].clone()
        self.weight = nn.Parameter(own_RD, requires_grad=encoder.weight.requires_grad)
        self.vector_dtype = own_RD.dtype
        self.train(encoder.training)
        self.shards = shards

    def forward(self, input: Tensor) -> Tensor:
        """Return the vectors (…, D) of token ids (…), from the processes that hold them."""
        shards = self.shards
        distinct_U, places = input.unique(return_inverse=True)
        asked = torch.bincount(distinct_U // shards.rows_each, minlength=shards.num_processes)
        served = shards.exchanged_counts(asked)
        sent, received = asked.tolist(), served.tolist()
        ids_M = shards.exchange(distinct_U, sent, received)
        padding = PAD_ID if shards.first == PAD_ID else None
        own_MD = nn.functional.embedding(ids_M - shards.first, self.weight, padding, sparse=self.sparse)
        vectors_UD = ExchangedRows.apply(own_MD, received, sent, shards)
        return nn.functional.embedding(places, vectors_UD.to(self.vector_dtype))

    def catalogue(self) -> Tensor:
        """Refuse to return the vectors of all token ids.

        Raises:
            InputError: Always.
        """
        raise InputError(
            "The item table is divided among processes, none of which holds it all. Save the model, and load it with "
            "from_pretrained."
        )

    def cross_entropy(self, hidden_ND: Tensor, items_RD: Tensor, labels_N: Tensor) -> Tensor:
        """See `sharded_cross_entropy`."""
        return sharded_cross_entropy(hidden_ND, items_RD, labels_N, self.shards)


class ExchangedRows(torch.autograd.Function):
    """Send rows to the processes that asked for them, and their gradients back, averaged over processes."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, sent: list[int], received: list[int], shards: RowShards) -> Tensor:
        """Return the rows that this process asked for."""
        ctx.sent, ctx.received, ctx.shards = sent, received, shards
        return shards.exchange(rows, sent, received)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of the rows that this process sent."""
        found = ctx.shards.exchange(grad, ctx.received, ctx.sent)
        return found / ctx.shards.num_processes, None, None, None


def shard_items(model: Any, group: Any = None) -> RowShards:
    """Divide the item table of a model among processes, in place; all processes must have the same model.

    Args:
        model: A model with its head.
        group: A group of processes for the table alone.

    Raises:
        InputError: If the model reads more of its items than an embedding of their ids, or the table is too small.
    """
    refuse_other_items(model)
    backbone = model.model
    shards = RowShards(backbone.item_encoder.num_embeddings, group)
    backbone.item_embedding = ShardedItems(backbone.item_encoder, shards)
    return shards


def refuse_other_items(model: Any) -> None:
    """Refuse a model that needs the whole catalogue in each process, or adapters around the table."""
    config = model.config
    readings = {
        "item_features": config.item_features,
        "item_parts": config.item_parts,
        "popularity_windows": config.popularity_windows,
        "past_labels": config.past_labels,
        "label_tasks": config.label_tasks,
    }
    read = [name for name, value in readings.items() if value]
    if read:
        raise InputError(
            f"shard_items divides an embedding of item ids alone, but this model also has {', '.join(read)}. Leave "
            "out shard_items, or train a model without them."
        )
    if type(model.model.item_embedding) is not ItemEncoder or hasattr(model, "peft_config"):
        raise InputError("shard_items cannot divide an item table with adapters. Leave it out, or merge the adapters.")

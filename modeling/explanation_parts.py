"""The parts of the vectors of events that a model adds up: items' ids, each of their features, and other columns.

Shape suffixes: B batch, L length, D hidden size; … any shape of token ids.
"""

from typing import Any

import torch
from torch import Tensor, nn

from seqrec.modeling.bounded_sum import EPS
from seqrec.modeling.event_parts import sum_events
from seqrec.modeling.sequence_layout import SequenceLayout

__all__ = ["ITEM_ID", "event_parts", "item_parts"]

ITEM_ID = "item_id"


def item_parts(backbone: Any, ids: Tensor) -> dict[str, Tensor]:
    """Return the parts (…, D) of items' vectors, which they sum to: `item_id`, further parts, and features by name.

    Features whose sum is scaled to length 1 are scaled by the same number. `item_id` is what the others leave, with
    what adapters add.
    """
    encoder = backbone.item_encoder
    features = [] if encoder.features is None else encoder.features.parts
    parts = {name: part(ids) for name, part in encoder.parts.items()} | {part.name: part(ids) for part in features}
    if encoder.bound is not None:
        content = torch.stack([*parts.values()]).sum(dim=0)
        length = torch.linalg.vector_norm(content, dim=-1, keepdim=True).clamp(min=EPS)
        parts = {name: vectors / length for name, vectors in parts.items()}
    whole = backbone.item_embedding(ids)
    return {ITEM_ID: whole - sum(parts.values()) if parts else whole, **parts}


def event_parts(backbone: Any, ids: Tensor, columns: dict[str, Tensor], layout: SequenceLayout) -> dict[str, Tensor]:
    """Return the parts (B, L, D) of events' vectors other than their items, by `event_` and the column's name."""
    nothing_BLD = torch.zeros(*ids.shape, backbone.config.hidden_size, device=ids.device, dtype=backbone.dtype)
    read = {**columns, "input_ids": ids}
    return {
        f"event_{name}": sum_events(nn.ModuleDict({name: part}), nothing_BLD, read, layout)
        for name, part in backbone.event_parts.items()
    }

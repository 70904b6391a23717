"""Tiny inputs and helpers that the contract tests share.

Shape suffixes: B batch, L length, D hidden size.
"""

from collections.abc import Iterable
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from seqrec.configuration.configuration_next_item import NextItemConfig
from seqrec.configuration.configuration_transformer import TransformerConfig

__all__ = [
    "HISTORIES",
    "NUM_ITEMS",
    "TINY",
    "every_loss",
    "every_position",
    "gradients",
    "padded",
    "skip_unless",
    "users_one_by_one",
    "without_dropout",
]

NUM_ITEMS = 40
TINY = {
    "hidden_size": 16,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 12,
}
HISTORIES = [[5, 9, 7], [3, 4, 5, 6, 7, 8, 9, 10], [20], [11, 30, 12, 31, 13]]
LOSSES = get_args(NextItemConfig.__annotations__["loss"])
POSITIONS = get_args(TransformerConfig.__annotations__["position_embedding_type"])

every_loss = pytest.mark.parametrize("choices", [{"loss": loss} for loss in LOSSES], ids=LOSSES)
every_position = pytest.mark.parametrize(
    "choices", [{"position_embedding_type": name} for name in POSITIONS], ids=POSITIONS
)


def skip_unless(model: Any, capability: str) -> None:
    """Skip a test of a capability that a model's class declares missing."""
    if not getattr(model, capability):
        pytest.skip(f"{type(model).__name__} declares {capability} = False")


def padded(histories: Iterable[list[int]], side: str) -> tuple[Tensor, Tensor]:
    """Pad histories to one length; return ids and mask."""
    histories = list(histories)
    length = max(map(len, histories))
    ids, mask = [], []
    for history in histories:
        fill = [0] * (length - len(history))
        ids.append(history + fill if side == "right" else fill + history)
        mask.append([1] * len(history) + fill if side == "right" else fill + [1] * len(history))
    return torch.tensor(ids), torch.tensor(mask)


def users_one_by_one(model: Any) -> Tensor:
    """Encode each history alone, without padding or mask."""
    return torch.cat([model.encode_users(torch.tensor([history])) for history in HISTORIES])


def without_dropout(model: Any) -> Any:
    """Turn off all dropout of a model; return it in training mode."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        elif isinstance(module, nn.RNNBase):
            module.dropout = 0.0
    return model.train()


def gradients(model: Any, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the loss and gradients of one batch; sampled negatives are seeded."""
    torch.manual_seed(0)
    model.zero_grad()
    loss = model(**batch).loss
    loss.backward()
    return loss.detach(), {name: parameter.grad.clone() for name, parameter in model.named_parameters()}

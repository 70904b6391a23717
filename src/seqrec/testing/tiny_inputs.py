"""Tiny inputs and helpers that the contract tests share.

Shape suffixes: B batch, L length, D hidden size.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from seqrec.configuration.configuration_next_item import NextItemConfig
from seqrec.configuration.configuration_transformer import TransformerConfig
from seqrec.interactions.events import EventColumn, event_column
from seqrec.interactions.histories import Histories
from seqrec.interactions.label_names import RATING

__all__ = [
    "HISTORIES",
    "NUM_ITEMS",
    "TIMES",
    "TINY",
    "every_encoding",
    "every_loss",
    "every_position",
    "every_time",
    "exported_encoder",
    "few_encodings",
    "gradients",
    "inputs_of",
    "padded",
    "rows_of",
    "skip_unless",
    "users_one_by_one",
    "with_numbers",
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

INTEGERS = EventColumn("integers")
FIRST_TIME = 1_600_000_000
POSITIONS = {
    name: {"position_embedding_type": name}
    for name in get_args(TransformerConfig.__annotations__["position_embedding_type"])
}
TIMES = {
    f"{name}-{request_time}": {"time_encoding": name, "request_time": request_time}
    for name in get_args(TransformerConfig.__annotations__["time_encoding"])
    for request_time in get_args(NextItemConfig.__annotations__["request_time"])
    if name != "none"
}

every_loss = pytest.mark.parametrize("choices", [{"loss": loss} for loss in LOSSES], ids=LOSSES)
every_position = pytest.mark.parametrize("choices", POSITIONS.values(), ids=POSITIONS)
every_time = pytest.mark.parametrize("choices", TIMES.values(), ids=TIMES)
every_encoding = pytest.mark.parametrize("choices", (POSITIONS | TIMES).values(), ids=POSITIONS | TIMES)
# For slow tests: each kind of positions, each kind of times and each time of the request, but not all their pairs.
# Embedded times compute more with the request's time; relative ones compute the same.
FEW_ENCODINGS = POSITIONS | {name: TIMES[name] for name in ("relative-last_event", "embedding-target")}
few_encodings = pytest.mark.parametrize("choices", FEW_ENCODINGS.values(), ids=FEW_ENCODINGS)


def skip_unless(model: Any, capability: str) -> None:
    """Skip a test of a capability that a model's class declares missing."""
    if not getattr(model, capability):
        pytest.skip(f"{type(model).__name__} declares {capability} = False")


def times_of(history: Sequence[int]) -> list[int]:
    """Return a time for each event, with gaps from minutes to months, and that of the request after them."""
    gaps = [60 * 7 ** ((token_id + index) % 6) for index, token_id in enumerate([*history, 5])]
    return np.cumsum([FIRST_TIME, *gaps])[1:].tolist()


def labels_of(task: str, history: Sequence[int]) -> list[float]:
    """Return a label of each event, a rating from 1 to 5 or 0 and 1; some are missing."""
    size, least = (5, 1) if task == RATING else (2, 0)
    return [math.nan if token_id % 7 == 0 else float(token_id % size + least) for token_id in history]


def rows_of(model: Any, histories: Iterable[Sequence[int]]) -> list[dict[str, Any]]:
    """Return histories as rows of a data set, with times if the model reads them, and labels of its tasks."""
    rows = []
    for history in histories:
        row: dict[str, Any] = {"input_ids": list(history)}
        if model.config.reads_time:
            *row["timestamps"], row["target_timestamp"] = times_of(history)
        row |= {task: labels_of(task, history) for task in model.config.label_tasks}
        rows.append(row)
    return rows


def inputs_of(
    model: Any, histories: Iterable[Sequence[int]], side: str | None = None, **changed: Any
) -> dict[str, Tensor]:
    """Return the columns that a model reads, padded on a side, with a mask.

    Args:
        model: The model.
        histories: Token ids of each history; of one length if `side` is None, which gives no mask.
        side: "left" or "right".
        **changed: Values to put in place of those of the rows, such as `target_timestamp`.
    """
    rows = [row | changed for row in rows_of(model, histories)]
    events, lengths = Histories.from_rows(rows).compact(model.config.event_columns)
    ends = lengths.cumsum()[:-1]
    inputs = {
        name: torch.tensor(laid_out(np.split(values, ends), side, event_column(name)))
        for name, values in events.items()
    }
    if side is not None:
        inputs["attention_mask"] = torch.tensor(laid_out([np.ones(n) for n in lengths], side))
    return inputs


def padded(histories: Sequence[Sequence[int]], side: str) -> tuple[Tensor, Tensor]:
    """Pad histories to one length; return ids and mask."""
    ones = [np.ones(len(history), dtype=np.int64) for history in histories]
    return torch.tensor(laid_out(histories, side)), torch.tensor(laid_out(ones, side))


def laid_out(values: Sequence[Any], side: str | None, column: EventColumn = INTEGERS) -> np.ndarray:
    """Pad arrays or lists with the fill value of a column to one length."""
    width = max(map(len, values))
    rows = np.full((len(values), width), column.fill, dtype=column.dtype)
    for row, array in zip(rows, values, strict=True):
        row[width - len(array) if side == "left" else 0 :][: len(array)] = array
    return rows


def users_one_by_one(model: Any) -> Tensor:
    """Encode each history alone, without padding or mask."""
    return torch.cat([model.encode_users(**inputs_of(model, [history])) for history in HISTORIES])


def exported_encoder(model: Any) -> tuple[nn.Module, dict[str, Tensor]]:
    """Export `encode_users` for batches of any size; return it, and larger inputs than those it was traced with."""

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, inputs: dict[str, Tensor]) -> Tensor:
            return self.model.encode_users(**inputs)

    few, inputs = (inputs_of(model, histories, "right") for histories in (HISTORIES[:2], HISTORIES))
    batch, length = torch.export.Dim("batch", min=2), torch.export.Dim("length", min=2, max=11)
    shapes = ({name: {0: batch, 1: length} for name in few},)
    return torch.export.export(Encoder(), (few,), dynamic_shapes=shapes).module(), inputs


def without_dropout(model: Any) -> Any:
    """Turn off all dropout of a model; return it in training mode."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        elif isinstance(module, nn.RNNBase):
            module.dropout = 0.0
    return model.train()


def with_numbers(model: Any) -> Any:
    """Draw the weights that start at zero, other than biases of layers, to give them an effect; return the model."""
    for name, parameter in model.named_parameters():
        if name.rpartition(".")[2] != "bias" and not parameter.any():
            nn.init.normal_(parameter, std=0.5)
    return model


def gradients(model: Any, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the loss and gradients of one batch; sampled negatives are seeded."""
    torch.manual_seed(0)
    model.zero_grad()
    loss = model(**batch).loss
    loss.backward()
    return loss.detach(), {name: parameter.grad.clone() for name, parameter in model.named_parameters()}

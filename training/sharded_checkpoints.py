"""Save and load what belongs to an item table that is divided among processes.

A checkpoint's `model.safetensors` holds the whole table: the processes send it to the first one in pieces, which writes
them. Optimizer states of its rows are saved by `torch.distributed.checkpoint`, each by the process that holds them.
Both can be loaded by another number of processes.

Shape suffixes: V rows of the table, R rows of one process, D hidden size.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from safetensors import safe_open
from torch import Tensor, nn
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Shard
from torch.optim import Optimizer

from seqrec.errors import SavedFolderError
from seqrec.modeling.saved_weights import find_weights
from seqrec.search.row_shards import RowShards
from seqrec.training.checkpoints import ITEM_STATES

__all__ = ["load_item_states", "load_weights", "save_item_states", "table_pieces", "without_item_states"]

PIECE_NUMBERS = 2**22  # numbers sent at once


def table_pieces(weight_RD: Tensor, shards: RowShards) -> Iterator[Tensor]:
    """Yield the whole table piece by piece, in the first process; the others send their rows and yield nothing."""
    rows = max(1, PIECE_NUMBERS // max(1, weight_RD.shape[1]))
    if shards.index:
        for piece in weight_RD.detach().split(rows):
            dist.send(piece.contiguous(), group_dst=0, group=shards.group)
        return
    yield from weight_RD.detach().split(rows)
    for process in range(1, shards.num_processes):
        first = process * shards.rows_each
        for start in range(first, min(first + shards.rows_each, shards.num_rows), rows):
            stop = min(start + rows, first + shards.rows_each, shards.num_rows)
            piece = weight_RD.new_empty(stop - start, weight_RD.shape[1])
            dist.recv(piece, group_src=process, group=shards.group)
            yield piece


@torch.no_grad()
def load_weights(model: nn.Module, folder: Path, table: str, shards: RowShards) -> None:
    """Load weights from safetensors, of which each process reads its rows of the table alone.

    Args:
        model: The model.
        folder: A checkpoint.
        table: Name of the table's weight.
        shards: Which process holds which rows.

    Raises:
        SavedFolderError: If a weight is missing.
    """
    missing = dict(model.state_dict())
    for path in find_weights(str(folder)):
        with safe_open(path, framework="pt") as file:
            for name in missing.keys() & set(file.keys()):
                held = file.get_slice(name)[shards.first : shards.stop] if name == table else file.get_tensor(name)
                missing.pop(name).copy_(held)
    if missing:
        raise SavedFolderError(f"{folder} lacks the weight {min(missing)}. Resume from another checkpoint.")


def item_states(optimizer: Optimizer, weight: nn.Parameter) -> dict[str, Tensor]:
    """Return the optimizer's states that have a row for each row of the table."""
    states = optimizer.state.get(weight, {})
    return {name: one for name, one in states.items() if torch.is_tensor(one) and one.ndim and len(one) == len(weight)}


@contextmanager
def without_item_states(optimizer: Optimizer, weight: nn.Parameter) -> Iterator[None]:
    """Take the states of the table's rows out of the optimizer for a while, as each process has others."""
    taken = item_states(optimizer, weight)
    for name in taken:
        del optimizer.state[weight][name]
    try:
        yield
    finally:
        if taken:
            optimizer.state[weight].update(taken)


def save_item_states(optimizer: Optimizer, weight: nn.Parameter, shards: RowShards, checkpoint: Path) -> None:
    """Save the states of the table's rows, each process its own."""
    states = {name: distributed(one, shards) for name, one in item_states(optimizer, weight).items()}
    dcp.save(states, checkpoint_id=checkpoint / ITEM_STATES)


def load_item_states(optimizer: Optimizer, weight: nn.Parameter, shards: RowShards, checkpoint: Path) -> None:
    """Load the states of the rows that this process holds, which another number of processes may have saved.

    Raises:
        SavedFolderError: If the checkpoint has none.
    """
    folder = checkpoint / ITEM_STATES
    if not (folder / ".metadata").is_file():
        raise SavedFolderError(
            f"{checkpoint} lacks the optimizer's states of the items ({ITEM_STATES}). Resume from another checkpoint, "
            "or start a new training from its weights."
        )
    saved = dcp.FileSystemReader(folder).read_metadata().state_dict_metadata
    states = {}
    for name, described in saved.items():
        assert isinstance(described, TensorStorageMetadata)
        own = torch.zeros(len(weight), *described.size[1:], dtype=described.properties.dtype, device=weight.device)
        states[name] = distributed(own, shards)
    dcp.load(states, checkpoint_id=folder)
    optimizer.state[weight].update({name: one.to_local() for name, one in states.items()})


def distributed(rows: Tensor, shards: RowShards) -> DTensor:
    """Describe rows of this process as part of a tensor of all."""
    mesh = DeviceMesh.from_group(shards.group, rows.device.type)
    shape = torch.Size((shards.num_rows, *rows.shape[1:]))
    stride = torch.empty(shape, device="meta").stride()
    return DTensor.from_local(rows, mesh, [Shard(0)], run_check=False, shape=shape, stride=stride)

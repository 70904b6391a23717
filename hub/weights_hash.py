"""A hash of a saved model's weights, to check that metrics were measured with them."""

import hashlib
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers.utils import ADAPTER_SAFE_WEIGHTS_NAME

from seqrec.errors import SavedFolderError
from seqrec.modeling.weight_files import INDEX, SINGLE, read_tensors, shard_names

__all__ = ["WEIGHTS_SHA256", "belongs_to", "hash_of_files", "model_sha256", "weight_files", "weights_sha256"]

CHUNK_BYTES = 2**20
WEIGHTS_SHA256 = "weights_sha256"  # the entry of `metrics.json`
COUNTS = "recent_counts"  # the module that holds counts of recent interactions


def weights_sha256(folder: str | Path) -> str:
    """Hash the weights in a folder: each tensor's name, dtype, shape and bytes, sorted by name.

    Sharding and file metadata do not matter, so a model that is loaded and saved again keeps its hash. Neither do the
    latest counts of interactions, which are updated while a model is in use: metrics are measured with earlier counts.

    Args:
        folder: Contains `model.safetensors`, an index and its shards, or an adapter's weights.

    Returns:
        64 hexadecimal digits.

    Raises:
        SavedFolderError: If there are no weights, or they are broken.
    """
    files = weight_files(Path(folder))
    if not files:
        raise SavedFolderError(f"{folder} holds no weights. Expected {SINGLE}, or {INDEX} and the files that it lists.")
    return hash_of_files(files)


def model_sha256(model: torch.nn.Module) -> str:
    """Hash all weights and saved buffers of a model in memory, the latest counts too."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(f"{name}\0{tensor.dtype}\0{tensor.shape}\0".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def weight_files(folder: Path) -> list[Path]:
    """List the files with a folder's weights, or else an adapter's; empty if there are none."""
    if (folder / SINGLE).exists():
        return [folder / SINGLE]
    if (folder / INDEX).exists():
        return [folder / name for name in shard_names(folder / INDEX)]
    if (folder / ADAPTER_SAFE_WEIGHTS_NAME).exists():
        return [folder / ADAPTER_SAFE_WEIGHTS_NAME]
    return []


def hash_of_files(files: list[Path]) -> str:
    """Hash the tensors of one model, however they are spread over files; see `weights_sha256`."""
    tensors = {name: tensor for file in files for name, tensor in read_tensors(file).items()}
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        if COUNTS in name.split("."):
            continue
        digest.update(f"{name}\0{tensor.dtype}\0{tensor.shape}\0".encode())
        with tensor.file.open("rb") as stream:
            stream.seek(tensor.start)
            left = tensor.stop - tensor.start
            while left and (chunk := stream.read(min(left, CHUNK_BYTES))):
                digest.update(chunk)
                left -= len(chunk)
    return digest.hexdigest()


def belongs_to(metrics: dict[str, Any], files: Sequence[Path], where: str) -> bool:
    """Return whether metrics were measured with these weights, and warn if not.

    Metrics without a recorded hash are trusted.

    Args:
        metrics: The content of `metrics.json`.
        files: The weights' files; empty if there are none to compare with.
        where: The model's folder or repository, for the warning.

    Raises:
        SavedFolderError: If the weights are broken.
    """
    measured = metrics.get(WEIGHTS_SHA256)
    if measured is None or not files or measured == hash_of_files(list(files)):
        return True
    warnings.warn(
        f"metrics.json of {where} was measured with different weights from those next to it, and is ignored.",
        stacklevel=3,
    )
    return False

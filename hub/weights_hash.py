"""A hash of a saved model's weights, which ties to them what was measured with them."""

import hashlib
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers.utils import ADAPTER_SAFE_WEIGHTS_NAME

from seqrec.errors import InputError
from seqrec.modeling.weight_files import INDEX, SINGLE, read_tensors, shard_names

CHUNK_BYTES = 2**20
WEIGHTS_SHA256 = "weights_sha256"  # the entry of `metrics.json`


def weights_sha256(folder: str | Path) -> str:
    """Hash the weights in a folder: of each tensor, in order of name, its name, dtype, shape and bytes.

    Sharding and the files' metadata make no difference, so that a model loaded and saved again keeps its hash.

    Args:
        folder: Holds `model.safetensors`, or the shards of an index; or else an adapter's weights.

    Returns:
        64 hexadecimal digits.

    Raises:
        ValueError: If there are no weights, or broken ones.
    """
    files = weight_files(Path(folder))
    if not files:
        raise InputError(f"{folder} holds no weights: expected {SINGLE} there, or {INDEX} and the files that it names.")
    return hash_of_files(files)


def weight_files(folder: Path) -> list[Path]:
    """List the files that hold a folder's weights, or else an adapter's; none where there are none."""
    if (folder / SINGLE).exists():
        return [folder / SINGLE]
    if (folder / INDEX).exists():
        return [folder / name for name in shard_names(folder / INDEX)]
    if (folder / ADAPTER_SAFE_WEIGHTS_NAME).exists():
        return [folder / ADAPTER_SAFE_WEIGHTS_NAME]
    return []


def hash_of_files(files: list[Path]) -> str:
    """Hash the tensors of one model, whichever files they lie in; see `weights_sha256`."""
    tensors = {name: tensor for file in files for name, tensor in read_tensors(file).items()}
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name}\0{tensor.dtype}\0{tensor.shape}\0".encode())
        with tensor.file.open("rb") as stream:
            stream.seek(tensor.start)
            left = tensor.stop - tensor.start
            while left and (chunk := stream.read(min(left, CHUNK_BYTES))):
                digest.update(chunk)
                left -= len(chunk)
    return digest.hexdigest()


def belongs_to(metrics: dict[str, Any], files: Sequence[Path], where: str) -> bool:
    """Tell whether metrics were measured with these weights, and warn if not; those that do not say are believed.

    Args:
        metrics: The content of `metrics.json`.
        files: The weights; none where there are none to compare.
        where: The model's folder or repository, for the warning.

    Raises:
        ValueError: If the weights are broken.
    """
    measured = metrics.get(WEIGHTS_SHA256)
    if measured is None or not files or measured == hash_of_files(list(files)):
        return True
    warnings.warn(
        f"metrics.json of {where} was measured with other weights than lie beside it, and is left out.", stacklevel=3
    )
    return False

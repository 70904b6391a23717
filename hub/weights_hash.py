"""A hash of a saved model's weights, which ties to them what was measured with them."""

import hashlib
from pathlib import Path

from transformers.utils import ADAPTER_SAFE_WEIGHTS_NAME

from seqrec.modeling.weight_files import INDEX, SINGLE, read_tensors, shard_names

CHUNK_BYTES = 2**20


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
    return hash_of_files(weight_files(Path(folder)))


def weight_files(folder: Path) -> list[Path]:
    """List the files that hold a folder's weights."""
    if (folder / SINGLE).exists():
        return [folder / SINGLE]
    if (folder / INDEX).exists():
        return [folder / name for name in shard_names(folder / INDEX)]
    if (folder / ADAPTER_SAFE_WEIGHTS_NAME).exists():
        return [folder / ADAPTER_SAFE_WEIGHTS_NAME]
    raise ValueError(f"{folder} holds no weights: expected {SINGLE} there, or {INDEX} and the files that it names.")


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

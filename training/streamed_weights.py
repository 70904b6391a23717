"""Add a tensor to a safetensors file piece by piece, for a tensor that no process holds as a whole."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from seqrec.modeling.weight_files import METADATA, read_header, replace_header

__all__ = ["append_tensor"]

DTYPES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16", torch.float64: "F64"}


def append_tensor(path: Path, name: str, shape: Sequence[int], dtype: torch.dtype, pieces: Iterable[Tensor]) -> None:
    """Add a tensor to a file, which is replaced atomically.

    Args:
        path: The file.
        name: Name of the tensor.
        shape: Its shape.
        dtype: Its type, a floating-point one.
        pieces: Its rows, in pieces.

    Raises:
        SavedFolderError: If the file is not a safetensors file.
    """
    header, begin = read_header(path)
    stored = [entry["data_offsets"][1] for key, entry in header.items() if key != METADATA]
    start = max(stored, default=0)
    size = torch.Size(shape).numel() * dtype.itemsize
    header[name] = {"dtype": DTYPES[dtype], "shape": list(shape), "data_offsets": [start, start + size]}
    replace_header(path, header, begin, map(bytes_of, pieces))


def bytes_of(tensor: Tensor) -> memoryview:
    """Return the bytes of a tensor as they are stored."""
    return tensor.detach().cpu().contiguous().view(torch.uint8).numpy().data

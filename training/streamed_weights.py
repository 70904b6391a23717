"""Add a tensor to a safetensors file piece by piece, for a tensor that no process holds as a whole."""

import json
import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from seqrec.modeling.weight_files import ALIGNMENT, METADATA, read_header

__all__ = ["append_tensor"]

DTYPES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16", torch.float64: "F64"}
COPIED_BYTES = 2**24


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
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    part = path.with_name(f".part-{os.getpid()}-{path.name}")
    try:
        with path.open("rb") as old, part.open("wb") as new:
            new.write(len(text).to_bytes(8, "little") + text)
            old.seek(begin)
            shutil.copyfileobj(old, new, COPIED_BYTES)
            for piece in pieces:
                new.write(piece.detach().cpu().contiguous().view(torch.uint8).numpy().data)
        shutil.copymode(path, part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)

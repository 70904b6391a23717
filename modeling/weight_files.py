"""Read the headers of safetensors files, without loading weights.

A file is 8 bytes (the header's length, little-endian), a header in JSON, and the tensors' bytes; see
https://github.com/huggingface/safetensors#format.
"""

import json
import math
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from seqrec.errors import SavedFolderError

__all__ = [
    "ALIGNMENT",
    "INDEX",
    "METADATA",
    "SINGLE",
    "StoredTensor",
    "read_header",
    "read_tensors",
    "replace_header",
    "rewrite_metadata",
    "shard_names",
]

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
METADATA = "__metadata__"
COPIED_BYTES = 2**24
ALIGNMENT = 64  # bytes


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a file: its safetensors dtype, its shape, and its bytes, from `start` up to but excluding `stop`."""

    file: Path
    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


def read_tensors(path: Path) -> dict[str, StoredTensor]:
    """Return the tensors in a file by name.

    Raises:
        SavedFolderError: If it is not a safetensors file, or a truncated one.
    """
    header, length = read_header(path)
    header.pop(METADATA, None)
    return {
        name: StoredTensor(path, entry["dtype"], tuple(entry["shape"]), *(length + at for at in entry["data_offsets"]))
        for name, entry in header.items()
    }


def read_header(path: Path) -> tuple[dict[str, Any], int]:
    """Return a file's header, and the byte at which the tensors begin.

    Raises:
        SavedFolderError: See `read_tensors`.
    """
    try:
        with safe_open(path, framework="pt"):  # validates the header: sizes, overlaps, UTF-8, the file's length
            pass
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            return json.loads(file.read(length)), 8 + length
    except (SafetensorError, OSError) as error:
        raise SavedFolderError(f"{path} cannot be read ({error}). Save the model again, or fetch it again.") from error


def shard_names(index: Path) -> list[str]:
    """Read the sorted file names of a sharded model from its index.

    Raises:
        SavedFolderError: If it is not an index, or names files outside its folder.
    """
    try:
        content = json.loads(index.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise SavedFolderError(
            f"{index} is not valid JSON ({error}). Save the model again, or fetch it again."
        ) from error
    weight_map = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(weight_map, dict) or not weight_map:
        raise SavedFolderError(
            f"{index} has no weight_map from tensors to files. Save the model again, or fetch it again."
        )
    names = list(weight_map.values())
    if not all(isinstance(name, str) and name == Path(name).name for name in names):
        odd = next(name for name in names if not (isinstance(name, str) and name == Path(name).name))
        raise SavedFolderError(f"{index} names the file {odd!r}, which is not in its folder. Save the model again.")
    return sorted(set(names))


def rewrite_metadata(path: Path, metadata: Mapping[str, str]) -> None:
    """Set entries of a file's metadata by writing a modified copy, in pieces, that replaces the file.

    Raises:
        SavedFolderError: See `read_tensors`.
    """
    header, begin = read_header(path)
    header[METADATA] = {**(header.get(METADATA) or {}), **metadata}
    replace_header(path, header, begin)


def replace_header(path: Path, header: Mapping[str, Any], begin: int, pieces: Iterable[memoryview] = ()) -> None:
    """Replace a safetensors file by a copy with another header, written in pieces.

    Args:
        path: The file.
        header: The new header.
        begin: Where the old tensors begin, from `read_header`.
        pieces: Further contents, to write after the old tensors.
    """
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    # Tensors may be memory-mapped from the file, and the last bit of a product depends on their alignment: keep the
    # alignment of tensors that were never saved.
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    part = path.with_name(f".part-{os.getpid()}-{path.name}")
    try:
        with path.open("rb") as old, part.open("wb") as new:
            new.write(len(text).to_bytes(8, "little") + text)
            old.seek(begin)
            shutil.copyfileobj(old, new, COPIED_BYTES)
            for piece in pieces:
                new.write(piece)
        shutil.copymode(path, part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)

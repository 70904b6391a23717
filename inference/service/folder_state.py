"""Notice that a model's folder was replaced, and name its version."""

import hashlib
from pathlib import Path

from seqrec.errors import SavedFolderError
from seqrec.hub.product_files import COMPANIONS
from seqrec.hub.weights_hash import weight_files

__all__ = ["VERSION_LENGTH", "State", "state_of", "version_of"]

State = tuple[tuple[str, int, int, int], ...]
IDENTITY = ("config.json", "tokenizer.json", "items.parquet", "item_features.json")  # in addition to the weights
VERSION_LENGTH = 12


def state_of(folder: str) -> State | None:
    """Return which files a model's folder holds: names, inodes, sizes and times of change, without reading them.

    Returns:
        None if there is no complete model, such as in the middle of its replacement.
    """
    path = Path(folder)
    try:
        names = {*COMPANIONS, *(file.name for file in weight_files(path))}
        found = []
        for name in sorted(names):
            file = path / name
            if file.exists():
                stat = file.stat()
                found.append((name, stat.st_ino, stat.st_size, stat.st_mtime_ns))
    except (OSError, SavedFolderError):
        return None
    return tuple(found) if (path / "config.json").exists() else None


def version_of(folder: str) -> str | None:
    """Return the version of a model in a folder: a hash of all that its answers depend on; None if it is no folder."""
    path = Path(folder)
    if not path.is_dir():
        return None
    digest = hashlib.sha256()
    for file in (*(path / name for name in IDENTITY), *weight_files(path)):
        if file.exists():
            with file.open("rb") as stream:
                digest.update(f"{file.name}\0{hashlib.file_digest(stream, 'sha256').hexdigest()}\0".encode())
    return digest.hexdigest()[:VERSION_LENGTH]

"""Data sets that are downloaded once and kept as Parquet in the user's cache folder.

Each is a folder with `interactions.parquet`, a folder of parts, and optionally `items.parquet`.
"""

import os
import shutil
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from seqrec.errors import InputError
from seqrec.interactions.whole_files import whole_folder

__all__ = ["INTERACTIONS", "ITEMS", "cache_folder", "cached_set", "given_folder", "require_room", "write_parts"]

INTERACTIONS, ITEMS = "interactions.parquet", "items.parquet"
ROWS_PER_PART = 20_000_000


def given_folder(name: str) -> Path | None:
    """Return the folder `$SEQREC_DATA_DIR/<name>` if it exists, which comes before the cache."""
    given = os.environ.get("SEQREC_DATA_DIR")
    return Path(given) / name if given and (Path(given) / name).is_dir() else None


def cache_folder() -> Path:
    """Return the folder `seqrec` in the user's cache folder (XDG_CACHE_HOME, or ~/.cache)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "seqrec"


def cached_set(name: str, write: Callable[[Path], None]) -> Path:
    """Return the folder that holds a data set; if there is none yet, write it atomically.

    Args:
        name: Name of the folder.
        write: Writes `interactions.parquet` and, if the set has items, `items.parquet` into a folder.

    Raises:
        InputError: If it cannot be written.
    """
    given = given_folder(name)
    if given is not None:
        return given
    folder = cache_folder() / name
    if not (folder / INTERACTIONS).exists():
        try:
            with whole_folder(folder, last=INTERACTIONS) as part:
                write(part)
        except InputError:
            if not (folder / INTERACTIONS).exists():  # another process may have written it in the meantime
                raise
    return folder


def require_room(folder: Path, num_bytes: int, use: str) -> None:
    """Raise an `InputError` if a disk lacks the space for something.

    Args:
        folder: An existing folder on that disk.
        num_bytes: The space needed.
        use: What for, as the subject of the message.
    """
    free = shutil.disk_usage(folder).free
    if free < num_bytes:
        raise InputError(
            f"{use} needs about {num_bytes / 1e9:,.1f} GB, but '{folder}' has only {free / 1e9:,.1f} GB left. Free "
            "some space, or set XDG_CACHE_HOME to a folder on another disk."
        )


def write_parts(tables: Iterable[pl.DataFrame], folder: Path, *, rows_per_part: int = ROWS_PER_PART) -> int:
    """Write a table of any size as a folder of Parquet files, holding one piece in memory at a time.

    Args:
        tables: The pieces, all with the same columns and types.
        folder: A new folder.
        rows_per_part: A file that has reached this number of rows is followed by another one.

    Returns:
        The number of rows; without any, no files are written.
    """
    folder.mkdir()
    num_rows = num_parts = left = 0
    with ExitStack() as stack:
        for table in tables:
            if table.height == 0:
                continue
            if left <= 0:
                stack.close()
                path = folder / f"part-{num_parts:05d}.parquet"
                writer = stack.enter_context(pq.ParquetWriter(path, table.to_arrow().schema, compression="zstd"))
                num_parts, left = num_parts + 1, rows_per_part
            writer.write_table(table.to_arrow())
            num_rows, left = num_rows + table.height, left - table.height
    return num_rows

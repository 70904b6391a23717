"""Find the files of a data set on disk, and tell whether they are too large for memory."""

import os
from dataclasses import dataclass
from pathlib import Path

from seqrec.errors import InputError
from seqrec.interactions.locations import NAMED_SETS, local_path, table_suffix
from seqrec.interactions.public_sets import find_public_set
from seqrec.interactions.sources import downloaded, find_table, table_name
from seqrec.interactions.table_parts import chosen_parts
from seqrec.interactions.user_partitions import num_rows_of, table_files

__all__ = ["FRAME_ROWS", "LargeSource", "find_source", "require_one_frame"]

FRAME_ROWS = 2**32 - 1  # the most that one frame of polars holds
BYTES_PER_ROW = 10  # of a text file, at the least
GZIP_RATIO = 4


@dataclass(frozen=True)
class LargeSource:
    """The files of a table of interactions.

    Attributes:
        name: Name of the data set.
        files: The files, in order.
        items: The data set's own table of items; None without one.
        terms: Its terms of use; None if unknown.
    """

    name: str
    files: list[Path]
    items: Path | None = None
    terms: str | None = None

    @property
    def num_rows(self) -> int:
        """The number of rows: exact for Parquet files; for others, at most about as many as there are."""
        return sum(map(rows_of_file, self.files))


def rows_of_file(path: Path) -> int:
    """Return the number of rows of a Parquet file, or about the most that a text file can have."""
    declared = num_rows_of([path]) if path.stat().st_size else 0
    if declared is not None:
        return declared
    ratio = GZIP_RATIO if (table_suffix(path) or "").endswith(".gz") else 1
    return path.stat().st_size * ratio // BYTES_PER_ROW


def find_source(dataset: str | None) -> LargeSource | None:
    """Find the files of a data set, downloading a public one; None if it is not one of files on this machine.

    Raises:
        InputError: If a folder holds no tables, a file is damaged, or a public set cannot be had.
        HubError: If the Hub refuses a public set.
        HubConnectionError: If the Hub cannot be reached.
    """
    if dataset is None or dataset in NAMED_SETS:
        return None
    if (public := find_public_set(dataset)) is not None:
        found = downloaded(str(public.name), str(public.name), public.folder(), public.terms)
        return LargeSource(str(public.name), table_files(found.interactions), found.items, public.terms)
    path = local_path(dataset)
    if os.path.isdir(path):
        name, interactions = path.resolve().name, find_table(path, "interactions")
        if interactions is not None:
            return LargeSource(name, table_files(interactions), find_table(path, "items"))
        return LargeSource(name, table_files(path))
    if os.path.isfile(path) and table_suffix(path):
        return LargeSource(table_name(path), [path])
    before_colon, _, split = str(path).rpartition(":")
    if before_colon and os.path.isdir(before_colon):
        return LargeSource(Path(before_colon).resolve().name, chosen_parts(Path(before_colon), split))
    return None


def require_one_frame(dataset: str | None) -> None:
    """Refuse a table with more rows than one frame holds.

    Raises:
        InputError: If its Parquet files say so, or it is a public set known to be too large.
    """
    if (public := find_public_set(dataset)) is not None:
        public.require_one_table()
    source = find_source(dataset)
    if source is None:
        return
    num_rows = num_rows_of([path for path in source.files if path.stat().st_size]) or 0
    if num_rows > FRAME_ROWS:
        raise InputError(
            f"'{dataset}' has {num_rows:,} rows, more than the {FRAME_ROWS:,} that fit in one table in memory. Run "
            "`seqrec prepare` first, which divides it, and use the folder that it writes."
        )

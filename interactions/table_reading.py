"""Read a table from a file, a folder of parts or any library's frame, whatever its columns mean."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from seqrec.errors import InputError
from seqrec.interactions.locations import local_path
from seqrec.interactions.table_files import read_file
from seqrec.interactions.table_frames import take_frame
from seqrec.interactions.table_parts import read_parts

__all__ = ["read_table"]


def read_table(source: Any, *, text_columns: Sequence[str] = (), used_columns: Sequence[str] = ()) -> pl.DataFrame:
    """Read a file or folder, or convert a frame.

    Args:
        source: Path of a file with one of `SUFFIXES`; path of a folder with the parts of one table; a polars DataFrame
            or LazyFrame; a `datasets.Dataset` or `IterableDataset`; or any frame with an Arrow interface (pandas,
            pyarrow and others).
        text_columns: Columns of a text file to read as text even if they look like numbers ("007" stays "007").
        used_columns: Columns that are needed. Other columns of a frame are dropped, with a warning, if Arrow cannot
            hold them.

    Returns:
        The table unchanged, rows in file order.

    Raises:
        InputError: If the file does not exist, its format is unknown, it cannot be read, or it has no rows.
    """
    if isinstance(source, str | Path):
        path = local_path(source)
        read = read_parts if os.path.isdir(path) else read_file
        table, name = read(path, text_columns=text_columns), f"'{source}'"
    else:
        table, name = take_frame(source, used_columns), "The table"
    if table.height == 0:
        raise InputError(f"{name} has no rows. Give a table with one interaction or item per row.")
    repeated = [column for column in used_columns if f"{column}_duplicated_0" in table.columns]
    if repeated:
        raise InputError(f"{name} has more than one column '{repeated[0]}'. Remove or rename the others.")
    return table

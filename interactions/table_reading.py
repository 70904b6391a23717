"""Reading a table from a file, a folder of parts or any library's frame, without looking at what it means."""

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


def read_table(source: Any, *, text_columns: Sequence[str] = (), used_columns: Sequence[str] = ()) -> pl.DataFrame:
    """Read a file or a folder, or take over a frame.

    Args:
        source: Path of a file with one of `SUFFIXES`, or of a folder with parts of one table, or a polars DataFrame or
            LazyFrame, a `datasets.Dataset` or `IterableDataset`, or any frame that speaks Arrow (pandas, pyarrow and
            others).
        text_columns: Columns of a text file that are text whatever they look like ("007" stays "007").
        used_columns: Columns that must be right; others of a frame may be left out, with a warning.

    Returns:
        The table as it is, rows in the order of the file.

    Raises:
        ValueError: If there is no such file, its kind is unknown, it cannot be read, or it has no rows.
    """
    if isinstance(source, str | Path):
        path = local_path(source)
        read = read_parts if os.path.isdir(path) else read_file
        table, name = read(path, text_columns=text_columns), f"'{source}'"
    else:
        table, name = take_frame(source, used_columns), "The table"
    if table.height == 0:
        raise InputError(f"{name} has no rows. Expected a table with one interaction or item a row.")
    repeated = [column for column in used_columns if f"{column}_duplicated_0" in table.columns]
    if repeated:
        raise InputError(f"{name} has more than one column '{repeated[0]}'. Remove or rename the other.")
    return table

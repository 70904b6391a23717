"""Reading a table from a file or from any library's frame, without looking at what it means."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
from datasets import Dataset, IterableDataset

SUFFIXES = (".csv", ".csv.gz", ".parquet", ".jsonl")
STREAMED_ROWS = 100_000  # rows taken from a stream at once


def read_table(source: Any, *, text_columns: Sequence[str] = ()) -> pl.DataFrame:
    """Read a file, or take over a frame.

    Args:
        source: Path of a CSV (also gzipped), Parquet or JSONL file, or a polars DataFrame or LazyFrame, a
            `datasets.Dataset` or `IterableDataset`, or any frame that speaks Arrow (pandas, pyarrow and others).
        text_columns: Columns of a CSV that are text whatever they look like ("007" stays "007").

    Returns:
        The table as it is, rows in the order of the file.

    Raises:
        ValueError: If there is no such file, its kind is unknown, it cannot be read, or it has no rows.
    """
    if isinstance(source, str | Path):
        table, name = read_file(Path(source), text_columns), f"'{source}'"
    else:
        table, name = take_frame(source), "The table"
    if table.height == 0:
        raise ValueError(f"{name} has no rows. Expected a table with one interaction or item a row.")
    return table


def table_suffix(path: Path) -> str | None:
    """Return the ending that says what kind of table a path names, or None for any other path."""
    return next((suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)), None)


def read_file(path: Path, text_columns: Sequence[str]) -> pl.DataFrame:
    """Read a table file by its suffix; any failure says which file it was."""
    suffix = table_suffix(path)
    if suffix is None:
        raise ValueError(f"'{path}' is of an unknown kind. Known are files ending in {', '.join(SUFFIXES)}.")
    if not path.is_file():
        raise ValueError(f"There is no file '{path}'.")
    try:
        if suffix == ".parquet":
            return pl.read_parquet(path)
        if suffix == ".jsonl":
            return pl.read_ndjson(path, infer_schema_length=None)
        # All rows are looked at for the types: a decimal or a word in row 10,000 must not stop the reading.
        overrides = dict.fromkeys(text_columns, pl.String)
        return pl.read_csv(path, schema_overrides=overrides, infer_schema_length=None)
    except pl.exceptions.NoDataError as error:
        raise ValueError(f"'{path}' is empty. Expected a header and one row for each interaction.") from error
    except (pl.exceptions.PolarsError, OSError) as error:
        raise ValueError(f"'{path}' could not be read as {suffix[1:]}: {error}") from error


def take_frame(source: Any) -> pl.DataFrame:
    """Turn another library's frame into a polars DataFrame."""
    if isinstance(source, pl.DataFrame):
        return source
    if isinstance(source, pl.LazyFrame):
        return source.collect()
    if isinstance(source, Dataset):
        return pl.DataFrame(source.with_format("arrow")[:])
    if isinstance(source, IterableDataset):
        batches = source.with_format("arrow").iter(batch_size=STREAMED_ROWS)
        return pl.concat([pl.DataFrame(batch) for batch in batches] or [pl.DataFrame()])
    if hasattr(source, "__arrow_c_stream__"):
        try:
            return pl.DataFrame(source)
        except pa.ArrowException as error:
            raise ValueError(
                f"The {type(source).__name__} is no Arrow table: {' '.join(map(str, error.args))}. Give each column "
                "values of one type, for instance with frame['item_id'].astype(str) in pandas."
            ) from error
    raise ValueError(
        f"A {type(source).__name__} is no table. Pass a path, or a pandas, polars, pyarrow or datasets frame."
    )

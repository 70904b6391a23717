"""Taking over another library's frame."""

import warnings
from collections.abc import Sequence
from typing import Any

import polars as pl
import pyarrow as pa
from datasets import Dataset, IterableDataset

from seqrec.errors import InputError
from seqrec.interactions.one_line import one_line

STREAMED_ROWS = 100_000  # rows taken from a stream at once
# What pandas, pyarrow and polars raise on columns that are no Arrow columns.
CONVERSION_ERRORS = (pa.ArrowException, pl.exceptions.PolarsError, TypeError, ValueError, OverflowError)


def take_frame(source: Any, used_columns: Sequence[str] = ()) -> pl.DataFrame:
    """Turn another library's frame into a polars DataFrame.

    Args:
        source: A frame.
        used_columns: Columns that are needed. Others that Arrow cannot hold are left out, with a warning.

    Raises:
        ValueError: If it is no frame, or a needed column cannot be taken over.
    """
    if isinstance(source, pl.DataFrame):
        return source
    if isinstance(source, pl.LazyFrame):
        try:
            return source.collect()
        except (pl.exceptions.PolarsError, OSError) as error:
            raise InputError(f"The LazyFrame could not be collected: {one_line(error)}") from error
    if isinstance(source, Dataset):
        return pl.DataFrame(source.with_format("arrow")[:])
    if isinstance(source, IterableDataset):
        batches = source.with_format("arrow").iter(batch_size=STREAMED_ROWS)
        return pl.concat([pl.DataFrame(batch) for batch in batches] or [pl.DataFrame()])
    if hasattr(source, "__arrow_c_stream__"):
        try:
            return pl.DataFrame(source)
        except CONVERSION_ERRORS as error:
            return take_good_columns(source, used_columns, error)
    raise InputError(
        f"A {type(source).__name__} is no table. Pass a path, or a pandas, polars, pyarrow or datasets frame."
    )


def take_good_columns(source: Any, used_columns: Sequence[str], error: Exception) -> pl.DataFrame:
    """Take over a frame one column at a time, and leave out what cannot be taken and is not needed."""
    names = list(getattr(source, "column_names", None) or getattr(source, "columns", []))
    good, bad = [], []
    for name in dict.fromkeys(names):
        if names.count(name) > 1:
            if name in used_columns:
                raise InputError(f"The table has more than one column '{name}'. Remove or rename the other.")
            bad.append(name)
            continue
        try:
            good.append(pl.DataFrame(source[[name]]))
        except CONVERSION_ERRORS as column_error:
            if name in used_columns:
                raise InputError(
                    f"The {type(source).__name__} is no Arrow table: column '{name}': {one_line(column_error)}. Give "
                    f"it values of one type, for instance with frame['{name}'].astype(str) in pandas."
                ) from column_error
            bad.append(name)
    if not good or not bad:
        raise InputError(f"The {type(source).__name__} is no Arrow table: {one_line(error)}.") from error
    warnings.warn(
        f"Columns that are not needed and hold values of several types, or of none that Arrow knows, were left out: "
        f"{one_line(', '.join(map(repr, bad)))}.",
        stacklevel=2,
    )
    return pl.concat(good, how="horizontal")

"""Convert other libraries' frames to polars."""

import warnings
from collections.abc import Sequence
from typing import Any

import polars as pl
import pyarrow as pa
from datasets import Dataset, IterableDataset

from seqrec.errors import InputError
from seqrec.interactions.one_line import one_line

__all__ = ["take_frame"]

STREAMED_ROWS = 100_000  # rows per batch read from a stream
# Raised by pandas, pyarrow and polars on columns that Arrow cannot hold.
CONVERSION_ERRORS = (pa.ArrowException, pl.exceptions.PolarsError, TypeError, ValueError, OverflowError)


def take_frame(source: Any, used_columns: Sequence[str] = ()) -> pl.DataFrame:
    """Convert another library's frame to a polars DataFrame.

    Args:
        source: A frame.
        used_columns: Columns that are needed; in pandas, they may be the index. Others are dropped, with a warning, if
            Arrow cannot hold them.

    Raises:
        InputError: If it is not a frame, or a needed column cannot be converted.
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
        source = with_index(source, used_columns)
        try:
            return pl.DataFrame(source)
        except CONVERSION_ERRORS as error:
            return take_good_columns(source, used_columns, error)
    raise InputError(
        f"This {type(source).__name__} is not a table. Pass a path, or a pandas, polars, pyarrow or datasets frame."
    )


def with_index(source: Any, used_columns: Sequence[str]) -> Any:
    """Add needed columns that are levels of a pandas frame's index; return other frames unchanged."""
    levels = list(getattr(getattr(source, "index", None), "names", []))
    needed = [name for name in used_columns if name in levels and name not in source.columns]
    if not needed:
        return source
    return source.assign(**{name: source.index.get_level_values(levels.index(name)) for name in needed})


def take_good_columns(source: Any, used_columns: Sequence[str], error: Exception) -> pl.DataFrame:
    """Convert a frame column by column, dropping columns that cannot be converted and are not needed."""
    names = list(getattr(source, "column_names", None) or getattr(source, "columns", []))
    good, bad = [], []
    for name in dict.fromkeys(names):
        if names.count(name) > 1:
            if name in used_columns:
                raise InputError(f"The table has more than one column '{name}'. Remove or rename the others.")
            bad.append(name)
            continue
        try:
            good.append(pl.DataFrame(source[[name]]))
        except CONVERSION_ERRORS as column_error:
            if name in used_columns:
                raise InputError(
                    f"Column '{name}' of the {type(source).__name__} cannot be converted to Arrow: "
                    f"{one_line(column_error)}. Convert its values to one type, for instance with "
                    f"frame['{name}'].astype(str) in pandas."
                ) from column_error
            bad.append(name)
    if not good or not bad:
        raise InputError(f"The {type(source).__name__} cannot be converted to Arrow: {one_line(error)}.") from error
    warnings.warn(
        f"Columns that are not needed were dropped, because they mix types or hold types that Arrow does not know: "
        f"{one_line(', '.join(map(repr, bad)))}.",
        stacklevel=2,
    )
    return pl.concat(good, how="horizontal")

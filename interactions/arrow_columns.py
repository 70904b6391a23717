"""List columns between Arrow and flat NumPy arrays.

Models carry this module with them, so it imports Arrow only where it makes Arrow's own objects.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from seqrec.errors import InputError
from seqrec.interactions.events import EVENT_COLUMNS

CHUNK_EVENTS = 2**24  # events gathered at once: bounds memory, and the 32-bit offsets of Arrow's lists

NUMBER_TYPES = {
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
    *("halffloat", "float", "double"),
    "null",  # of lists that are all empty
}


def holds_lists(name: str, column: Any) -> bool:
    """Return whether a `pyarrow.ChunkedArray` holds lists, or is an event column of no rows and no type."""
    is_list = any(hasattr(column.type, part) for part in ("value_field", "list_size"))
    return is_list or (str(column.type) == "null" and len(column) == 0 and name in EVENT_COLUMNS)


def holds_numbers(column: Any) -> bool:
    """Return whether the lists of a `pyarrow.ChunkedArray` hold numbers, which NumPy reads without a copy."""
    return is_number(value_type(column))


def is_number(type_: Any) -> bool:
    """Return whether an Arrow type is one of numbers, or that of lists that are all empty."""
    return str(type_) in NUMBER_TYPES


def value_type(column: Any) -> Any:
    """Return the Arrow type of the values in a column's lists."""
    return getattr(column.type, "value_type", column.type)


def read_lists(name: str, column: Any) -> tuple[np.ndarray, np.ndarray]:
    """Read a column of lists.

    Args:
        name: What to call it in errors.
        column: A `pyarrow.ChunkedArray`.

    Returns:
        The lists' values, end to end, without a copy if the column is one chunk; and the lists' lengths, int64.

    Raises:
        InputError: If a list or a value is null, or the lists hold something other than numbers.
    """
    if not holds_numbers(column):
        raise InputError(f"{name} holds {column.type}, but histories hold one number an event.")
    parts = [_values_and_lengths(chunk) for chunk in column.chunks if len(chunk)]
    num_nulls = column.null_count + sum(values.null_count for values, _ in parts)
    if num_nulls:
        raise InputError(f"{name} has {num_nulls} nulls. Fill them, or leave their rows out.")
    lengths = np.concatenate([lengths for _, lengths in parts] or [np.empty(0, dtype=np.int64)])
    arrays = [values.to_numpy() for values, _ in parts if len(values)]
    if not arrays:
        type_ = value_type(column)
        return np.empty(0, dtype=np.int64 if str(type_) == "null" else type_.to_pandas_dtype()), lengths
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays), lengths


def _values_and_lengths(lists: Any) -> tuple[Any, np.ndarray]:
    """Return the values of an Arrow array of lists, still in Arrow, and the lists' lengths."""
    if hasattr(lists.type, "list_size"):
        return lists.flatten(), np.full(len(lists), lists.type.list_size, dtype=np.int64)
    offsets = lists.offsets.to_numpy().astype(np.int64)
    return lists.values.slice(int(offsets[0]), int(offsets[-1] - offsets[0])), np.diff(offsets)


def write_dataset(
    parts: Iterable[tuple[Mapping[str, np.ndarray], np.ndarray]],
    dtypes: Mapping[str, np.dtype],
    rows: Mapping[str, np.ndarray],
) -> Any:
    """Make a `datasets.Dataset` whose event columns are lists.

    Args:
        parts: For some rows at a time, event columns that lie end to end, and the rows' lengths.
        dtypes: The type of each event column.
        rows: Columns of one value a row.
    """
    try:  # outside of `try`, models' code could not be loaded where these are not installed
        import pyarrow as pa
        from datasets import Dataset
    except ImportError as error:
        raise InputError(f"Making a data set needs a package that is missing: {error}. Install datasets.") from error
    chunks: dict[str, list[Any]] = {name: [] for name in dtypes}
    for events, lengths in parts:
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        for name, values in events.items():
            chunks[name].append(pa.ListArray.from_arrays(offsets, values))
    lists = {
        name: pa.chunked_array(chunks[name], type=pa.list_(pa.from_numpy_dtype(dtype)))
        for name, dtype in dtypes.items()
    }
    return Dataset(pa.table({**lists, **{name: pa.array(values) for name, values in rows.items()}}))

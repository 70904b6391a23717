"""List columns between Arrow and flat NumPy arrays.

Models carry this module with them, so it imports Arrow only where it makes Arrow's own objects.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from seqrec.errors import InputError

CHUNK_EVENTS = 2**24  # events gathered at once: bounds memory, and the 32-bit offsets of Arrow's lists


def is_list_type(type_: Any) -> bool:
    """Return whether an Arrow type is one of lists."""
    return hasattr(type_, "value_type") and not hasattr(type_, "index_type")


def read_lists(name: str, column: Any) -> tuple[np.ndarray, np.ndarray]:
    """Read a column of lists.

    Args:
        name: What to call it in errors.
        column: A `pyarrow.ChunkedArray`.

    Returns:
        The lists' values, end to end, without a copy if the column is one chunk; and the lists' lengths, int64.

    Raises:
        InputError: If a list or a value is null, or the lists do not hold plain values.
    """
    if is_list_type(column.type.value_type):
        raise InputError(f"{name} holds {column.type}, but histories hold one number an event: flatten it.")
    parts = [_values_and_lengths(chunk) for chunk in column.chunks if len(chunk)]
    num_nulls = column.null_count + sum(values.null_count for values, _ in parts)
    if num_nulls:
        raise InputError(f"{name} has {num_nulls} nulls. Fill them, or leave their rows out.")
    arrays = [values.to_numpy(zero_copy_only=False) for values, _ in parts]
    if not parts:
        return np.empty(0, dtype=column.type.value_type.to_pandas_dtype()), np.empty(0, dtype=np.int64)
    lengths = np.concatenate([lengths for _, lengths in parts])
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays), lengths


def _values_and_lengths(lists: Any) -> tuple[Any, np.ndarray]:
    """Return the values of an Arrow array of lists, still in Arrow, and the lists' lengths."""
    if hasattr(lists.type, "list_size"):
        return lists.flatten(), np.full(len(lists), lists.type.list_size, dtype=np.int64)
    offsets = lists.offsets.to_numpy().astype(np.int64)
    return lists.values.slice(int(offsets[0]), int(offsets[-1] - offsets[0])), np.diff(offsets)


def write_dataset(
    columns: Mapping[str, np.ndarray], places: Any, lengths_R: np.ndarray, rows: Mapping[str, np.ndarray]
) -> Any:
    """Make a `datasets.Dataset` whose event columns are lists.

    Args:
        columns: Flat event columns.
        places: Called with a slice of rows, returns where their events are, end to end.
        lengths_R: The length of each row.
        rows: Columns of one value a row.
    """
    try:  # outside of `try`, models' code could not be loaded where these are not installed
        import pyarrow as pa
        from datasets import Dataset
    except ImportError as error:
        raise InputError(f"Making a data set needs a package that is missing: {error}. Install datasets.") from error
    chunk_R = np.cumsum(lengths_R) // CHUNK_EVENTS
    bounds = [*np.searchsorted(chunk_R, np.unique(chunk_R)).tolist(), len(lengths_R)]
    chunks: dict[str, list[Any]] = {name: [] for name in columns}
    for begin, end in pairwise(bounds):
        index = places(slice(begin, end))
        offsets = np.concatenate([[0], np.cumsum(lengths_R[begin:end])]).astype(np.int32)
        for name, values in columns.items():
            chunks[name].append(pa.ListArray.from_arrays(offsets, values[index]))
    lists = {
        name: pa.chunked_array(chunks[name], type=pa.list_(pa.from_numpy_dtype(values.dtype)))
        for name, values in columns.items()
    }
    return Dataset(pa.table({**lists, **{name: pa.array(values) for name, values in rows.items()}}))

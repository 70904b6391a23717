"""Convert list columns between Arrow and flat NumPy arrays.

This module is saved with models as remote code, so it imports Arrow only where it creates Arrow objects.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from seqrec.errors import InputError
from seqrec.interactions.events import EVENT_COLUMNS
from seqrec.interactions.label_columns import encode_labels, is_label

__all__ = ["CHUNK_EVENTS", "NUMBER_TYPES", "holds_lists", "holds_numbers", "read_lists", "write_dataset"]

CHUNK_EVENTS = 2**24  # events copied at once: bounds memory, and keeps within Arrow's 32-bit list offsets

NUMBER_TYPES = {
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
    *("halffloat", "float", "double"),
    "null",  # the type of lists that are all empty
}


def holds_lists(name: str, column: Any) -> bool:
    """Return whether a `pyarrow.ChunkedArray` holds lists, or is an event column without rows and type."""
    is_list = any(hasattr(column.type, part) for part in ("value_field", "list_size"))
    return is_list or (str(column.type) == "null" and len(column) == 0 and name in EVENT_COLUMNS)


def holds_numbers(column: Any) -> bool:
    """Return whether the lists of a `pyarrow.ChunkedArray` hold numbers, which NumPy reads without a copy."""
    return is_number(value_type(column))


def is_number(type_: Any) -> bool:
    """Return whether an Arrow type is numeric, or the null type of lists that are all empty."""
    return str(type_) in NUMBER_TYPES


def value_type(column: Any) -> Any:
    """Return the Arrow type of the values in a column's lists."""
    return getattr(column.type, "value_type", column.type)


def read_lists(name: str, column: Any) -> tuple[np.ndarray, np.ndarray]:
    """Read a column of lists.

    Args:
        name: Name of the column in errors.
        column: A `pyarrow.ChunkedArray`.

    Returns:
        The concatenated values of the lists, not copied if the column is one chunk, and their lengths, int64.

    Raises:
        InputError: If a list or a value is null, or the lists hold anything but numbers. Labels may be null, or bools.
    """
    if not (holds_numbers(column) or (is_label(name) and str(value_type(column)) == "bool")):
        raise InputError(
            f"{name} holds {column.type}, but histories hold one number per event. Convert it to lists of numbers."
        )
    parts = [_values_and_lengths(chunk) for chunk in column.chunks if len(chunk)]
    num_nulls = column.null_count + (0 if is_label(name) else sum(values.null_count for values, _ in parts))
    if num_nulls:
        raise InputError(f"{name} has {num_nulls} nulls. Fill them, or drop their rows.")
    lengths = np.concatenate([lengths for _, lengths in parts] or [np.empty(0, dtype=np.int64)])
    arrays = [values.to_numpy(zero_copy_only=not is_label(name)) for values, _ in parts if len(values)]
    if not arrays:
        type_ = value_type(column)
        found = np.empty(0, dtype=np.int64 if str(type_) == "null" else type_.to_pandas_dtype())
    else:
        found = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
    return encode_labels(name, found), lengths


def _values_and_lengths(lists: Any) -> tuple[Any, np.ndarray]:
    """Return the values of an Arrow list array, as an Arrow array, and the lengths of its lists."""
    if hasattr(lists.type, "list_size"):
        return lists.flatten(), np.full(len(lists), lists.type.list_size, dtype=np.int64)
    offsets = lists.offsets.to_numpy().astype(np.int64)
    return lists.values.slice(int(offsets[0]), int(offsets[-1] - offsets[0])), np.diff(offsets)


def write_dataset(
    parts: Iterable[tuple[Mapping[str, np.ndarray], np.ndarray]],
    dtypes: Mapping[str, np.dtype],
    rows: Mapping[str, np.ndarray],
) -> Any:
    """Build a `datasets.Dataset` whose event columns are lists.

    Args:
        parts: Chunks of rows, each as its concatenated event columns and the lengths of its rows.
        dtypes: Type of each event column.
        rows: Columns with one value per row.
    """
    try:  # in a `try`, so that remote code loads even if these are not installed
        import pyarrow as pa
        from datasets import Dataset
    except ImportError as error:
        raise InputError(f"Building a data set needs a missing package: {error}. Install datasets.") from error
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

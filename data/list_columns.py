"""Read list columns of a data set straight from Arrow, where a row at a time would cost more than a model."""

from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset


def list_lengths(dataset: Dataset, column: str = "input_ids") -> np.ndarray:
    """Return the length of each row's list."""
    return pc.list_value_length(read(dataset, slice(None), column)[column]).to_numpy()


def read_rows(dataset: Dataset, index_B: np.ndarray, *columns: str) -> list[dict[str, Any]]:
    """Read rows by their numbers: lists as arrays, which share memory, and numbers as they are."""
    table = read(dataset, index_B.tolist(), *columns)
    values = [split_lists(column) if pa.types.is_list(column.type) else column.to_numpy() for column in table.columns]
    return [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]


def read(dataset: Dataset, rows: Any, *columns: str) -> pa.Table:
    """Read some rows of some columns as a table."""
    return dataset.with_format("arrow", columns=list(columns))[rows].select(list(columns))


def split_lists(column: pa.ChunkedArray) -> list[np.ndarray]:
    """Take a column of lists apart."""
    lists = column.combine_chunks()
    values = lists.values.to_numpy()
    offsets = lists.offsets.to_numpy()
    return [values[start:end] for start, end in pairwise(offsets.tolist())]

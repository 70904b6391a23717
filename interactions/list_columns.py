"""Read list columns of a data set straight from Arrow, where a row at a time would cost more than a model."""

from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset
from torch.utils.data import Dataset as TorchDataset


class ArrowRows(TorchDataset[dict[str, Any]]):
    """A data set's rows for a `DataLoader`, with only some columns, read a batch at a time.

    Args:
        dataset: The data set.
        columns: The columns to read: lists and numbers.
    """

    def __init__(self, dataset: Dataset, *columns: str) -> None:
        self.dataset = dataset.with_format("arrow", columns=list(columns))
        self.columns = columns

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: list[int]) -> list[dict[str, Any]]:
        """Read a batch: lists as arrays, which share memory, and numbers as they are."""
        table = self.dataset[indices]
        parts = [table[name] for name in self.columns]
        values = [split_lists(part) if pa.types.is_list(part.type) else part.to_numpy() for part in parts]
        return [dict(zip(self.columns, row, strict=True)) for row in zip(*values, strict=True)]


def list_lengths(dataset: Dataset, column: str = "input_ids") -> np.ndarray:
    """Return the length of each row's list."""
    table = dataset.with_format("arrow", columns=[column])[:]
    return pc.list_value_length(table[column]).to_numpy()


def split_lists(column: pa.ChunkedArray) -> list[np.ndarray]:
    """Take a column of lists apart."""
    lists = column.combine_chunks()
    values = lists.values.to_numpy()
    offsets = lists.offsets.to_numpy()
    return [values[start:end] for start, end in pairwise(offsets.tolist())]

"""Lay out the events of a batch in matrices: one sequence per row, or several packed into a row.

Shape suffixes: N events of concatenated sequences; `lengths` holds the length of each sequence.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from seqrec.interactions.events import EventColumn
from seqrec.interactions.windows import count_within

__all__ = ["BatchLayout"]


@dataclass(frozen=True)
class BatchLayout:
    """The place of each event in the matrices of a batch.

    Attributes:
        places_N: Index of each event in the flattened matrix.
        shape: Shape of the matrix.
    """

    places_N: np.ndarray
    shape: tuple[int, int]

    @classmethod
    def padded(cls, lengths: np.ndarray) -> "BatchLayout":
        """Give each sequence a row of its own, padded on the right."""
        width = max(1, int(lengths.max(initial=0)))
        return cls(np.repeat(np.arange(len(lengths)) * width, lengths) + count_within(lengths), (len(lengths), width))

    @classmethod
    def packed(cls, lengths: np.ndarray, width: int) -> "BatchLayout":
        """Pack sequences into as few rows as best fit needs.

        Args:
            lengths: Length of each sequence, at most `width`.
            width: Maximum width of the rows; they are narrower if that takes no more rows.
        """
        rows, columns, num_rows = best_fit(lengths, width)
        narrowest = max(1, int(lengths.max(initial=0)), -(-int(lengths.sum()) // num_rows))
        for narrower in range(narrowest, width):
            if (fit := best_fit(lengths, narrower))[2] == num_rows:
                (rows, columns, _), width = fit, narrower
                break
        return cls(np.repeat(rows * width + columns, lengths) + count_within(lengths), (num_rows, width))

    def lay_out(self, values_N: np.ndarray, *, fill: int | float = 0, dtype: str = "int64") -> Tensor:
        """Put values in their places in a matrix filled with `fill`."""
        flat = np.full(self.shape[0] * self.shape[1], fill, dtype=dtype)
        flat[self.places_N] = values_N
        return torch.from_numpy(flat.reshape(self.shape))

    def lay_out_events(self, columns: Iterable[EventColumn], events: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
        """Lay out event columns, each with its own fill value and type.

        Args:
            columns: The columns.
            events: Values (N,) by column name.
        """
        return {
            column.name: self.lay_out(events[column.name], fill=column.fill, dtype=column.dtype) for column in columns
        }


def best_fit(lengths: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Assign each length a row and a column in it: longest first, into the fullest row that still has room.

    Returns:
        Row and column of each length, and the number of rows (at least 1).
    """
    rows, columns = np.zeros(len(lengths), dtype=np.int64), np.zeros(len(lengths), dtype=np.int64)
    room: list[tuple[int, int]] = []  # (free cells, row), sorted
    num_rows = 0
    for index in np.argsort(-lengths, kind="stable"):
        length = int(lengths[index])
        fit = bisect_left(room, (length, -1))
        if fit == len(room):
            free, row = width, num_rows
            num_rows += 1
        else:
            free, row = room.pop(fit)
        rows[index], columns[index] = row, width - free
        insort(room, (free - length, row))
    return rows, columns, max(1, num_rows)

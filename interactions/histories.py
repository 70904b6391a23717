"""Many users' histories as flat columns of events: the one form between Arrow and batches.

Shape suffixes: R rows (histories), N events.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from seqrec.errors import InputError
from seqrec.interactions.arrow_columns import CHUNK_EVENTS, holds_lists, holds_numbers, read_lists, write_dataset
from seqrec.interactions.events import EVENT_COLUMNS


@dataclass(frozen=True, eq=False)
class Histories:
    """Histories that lie in flat columns: row r is `columns[name][starts_R[r] : starts_R[r] + lengths_R[r]]`.

    Rows may overlap, so that each of many held-out interactions has the history before it without a copy. Selecting
    rows copies no events.

    For torch it is a `Dataset`: a `DataLoader` gives the collator what `__getitems__` returns, which is a
    `Histories` too. Iterating gives rows as dictionaries.

    Attributes:
        columns: Event columns, each (N,).
        starts_R: Where each row begins, int64.
        lengths_R: The number of events of each row, int64.
        rows: Columns of one value a row (R,), such as `target`.
    """

    columns: dict[str, np.ndarray]
    starts_R: np.ndarray
    lengths_R: np.ndarray
    rows: dict[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def from_lists(
        cls, lists: Mapping[str, Sequence[Any]], rows: Mapping[str, Sequence[Any] | np.ndarray] | None = None
    ) -> "Histories":
        """Lay histories end to end.

        Args:
            lists: For each event column, one array or list a row, of equal lengths in all columns.
            rows: Columns of one value a row.

        Raises:
            InputError: If columns differ in their lengths, or do not have one value a row.
        """
        flat, lengths = {}, {}
        for name, values in lists.items():
            arrays = [value if isinstance(value, np.ndarray) else np.asarray(value) for value in values]
            lengths[name] = np.fromiter(map(len, arrays), dtype=np.int64, count=len(arrays))
            flat[name] = _end_to_end(name, arrays)
        starts_R, lengths_R = _same_lengths(lengths)
        by_row = {name: np.asarray(values) for name, values in (rows or {}).items()}
        for name, values_R in by_row.items():
            if values_R.shape != lengths_R.shape:
                raise InputError(f"There are {len(lengths_R)} histories, but {name} is of shape {values_R.shape}.")
        return cls(flat, starts_R, lengths_R, by_row)

    @classmethod
    def from_rows(cls, rows: Sequence[Mapping[str, Any]], names: Sequence[str] | None = None) -> "Histories":
        """Lay rows, one dictionary each, end to end.

        Args:
            rows: Dictionaries of lists or arrays (event columns) and of single values.
            names: The columns to take; all of the first row if None.

        Raises:
            InputError: If a row lacks a column, or its columns differ in their lengths.
        """
        names = list(rows[0]) if names is None and rows else list(names or ())
        missing = [name for name in names if any(name not in row for row in rows)]
        if missing:
            _refuse_missing(missing, rows[0])
        values = {name: [row[name] for row in rows] for name in names}
        events = [name for name in names if (np.ndim(rows[0][name]) == 1 if rows else name in EVENT_COLUMNS)]
        return cls.from_lists({name: values.pop(name) for name in events}, values)

    @classmethod
    def from_dataset(cls, dataset: Any, names: Sequence[str] | None = None) -> "Histories":
        """Read a `datasets.Dataset`, without copying what is one chunk of Arrow.

        Args:
            dataset: Rows whose event columns are lists.
            names: The columns to take; all that are lists of numbers, and all single values, if None.

        Raises:
            InputError: If a column is missing, has nulls, is a list of something else, or differs from the others in
                its lengths.
        """
        if names is not None and (missing := [name for name in names if name not in dataset.column_names]):
            _refuse_missing(missing, dataset.column_names)
        table = dataset.with_format("arrow", columns=None if names is None else list(names))[:]
        flat, lengths, rows = {}, {}, {}
        for name in table.column_names if names is None else names:
            column = table[name]
            if not holds_lists(name, column):
                rows[name] = column.to_numpy()
            elif names is not None or holds_numbers(column):
                flat[name], lengths[name] = read_lists(name, column)
        starts_R, lengths_R = _same_lengths(lengths)
        return cls(flat, starts_R, lengths_R, rows)

    def to_dataset(self) -> Any:
        """Copy the histories into a `datasets.Dataset`, event columns as lists."""
        parts = (part.compact() for part in self.parts(CHUNK_EVENTS))
        return write_dataset(parts, {name: values.dtype for name, values in self.columns.items()}, self.rows)

    def __len__(self) -> int:
        return len(self.starts_R)

    @property
    def column_names(self) -> list[str]:
        """The names of event columns and of columns of one value a row."""
        return [*self.columns, *self.rows]

    def __getitem__(self, key: int | str) -> Any:
        """Return a row as a dictionary; or a column: an array, or for an event column a list of arrays."""
        if isinstance(key, str):
            return self.rows[key] if key in self.rows else self.lists(key)
        start, length = int(self.starts_R[key]), int(self.lengths_R[key])
        events = {name: values[start : start + length] for name, values in self.columns.items()}
        return events | {name: values[key : key + 1 or None].tolist()[0] for name, values in self.rows.items()}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[row] for row in range(len(self)))

    def __getitems__(self, indices: Sequence[int] | np.ndarray) -> "Histories":
        """Select rows; see `select`."""
        return self.select(indices)

    def select(self, indices: Sequence[int] | np.ndarray | slice) -> "Histories":
        """Return some rows, in the order given, which share the events of all."""
        index = indices if isinstance(indices, slice) else np.asarray(indices, dtype=np.int64)
        rows = {name: values[index] for name, values in self.rows.items()}
        return Histories(self.columns, self.starts_R[index], self.lengths_R[index], rows)

    def newest(self, max_length: int) -> "Histories":
        """Shorten each history to its newest events."""
        lengths_R = np.minimum(self.lengths_R, max_length)
        return Histories(self.columns, self.starts_R + (self.lengths_R - lengths_R), lengths_R, self.rows)

    def keep(self, mask_N: np.ndarray) -> "Histories":
        """Leave events out of all histories that hold them.

        Args:
            mask_N: Which events of the flat columns to keep, truth values.
        """
        kept_before = np.concatenate([[0], np.cumsum(mask_N, dtype=np.int64)])
        starts_R = kept_before[self.starts_R]
        lengths_R = kept_before[self.starts_R + self.lengths_R] - starts_R
        columns = {name: values[mask_N] for name, values in self.columns.items()}
        return Histories(columns, starts_R, lengths_R, self.rows)

    def lists(self, name: str) -> list[np.ndarray]:
        """Return an event column as one array for each row, which share memory."""
        values = self.columns[name]
        ends_R = self.starts_R + self.lengths_R
        return [values[start:end] for start, end in zip(self.starts_R.tolist(), ends_R.tolist(), strict=True)]

    def compact(self, names: Sequence[str] | None = None) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Lay the rows' events end to end, in the order of the rows.

        Args:
            names: The event columns to take; all if None.

        Returns:
            The columns, copied only where rows do not follow each other already, and `lengths_R`.
        """
        where = self.places()
        return {name: self.columns[name][where] for name in names or self.columns}, self.lengths_R

    def parts(self, max_events: int) -> Iterator["Histories"]:
        """Split the rows into parts of at most so many events, or of one longer row each, to bound memory."""
        ends_R = self.lengths_R.cumsum()
        start = 0
        while start < len(self):
            before = int(ends_R[start] - self.lengths_R[start])
            stop = max(start + 1, int(np.searchsorted(ends_R, before + max_events, side="right")))
            yield self.select(slice(start, stop))
            start = stop

    def held(self, name: str) -> np.ndarray:
        """Return what an event column holds in these rows, each event once, however many rows share it."""
        values = self.columns[name]
        begun = np.bincount(self.starts_R, minlength=len(values) + 1)
        ended = np.bincount(self.starts_R + self.lengths_R, minlength=len(values) + 1)
        return values[(begun - ended).cumsum()[:-1] > 0]

    def places(self) -> slice | np.ndarray:
        """Return where the rows' events are in the flat columns, end to end: an index for each column."""
        starts_R, lengths_R = self.starts_R, self.lengths_R
        if len(starts_R) == 0:
            return slice(0, 0)
        ends_R = starts_R + lengths_R
        if (starts_R[1:] == ends_R[:-1]).all():
            return slice(int(starts_R[0]), int(ends_R[-1]))
        offsets_R = lengths_R.cumsum()
        return np.arange(offsets_R[-1]) + (ends_R - offsets_R).repeat(lengths_R)


def as_histories(rows: Any, names: Sequence[str] | None = None) -> Histories:
    """Return rows of any kind as `Histories`.

    Args:
        rows: `Histories`, a `datasets.Dataset`, or a list of dictionaries.
        names: Columns that must be there; other columns of a data set are not read. All if None.

    Raises:
        InputError: If a column is missing, or the rows are of another kind.
    """
    if isinstance(rows, Histories):
        missing = [name for name in names or () if name not in rows.column_names]
        if missing:
            _refuse_missing(missing, rows.column_names)
        return rows
    if isinstance(rows, list | tuple):
        return Histories.from_rows(rows, names)
    if hasattr(rows, "with_format") and hasattr(rows, "__len__"):
        return Histories.from_dataset(rows, names)
    raise InputError(
        f"Histories must be Histories, a datasets.Dataset or a list of dictionaries, not {type(rows).__name__}."
    )


def _refuse_missing(missing: Sequence[str], present: Sequence[str] | Mapping[str, Any]) -> None:
    raise InputError(f"Rows of histories have no {' and no '.join(missing)}; their columns are {', '.join(present)}.")


def _end_to_end(name: str, arrays: list[np.ndarray]) -> np.ndarray:
    """Concatenate arrays; an empty one of a list has no type of its own, and gives none to the others."""
    filled = [array for array in arrays if len(array)]
    if len(filled) == 1:
        return filled[0]
    if filled:
        return np.concatenate(filled)
    if arrays and isinstance(arrays[0], np.ndarray) and arrays[0].dtype.kind in "iu":
        return arrays[0]
    return np.empty(0, dtype=EVENT_COLUMNS[name].dtype if name in EVENT_COLUMNS else np.int64)


def _same_lengths(lengths: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return starts and lengths of rows that lie end to end, the same in each column."""
    if not lengths:
        raise InputError("Histories need at least one event column, such as input_ids, with one list a row.")
    first, lengths_R = next(iter(lengths.items()))
    for name, others_R in lengths.items():
        if len(others_R) != len(lengths_R):
            raise InputError(f"There are {len(lengths_R)} rows of {first}, but {len(others_R)} of {name}.")
        if (others_R != lengths_R).any():
            row = int(np.argmax(others_R != lengths_R))
            raise InputError(
                f"Row {row} has {lengths_R[row]} {first}, but {others_R[row]} {name}. Give each event one."
            )
    return lengths_R.cumsum() - lengths_R, lengths_R

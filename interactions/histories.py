"""Histories of many users as flat columns of events: the only form between Arrow and batches.

Shape suffixes: R rows (histories), N events.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from seqrec.errors import InputError
from seqrec.interactions.arrow_columns import CHUNK_EVENTS, holds_lists, holds_numbers, read_lists, write_dataset
from seqrec.interactions.events import EVENT_COLUMNS, SOURCES
from seqrec.interactions.label_columns import encode_labels
from seqrec.interactions.label_names import CLICK

__all__ = ["IMPRESSION_IDS", "IMPRESSION_PLACES", "Histories", "as_histories"]

# Columns of impressions: their items, and the number of events of the history before each.
IMPRESSION_IDS, IMPRESSION_PLACES = "impression_ids", "impression_places"
IMPRESSION_COLUMNS = (IMPRESSION_IDS, IMPRESSION_PLACES)


@dataclass(frozen=True, eq=False)
class Histories:
    """Histories stored in flat columns: row r is `columns[name][starts_R[r] : starts_R[r] + lengths_R[r]]`.

    Rows may overlap, so that held-out interactions of a user share the events before them. Selecting rows copies no
    events.

    Torch can use it as a data set: a `DataLoader` passes the result of `__getitems__`, again a `Histories`, to the
    collator. Iterating yields rows as dictionaries.

    Attributes:
        columns: Event columns, each (N,).
        starts_R: Index of each row's first event, int64.
        lengths_R: Number of events of each row, int64.
        rows: Columns with one value per row (R,), such as `target`.
        impressions: For each row, the items that were shown to the user and not chosen, as histories of
            `impression_ids` and `impression_places`, the number of the row's events before each; None if unknown. In
            data sets and dictionaries, these are two more lists of each row.
    """

    columns: dict[str, np.ndarray]
    starts_R: np.ndarray
    lengths_R: np.ndarray
    rows: dict[str, np.ndarray] = field(default_factory=dict)
    impressions: "Histories | None" = None

    @classmethod
    def from_lists(
        cls, lists: Mapping[str, Sequence[Any]], rows: Mapping[str, Sequence[Any] | np.ndarray] | None = None
    ) -> "Histories":
        """Concatenate histories given as lists.

        Args:
            lists: For each event column, one array or list per row; the lengths are the same in all columns.
            rows: Columns with one value per row.

        Raises:
            InputError: If event columns differ in length, labels are no numbers, or a column of `rows` does not have
                one value per row.
        """
        flat, lengths = {}, {}
        for name, values in lists.items():
            arrays = [value if isinstance(value, np.ndarray) else np.asarray(value) for value in values]
            lengths[name] = np.fromiter(map(len, arrays), dtype=np.int64, count=len(arrays))
            flat[name] = encode_labels(name, _end_to_end(name, arrays))
        impressions = _take_impressions(flat, lengths)
        starts_R, lengths_R = _same_lengths(lengths)
        by_row = {name: encode_labels(name, np.asarray(values)) for name, values in (rows or {}).items()}
        for name, values_R in by_row.items():
            if values_R.shape != lengths_R.shape:
                raise InputError(
                    f"There are {len(lengths_R)} histories, but {name} has the shape {values_R.shape}. Give one "
                    "value per history."
                )
        return cls(flat, starts_R, lengths_R, by_row, impressions)

    @classmethod
    def from_rows(cls, rows: Sequence[Mapping[str, Any]], names: Sequence[str] | None = None) -> "Histories":
        """Concatenate rows, one dictionary each.

        Args:
            rows: Dictionaries of lists or arrays (event columns) and of single values.
            names: Columns to take; all of the first row if None.

        Raises:
            InputError: If a row lacks a column, or its columns differ in length.
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
        """Read a `datasets.Dataset`; event columns stored as one Arrow chunk are not copied.

        Args:
            dataset: Rows whose event columns are lists.
            names: Columns to take; if None, all lists of numbers and all single values.

        Raises:
            InputError: If a column is missing, has nulls (allowed among labels), holds lists of anything but numbers,
                or differs from the others in length.
        """
        if names is not None and (missing := [name for name in names if name not in dataset.column_names]):
            _refuse_missing(missing, dataset.column_names)
        table = dataset.with_format("arrow", columns=None if names is None else list(names))[:]
        flat, lengths, rows = {}, {}, {}
        for name in table.column_names if names is None else names:
            column = table[name]
            if not holds_lists(name, column):
                rows[name] = encode_labels(name, column.to_numpy())
            elif names is not None or holds_numbers(column):
                flat[name], lengths[name] = read_lists(name, column)
        impressions = _take_impressions(flat, lengths)
        return cls(flat, *_same_lengths(lengths), rows, impressions)

    def to_dataset(self) -> Any:
        """Copy the histories into a `datasets.Dataset`, with event columns as lists."""
        parts = (part.compact() for part in self.parts(CHUNK_EVENTS))
        dataset = write_dataset(parts, {name: values.dtype for name, values in self.columns.items()}, self.rows)
        if self.impressions is None:
            return dataset
        shown = self.impressions.to_dataset().with_format("arrow")[:]
        for name in IMPRESSION_COLUMNS:
            dataset = dataset.add_column(name, shown[name])
        return dataset

    def __len__(self) -> int:
        return len(self.starts_R)

    @property
    def column_names(self) -> list[str]:
        """Names of the event columns, followed by those of the columns with one value per row, and of impressions."""
        return [*self.columns, *self.rows, *(IMPRESSION_COLUMNS if self.impressions is not None else ())]

    def __getitem__(self, key: int | str) -> Any:
        """Return a row as a dictionary, or a column: event columns as a list of arrays, others as one array."""
        if isinstance(key, str) and key in IMPRESSION_COLUMNS and self.impressions is not None:
            return self.impressions.lists(key)
        if isinstance(key, str):
            return self.rows[key] if key in self.rows else self.lists(key)
        start, length = int(self.starts_R[key]), int(self.lengths_R[key])
        events = {name: values[start : start + length] for name, values in self.columns.items()}
        shown = {} if self.impressions is None else self.impressions[key]
        return events | {name: values[key : key + 1 or None].tolist()[0] for name, values in self.rows.items()} | shown

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[row] for row in range(len(self)))

    def __getitems__(self, indices: Sequence[int] | np.ndarray) -> "Histories":
        """Select rows; see `select`."""
        return self.select(indices)

    def select(self, indices: Sequence[int] | np.ndarray | slice) -> "Histories":
        """Return the given rows, in the given order, without copying events."""
        index = indices if isinstance(indices, slice) else np.asarray(indices, dtype=np.int64)
        rows = {name: values[index] for name, values in self.rows.items()}
        impressions = None if self.impressions is None else self.impressions.select(index)
        return Histories(self.columns, self.starts_R[index], self.lengths_R[index], rows, impressions)

    def newest(self, max_length: int) -> "Histories":
        """Truncate each history to its newest `max_length` events, without impressions."""
        lengths_R = np.minimum(self.lengths_R, max_length)
        return Histories(self.columns, self.starts_R + (self.lengths_R - lengths_R), lengths_R, self.rows)

    def keep(self, mask_N: np.ndarray) -> "Histories":
        """Drop events from all histories that contain them, and all impressions.

        Args:
            mask_N: Which events of the flat columns to keep (bool).
        """
        kept_before = np.concatenate([[0], np.cumsum(mask_N, dtype=np.int64)])
        starts_R = kept_before[self.starts_R]
        lengths_R = kept_before[self.starts_R + self.lengths_R] - starts_R
        columns = {name: values[mask_N] for name, values in self.columns.items()}
        return Histories(columns, starts_R, lengths_R, self.rows)

    def lists(self, name: str) -> list[np.ndarray]:
        """Return an event column as one array per row, all views on the same memory."""
        values = self.columns[name]
        ends_R = self.starts_R + self.lengths_R
        return [values[start:end] for start, end in zip(self.starts_R.tolist(), ends_R.tolist(), strict=True)]

    def compact(self, names: Sequence[str] | None = None) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Concatenate the rows' events, in the order of the rows.

        Args:
            names: Event columns to take; all that are stored if None. `request_times` is computed from `timestamps`:
                the time of the next event, and for a row's last event the row's `target_timestamp`, or without one
                the event's own time.

        Returns:
            The columns, copied only if the rows are not contiguous, and `lengths_R`.
        """
        where = self.places()
        names = names or list(self.columns)
        found = {name: self.columns[SOURCES.get(name, name)][where] for name in names}
        if "request_times" in found:
            found["request_times"] = self._next_times(found["request_times"])
        return found, self.lengths_R

    def _next_times(self, times_N: np.ndarray) -> np.ndarray:
        """Return the time of each event's next one, or of its row's request, from the rows' concatenated times."""
        has_events_R = self.lengths_R > 0
        last_R = self.lengths_R.cumsum()[has_events_R] - 1
        asked_R = self.rows["target_timestamp"][has_events_R] if "target_timestamp" in self.rows else times_N[last_R]
        following_N = np.empty(len(times_N), dtype=np.result_type(times_N, asked_R))
        following_N[:-1] = times_N[1:]
        following_N[last_R] = asked_R
        return following_N

    def parts(self, max_events: int) -> Iterator["Histories"]:
        """Split the rows into parts of at most `max_events` events, to bound memory; a longer row is its own part."""
        ends_R = self.lengths_R.cumsum()
        start = 0
        while start < len(self):
            before = int(ends_R[start] - self.lengths_R[start])
            stop = max(start + 1, int(np.searchsorted(ends_R, before + max_events, side="right")))
            yield self.select(slice(start, stop))
            start = stop

    def held(self, name: str) -> np.ndarray:
        """Return an event column's values in these rows, each event once even if several rows share it."""
        values, order = self.columns[name], np.argsort(self.starts_R, kind="stable")
        starts_R = self.starts_R[order]
        reach_R = np.maximum.accumulate(starts_R + self.lengths_R[order])
        is_new_R = np.append(True, starts_R[1:] > reach_R[:-1])[: len(order)]  # not joined to the rows before
        step_N = np.zeros(len(values) + 1, dtype=np.int8)  # one byte per event: there may be billions
        step_N[starts_R[is_new_R]] += 1
        step_N[reach_R[np.append(is_new_R[1:], True)[: len(order)]]] -= 1
        return values[step_N.cumsum(dtype=np.int8)[:-1].view(bool)]

    def places(self) -> slice | np.ndarray:
        """Return the index into the flat columns that selects the rows' events, in the order of the rows."""
        starts_R, lengths_R = self.starts_R, self.lengths_R
        if len(starts_R) == 0:
            return slice(0, 0)
        ends_R = starts_R + lengths_R
        if (starts_R[1:] == ends_R[:-1]).all():
            return slice(int(starts_R[0]), int(ends_R[-1]))
        offsets_R = lengths_R.cumsum()
        return np.arange(offsets_R[-1]) + (ends_R - offsets_R).repeat(lengths_R)


def as_histories(rows: Any, names: Sequence[str] | None = None) -> Histories:
    """Convert rows to `Histories`.

    Args:
        rows: `Histories`, a `datasets.Dataset`, or a list of dictionaries.
        names: Required columns; other columns of a data set are not read. All columns if None. For `request_times`,
            `timestamps` is required, and `target_timestamp` is read if there is one; with `click`, impressions are
            read if there are any.

    Raises:
        InputError: If a column is missing, or the rows are of another type.
    """
    if names is not None:
        names = _stored(rows, names)
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


def _stored(rows: Any, names: Sequence[str]) -> list[str]:
    """Return the columns to read for the given ones, some of which are computed from others."""
    stored = list(dict.fromkeys(SOURCES.get(name, name) for name in names))
    if "request_times" in names and "target_timestamp" not in names:
        first = rows[0] if isinstance(rows, list | tuple) and rows else getattr(rows, "column_names", ())
        stored += ["target_timestamp"] if "target_timestamp" in first else []
    if CLICK in names:
        first = rows[0] if isinstance(rows, list | tuple) and rows else getattr(rows, "column_names", ())
        stored += IMPRESSION_COLUMNS if IMPRESSION_IDS in first else []
    return stored


def _refuse_missing(missing: Sequence[str], present: Sequence[str] | Mapping[str, Any]) -> None:
    raise InputError(
        f"The histories have no {' and no '.join(missing)}; their columns are {', '.join(present)}. Add what is "
        "missing, or rename the columns."
    )


def _end_to_end(name: str, arrays: list[np.ndarray]) -> np.ndarray:
    """Concatenate arrays; empty ones, whose type may be a default, do not affect the result's type."""
    filled = [array for array in arrays if len(array)]
    if len(filled) == 1:
        return filled[0]
    if filled:
        return np.concatenate(filled)
    if arrays and isinstance(arrays[0], np.ndarray) and arrays[0].dtype.kind in "iu":
        return arrays[0]
    return np.empty(0, dtype=EVENT_COLUMNS[name].dtype if name in EVENT_COLUMNS else np.int64)


def _take_impressions(flat: dict[str, np.ndarray], lengths: dict[str, np.ndarray]) -> Histories | None:
    """Take impressions, which have lengths of their own, from the columns of rows; None if there are none."""
    if IMPRESSION_IDS not in flat:
        return None
    if IMPRESSION_PLACES not in flat:
        _refuse_missing([IMPRESSION_PLACES], flat)
    own = {name: lengths.pop(name) for name in IMPRESSION_COLUMNS}
    return Histories({name: flat.pop(name) for name in IMPRESSION_COLUMNS}, *_same_lengths(own))


def _same_lengths(lengths: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the starts and lengths of concatenated rows; refuse columns of different lengths."""
    if not lengths:
        raise InputError("Histories need at least one event column, such as input_ids, with one list per row.")
    first, lengths_R = next(iter(lengths.items()))
    for name, others_R in lengths.items():
        if len(others_R) != len(lengths_R):
            raise InputError(
                f"There are {len(lengths_R)} rows of {first}, but {len(others_R)} of {name}. Give each row all columns."
            )
        if (others_R != lengths_R).any():
            row = int(np.argmax(others_R != lengths_R))
            raise InputError(
                f"Row {row} has {lengths_R[row]} {first}, but {others_R[row]} {name}. Give each event one of each."
            )
    return lengths_R.cumsum() - lengths_R, lengths_R

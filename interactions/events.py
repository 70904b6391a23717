"""Event columns: the values that each event of a history carries, such as its item and its time."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from seqrec.errors import InputError
from seqrec.interactions.special_tokens import PAD_ID

__all__ = [
    "EVENT_COLUMNS",
    "RESERVED_NAMES",
    "SOURCES",
    "TIME_COLUMNS",
    "CategoricalColumn",
    "EventColumn",
    "event_column",
    "event_columns",
    "is_missing",
    "register_event_column",
]

# Names that already have another meaning in batches, rows or models.
RESERVED_NAMES = frozenset(
    (
        *("labels", "attention_mask", "position_ids", "inputs_embeds", "seen_ids", "target", "targets", "user_id"),
        *("item_id", "timestamp", "history", "k", "exclude_seen", "allow", "deny", "unknown", "at", "unsorted"),
    )
)


@dataclass(frozen=True)
class EventColumn:
    """A column with one number per event.

    Attributes:
        name: Name in tables, data sets and batches, and as an argument of a model's `forward`.
        dtype: NumPy name of the tensor's type, such as "int64" or "float32".
        fill: Value in padding, and at a mask token appended to a history.
    """

    name: str
    dtype: str = "int64"
    fill: int | float = 0

    def encode(self, values: Any) -> np.ndarray:
        """Convert raw values to numbers.

        Args:
            values: One value per event: a polars or pandas series, an array or a list.

        Returns:
            An array (N,) of `dtype`.

        Raises:
            InputError: If a value is missing, or is not a number of this type.
        """
        found = np.asarray(values) if len(values) else np.empty(0, dtype=self.dtype)
        wanted = np.dtype(self.dtype)
        kinds = "iu" if wanted.kind in "iu" else "iuf"
        if found.ndim != 1 or found.dtype.kind not in kinds or not np.isfinite(found).all():
            kind = "integers" if kinds == "iu" else "finite numbers"
            raise InputError(
                f"{self.name} must hold {kind}, one per event and none missing, but has the type {found.dtype}. "
                "Fill or convert its values."
            )
        return found.astype(wanted)


@dataclass(frozen=True)
class CategoricalColumn(EventColumn):
    """A column with one of a few named values per event, such as the device.

    Code i + 1 stands for value i, and code 0 for a missing or unknown value.

    Attributes:
        values: The names, each once.
    """

    values: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.values or len(set(self.values)) < len(self.values) or not all(map(is_text, self.values)):
            raise InputError(f"{self.name} needs distinct strings as values, got {self.values!r}. Give each name once.")

    @property
    def num_codes(self) -> int:
        """Number of codes, including 0."""
        return len(self.values) + 1

    def encode(self, values: Any) -> np.ndarray:
        """Convert names to codes; `None`, NaN and names that are not among `values` become 0.

        Raises:
            InputError: If a value is neither text nor missing.
        """
        names = values.tolist() if hasattr(values, "tolist") else list(values)
        codes = {name: code for code, name in enumerate(self.values, start=1)}
        wrong = next((name for name in names if not (is_text(name) or is_missing(name))), None)
        if wrong is not None:
            raise InputError(
                f"{self.name} must hold text such as {self.values[0]!r}, but contains {wrong!r}. Convert it to text."
            )
        return np.array([codes.get(name, 0) for name in names], dtype=self.dtype)


def is_text(value: Any) -> bool:
    """Return whether a value is text."""
    return isinstance(value, str)


def is_missing(value: Any) -> bool:
    """Return whether a value is `None` or NaN."""
    return value is None or (isinstance(value, float) and value != value)


# Times are seconds since 1970 (UTC): `timestamps` says when an event happened, and `request_times` when the item after
# it is asked for. Batches hold whole seconds, as float32 is too coarse for them and some accelerators have no float64.
EVENT_COLUMNS: dict[str, EventColumn] = {
    column.name: column
    for column in (EventColumn("input_ids", fill=PAD_ID), EventColumn("timestamps"), EventColumn("request_times"))
}
TIME_COLUMNS = frozenset(("timestamps", "request_times"))
SOURCES = {"request_times": "timestamps"}  # columns that are computed, and those that hold the values for it


def register_event_column(column: EventColumn) -> EventColumn:
    """Register a column by its name, so that collators can lay it out and models can ask for it.

    Returns:
        The column.

    Raises:
        InputError: If the name is not an identifier, is reserved, or belongs to a different column.
    """
    if not column.name.isidentifier() or column.name in RESERVED_NAMES:
        raise InputError(
            f"An event column cannot be called {column.name!r}: choose an identifier other than "
            f"{', '.join(sorted(RESERVED_NAMES))}."
        )
    if EVENT_COLUMNS.setdefault(column.name, column) != column:
        raise InputError(
            f"The name {column.name!r} belongs to another event column, {EVENT_COLUMNS[column.name]}. Rename one."
        )
    return column


def event_column(name: str) -> EventColumn:
    """Look up a registered column.

    Raises:
        InputError: If no column of that name is registered.
    """
    try:
        return EVENT_COLUMNS[name]
    except KeyError:
        raise InputError(
            f"No event column {name!r} is registered, only {', '.join(EVENT_COLUMNS)}. Import the module that "
            "registers it, or call register_event_column."
        ) from None


def event_columns(names: Iterable[str]) -> tuple[EventColumn, ...]:
    """Look up several columns; see `event_column`."""
    return tuple(event_column(name) for name in names)

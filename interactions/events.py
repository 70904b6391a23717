"""What an event of a history carries: its item, its time, and whatever else a model reads."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from seqrec.errors import InputError
from seqrec.interactions.special_tokens import PAD_ID

# Names that batches, rows and models use for other things.
RESERVED_NAMES = frozenset(
    (
        *("labels", "attention_mask", "position_ids", "inputs_embeds", "seen_ids", "target", "targets", "user_id"),
        *("item_id", "timestamp", "history", "k", "exclude_seen", "allow", "deny", "unknown"),
    )
)


@dataclass(frozen=True)
class EventColumn:
    """One number of each event.

    Attributes:
        name: Its name in tables, data sets and batches, and as an argument of a model's `forward`.
        dtype: NumPy's name of the tensor's type, such as "int64" or "float32".
        fill: The value in padding, and at a mask put behind a history.
    """

    name: str
    dtype: str = "int64"
    fill: int | float = 0

    def encode(self, values: Any) -> np.ndarray:
        """Turn raw values into numbers.

        Args:
            values: One value an event: a polars or pandas series, an array or a list.

        Returns:
            An array (N,) of `dtype`.

        Raises:
            InputError: If values are missing, or are no numbers of this type.
        """
        found = np.asarray(values) if len(values) else np.empty(0, dtype=self.dtype)
        wanted = np.dtype(self.dtype)
        kinds = "iu" if wanted.kind in "iu" else "iuf"
        if found.ndim != 1 or found.dtype.kind not in kinds or not np.isfinite(found).all():
            kind = "integers" if kinds == "iu" else "finite numbers"
            raise InputError(
                f"{self.name} must hold {kind}, one an event and none missing, but is of type {found.dtype}. "
                "Fill or convert its values."
            )
        return found.astype(wanted)


@dataclass(frozen=True)
class CategoricalColumn(EventColumn):
    """One of a few named values for each event, such as the device: code i + 1 is value i, and 0 is none or unknown.

    Attributes:
        values: The names.
    """

    values: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.values or len(set(self.values)) < len(self.values) or not all(map(is_text, self.values)):
            raise InputError(f"{self.name} needs distinct texts as its values, got {self.values!r}.")

    @property
    def num_codes(self) -> int:
        """The number of codes, 0 included."""
        return len(self.values) + 1

    def encode(self, values: Any) -> np.ndarray:
        """Turn names into codes; `None`, NaN and names that are not among `values` become 0.

        Raises:
            InputError: If a value is something other than text.
        """
        names = values.tolist() if hasattr(values, "tolist") else list(values)
        codes = {name: code for code, name in enumerate(self.values, start=1)}
        wrong = next((name for name in names if not (is_text(name) or is_missing(name))), None)
        if wrong is not None:
            raise InputError(f"{self.name} must hold texts such as {self.values[0]!r}, but has {wrong!r}.")
        return np.array([codes.get(name, 0) for name in names], dtype=self.dtype)


def is_text(value: Any) -> bool:
    """Return whether a value is text."""
    return isinstance(value, str)


def is_missing(value: Any) -> bool:
    """Return whether a value is `None` or NaN."""
    return value is None or (isinstance(value, float) and value != value)


# Timestamps keep the type that they have in a log, which may be whole or not: float64 holds both, exactly up to 2^53.
EVENT_COLUMNS: dict[str, EventColumn] = {
    column.name: column
    for column in (EventColumn("input_ids", fill=PAD_ID), EventColumn("timestamps", dtype="float64"))
}


def register_event_column(column: EventColumn) -> EventColumn:
    """Make a column known by its name, so that collators can lay it out and models can ask for it.

    Returns:
        The column.

    Raises:
        InputError: If the name is no identifier or has another meaning, or a different column has it.
    """
    if not column.name.isidentifier() or column.name in RESERVED_NAMES:
        raise InputError(
            f"An event column cannot be called {column.name!r}: take an identifier other than "
            f"{', '.join(sorted(RESERVED_NAMES))}."
        )
    if EVENT_COLUMNS.setdefault(column.name, column) != column:
        raise InputError(f"There is another event column {column.name!r}: {EVENT_COLUMNS[column.name]}. Rename one.")
    return column


def event_column(name: str) -> EventColumn:
    """Look a column up.

    Raises:
        InputError: If no column of that name is registered.
    """
    try:
        return EVENT_COLUMNS[name]
    except KeyError:
        raise InputError(
            f"There is no event column {name!r}, only {', '.join(EVENT_COLUMNS)}. Import the module that registers it, "
            "or call register_event_column."
        ) from None


def event_columns(names: Iterable[str]) -> tuple[EventColumn, ...]:
    """Look several columns up; see `event_column`."""
    return tuple(event_column(name) for name in names)


def columns_read_by(config: Any) -> tuple[str, ...]:
    """Return the names of the event columns that a model of this configuration reads; items alone for a baseline.

    Args:
        config: A configuration, or None.
    """
    return tuple(getattr(config, "event_columns", ("input_ids",)))

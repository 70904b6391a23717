"""Label columns: outcomes of events that models learn to predict, such as ratings and clicks.

The labels of events are a column of their histories, by the name of their task. Held-out rows also have the label of
their target, as `target_<task>`, and training batches those of the items to predict, as `<task>_labels`.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np

from seqrec.errors import InputError
from seqrec.interactions.events import EVENT_COLUMNS, EventColumn, is_missing, register_event_column
from seqrec.interactions.label_names import RATING

__all__ = [
    "BinaryColumn",
    "LabelColumn",
    "encode_labels",
    "is_label",
    "label_column",
    "label_names",
    "register_label_columns",
]

LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class LabelColumn(EventColumn):
    """A column with a number for each event, or none: float32, with NaN for missing values and in padding."""

    dtype: str = "float32"
    fill: int | float = math.nan

    def encode(self, values: Any) -> np.ndarray:
        """Convert raw values to numbers; `None` and NaN become NaN.

        Args:
            values: One value per event: a polars or pandas series, an array or a list.

        Returns:
            An array (N,) of float32.

        Raises:
            InputError: If a value is neither a finite number nor missing.
        """
        is_list = isinstance(values, list | tuple)
        found = np.fromiter(values, dtype=object, count=len(values)) if is_list else np.asarray(values)
        if found.ndim != 1:
            raise InputError(f"{self.name} must hold one number per event, but has the shape {found.shape}.")
        if found.dtype.kind not in "biuf":
            found = self.numbers(found)
        self.refuse(found, np.abs(found) > LARGEST, "finite numbers")
        return found.astype(self.dtype, copy=False)

    def numbers(self, values: np.ndarray) -> np.ndarray:
        """Convert Python objects to numbers (N,) of float64; refuse those that are neither numbers nor missing."""
        objects = values.tolist()
        is_wrong = np.array([not (is_number(value) or is_none(value)) for value in objects], dtype=bool)
        self.refuse(values, is_wrong, "numbers")
        return np.array([math.nan if is_none(value) else float(value) for value in objects])

    def refuse(self, values: np.ndarray, is_wrong: np.ndarray, kind: str) -> None:
        """Raise an `InputError` if some values are wrong: it shows the first, and says how many there are."""
        if is_wrong.any():
            first = values[is_wrong][:1].tolist()[0]
            raise InputError(
                f"{self.name} must hold {kind} (missing values are allowed), but {np.count_nonzero(is_wrong):,} of "
                f"{len(values):,} values are others, such as {first!r:.40}. Convert or remove them."
            )


@dataclass(frozen=True)
class BinaryColumn(LabelColumn):
    """A column with 1 for yes, 0 for no, or none, for each event."""

    def encode(self, values: Any) -> np.ndarray:
        """Convert 0, 1, False, True and missing values to numbers; see `LabelColumn.encode`.

        Raises:
            InputError: If there are other values.
        """
        found = super().encode(values)
        others, counts = np.unique(found[(found != 0) & (found != 1) & ~np.isnan(found)], return_counts=True)
        if len(others):
            most = counts.argmax()
            derivation = f"positive={self.name}>={others[most]:g}"
            raise InputError(
                f"{self.name} must hold 0 and 1 (missing values are allowed), but {counts.sum():,} of {len(found):,} "
                f"values are others, such as {others[most]:g} ({counts[most]:,} times). Derive a "
                f"binary label, for instance by derive='{derivation}', and make that the task."
            )
        return found


def is_number(value: Any) -> bool:
    """Return whether a Python object is a real number or a bool."""
    return isinstance(value, Real | Decimal | np.bool_)


def is_none(value: Any) -> bool:
    """Return whether a Python object is `None`, NaN, or the missing value of pandas."""
    return is_missing(value) or type(value).__name__ in ("NAType", "NaTType")


def label_column(name: str) -> LabelColumn:
    """Return the column of a label task: numbers for `rating`, 0 and 1 for any other."""
    return LabelColumn(name) if name == RATING else BinaryColumn(name)


def register_label_columns(names: Iterable[str]) -> None:
    """Register the columns of label tasks; those registered before are left as they are.

    Raises:
        InputError: If a name is not an identifier, is reserved, or belongs to another event column.
    """
    for name in names:
        column = label_column(name)
        if type(EVENT_COLUMNS.get(name)) is not type(column):  # equality fails, as NaN differs from itself
            register_event_column(column)


def is_label(name: str) -> bool:
    """Return whether a label column of this name is registered."""
    return isinstance(EVENT_COLUMNS.get(name), LabelColumn)


def label_names(names: Iterable[str]) -> list[str]:
    """Select the names of registered label columns."""
    return [name for name in names if is_label(name)]


def encode_labels(name: str, values: np.ndarray) -> np.ndarray:
    """Encode the values of a label column, or of the labels of targets (`target_<task>`); return others unchanged.

    Raises:
        InputError: If they are no labels of this column.
    """
    column = EVENT_COLUMNS.get(name, EVENT_COLUMNS.get(name.removeprefix("target_")))
    return column.encode(values) if isinstance(column, LabelColumn) else values

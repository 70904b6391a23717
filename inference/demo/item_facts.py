"""The columns of the items as short text, and conditions on them to begin with."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from seqrec.interactions.category_features import find_separator, item_values

__all__ = ["ItemFacts"]

LONGEST = 80  # characters of a fact
FIRST_SHOWN = 2  # columns shown at first
MOST_SAMPLED = 10_000  # rows from which an example is taken
COUNT = "count"


class ItemFacts:
    """Describes items by their columns.

    Args:
        frame: The items: `item_id`, `count`, and further columns.
    """

    def __init__(self, frame: pl.DataFrame) -> None:
        self.frame = frame
        self.described = [name for name in frame.columns if name not in ("item_id", "title", "hidden", COUNT)]

    @property
    def columns(self) -> list[str]:
        """The columns that can be shown, and that conditions can use."""
        return [*self.described, COUNT]

    @property
    def first_columns(self) -> list[str]:
        """The columns to show at first."""
        return self.described[:FIRST_SHOWN]

    def of_rows(self, rows: Sequence[int], columns: Sequence[str]) -> list[tuple[str, ...]]:
        """Return the values of some rows as text; empty ones are left out."""
        known = [name for name in columns if name in self.columns]
        if not known or not rows:
            return [()] * len(rows)
        values = self.frame[list(rows), known]
        return [
            tuple(text for name, value in zip(known, row, strict=True) if (text := fact(name, value)))
            for row in values.iter_rows()
        ]

    def example(self, column: str) -> str:
        """Return a condition on a column that some items meet, in the words of `find_items`."""
        if column not in self.columns:
            return ""
        name = column if column.isidentifier() else f"column({column!r})"
        values = self.frame[column].head(MOST_SAMPLED).drop_nulls()
        if values.is_empty():
            return f"{name} is not None"
        if values.dtype.is_numeric():
            return f"{name} >= {np.median(values.cast(pl.Float64).to_numpy()):g}"
        if values.dtype == pl.Boolean:
            return f"{name} == True"
        separator = find_separator(values) if values.dtype == pl.String else None
        if separator is not None or values.dtype in (pl.List, pl.Array):
            return f"{most_frequent(item_values(column, values, separator)['value'])!r} in {name}"
        return f"{name} == {str(most_frequent(values))!r}"


def most_frequent(values: pl.Series) -> Any:
    """Return the most frequent value, the first of several."""
    return values.value_counts().sort(["count", values.name], descending=[True, False])[values.name][0]


def fact(name: str, value: Any) -> str:
    """Return a value as short text; empty for a missing one."""
    if value is None or value == "":
        return ""
    if name == COUNT:
        return f"{value:,} interaction" + "s" * (value != 1)
    if isinstance(value, bool):
        return f"{name}: {'yes' if value else 'no'}"
    if isinstance(value, float):
        return f"{name} {value:g}"
    if isinstance(value, (list, tuple)):
        return shortened(", ".join(str(one) for one in value if one is not None))
    text = str(value)
    return shortened(", ".join(part.strip() for part in text.split("|") if part.strip()))


def shortened(text: str) -> str:
    """Cut text that is too long to be read in passing."""
    return text if len(text) <= LONGEST else text[: LONGEST - 1].rstrip() + "…"

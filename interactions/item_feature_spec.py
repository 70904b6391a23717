"""The base of item features: how one column of a table of items becomes numbers.

Shape suffix: I items.
"""

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl

from seqrec.interactions.feature_values import share

__all__ = ["FeatureSpec"]


@dataclass(frozen=True)
class FeatureSpec(ABC):
    """A feature of items: its column and kind, and all that turns values of the column into numbers.

    Attributes:
        name: The column of the table of items.
        kind: `category`, `number`, `vector` or `text`.
    """

    name: str
    kind: ClassVar[str]

    @abstractmethod
    def values(self, column: pl.Series, item_ids: pl.Series) -> np.ndarray:
        """Return the values of I items, in the order of the column.

        Args:
            column: The raw values; null if missing.
            item_ids: The items' ids, for errors.

        Raises:
            InputError: If the column cannot be read as this kind.
        """

    def refit(self, column: pl.Series, item_ids: pl.Series, is_trained_I: np.ndarray) -> Self:
        """Return this feature for the items of another catalogue, whose values it reads as before if it can.

        Args:
            column: Their raw values.
            item_ids: Their ids, for errors.
            is_trained_I: Which of them have training interactions.

        Raises:
            InputError: If the column cannot be read as this kind.
        """
        return self

    @abstractmethod
    def fits(self, values_I: np.ndarray) -> bool:
        """Return whether an array can be this feature's values, by its shape (except for I), type and range."""

    @abstractmethod
    def is_missing(self, values_I: np.ndarray) -> np.ndarray:
        """Return which items have no value: bool, (I,)."""

    @abstractmethod
    def describe(self, values_I: np.ndarray) -> str:
        """Describe the values of the catalogue for people, without the missing ones."""

    @abstractmethod
    def config_entry(self) -> dict[str, Any]:
        """Return the entry of a model's configuration."""

    def report(self, values_I: np.ndarray) -> str:
        """Return a line on the feature, such as `year: number, 1922 to 1998, missing for 1 of 9 items`."""
        missing = self.is_missing(values_I)
        coverage = f"missing for {share(missing)}" if missing.any() else "known for all items"
        return f"{self.name}: {self.kind}, {self.describe(values_I)}, {coverage}"

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON can hold them."""
        return {"name": self.name, "kind": self.kind, **asdict(self)}

"""Features that are numbers: years, prices, ages.

Shape suffix: I items.
"""

import warnings
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl

from seqrec.errors import InputError
from seqrec.interactions.feature_values import MOST_WORDS, describe_words, require_finite_numbers, standardised
from seqrec.interactions.item_feature_spec import FeatureSpec

__all__ = ["NumberFeature", "mostly_numbers"]

MICROSECONDS_PER_DAY = 86_400_000_000


@dataclass(frozen=True)
class NumberFeature(FeatureSpec):
    """A number, standardised by the mean and the standard deviation of the items with training interactions.

    Dates and times are read as days since 1970. Numbers over 10 standard deviations from the mean are cut off there,
    in training and for new items alike: a mistyped price would otherwise outweigh everything else in an item's vector.
    """

    mean: float
    std: float
    kind: ClassVar[str] = "number"

    @classmethod
    def fit(cls, name: str, column: pl.Series, item_ids: pl.Series, is_trained_I: np.ndarray) -> Self:
        """Measure the mean and the standard deviation; the latter is 1 if all values are the same.

        Raises:
            InputError: If a value is neither a number nor missing, is infinite, or no item has one.
        """
        numbers_I = read_numbers(name, column, item_ids)
        seen = numbers_I[is_trained_I & ~np.isnan(numbers_I)]
        if len(seen) == 0:
            raise InputError(f"No item with training interactions has a value of {name}. Leave the feature out.")
        return cls(name, float(seen.mean()), float(seen.std()) or 1.0)

    def values(self, column: pl.Series, item_ids: pl.Series) -> np.ndarray:
        """Return standardised numbers from −10 to 10, float32 (I,); NaN if missing. Warn of numbers beyond that."""
        warn_of_words(self.name, column, item_ids)
        return standardised(self.name, read_numbers(self.name, column, item_ids), self.mean, self.std, item_ids)

    def fits(self, values_I: np.ndarray) -> bool:
        """Return whether these are numbers."""
        return values_I.dtype == np.float32 and values_I.ndim == 1 and not np.isinf(values_I).any()

    def is_missing(self, values_I: np.ndarray) -> np.ndarray:
        """Return which items have no value: bool, (I,)."""
        return np.isnan(values_I)

    def describe(self, values_I: np.ndarray) -> str:
        """Describe the range of the numbers."""
        known = values_I[~np.isnan(values_I)].astype(np.float64) * self.std + self.mean
        return f"{known.min():.6g} to {known.max():.6g}" if len(known) else "no values"

    def config_entry(self) -> dict[str, Any]:
        """Return the kind."""
        return {"kind": "number"}


def read_numbers(name: str, column: pl.Series, item_ids: pl.Series) -> np.ndarray:
    """Return numbers as float64 (I,); NaN if missing."""
    numbers = as_floats(name, column, item_ids)
    numbers_I = numbers.cast(pl.Float64).fill_null(np.nan).to_numpy()
    require_finite_numbers(name, numbers_I, item_ids)
    return numbers_I


def as_floats(name: str, column: pl.Series, item_ids: pl.Series) -> pl.Series:
    """Return a column as numbers, with nulls."""
    dtype = column.dtype
    if dtype == pl.Date or isinstance(dtype, pl.Datetime):
        return column.cast(pl.Datetime("us")).dt.epoch("us") / MICROSECONDS_PER_DAY
    if isinstance(dtype, pl.String | pl.Categorical | pl.Enum):
        texts = plain_texts(column)
        if are_words(texts).any() and not mostly_numbers(texts):
            advice = f"Convert these values, leave them empty, or choose {name}:category."
            raise InputError(f"{describe_words(name, are_words(texts).to_numpy(), texts, item_ids)} {advice}")
        return to_numbers(texts)
    if dtype.is_numeric() or dtype in (pl.Boolean, pl.Null):
        return column.cast(pl.Float64)
    raise InputError(f"The column {name} has the type {dtype}, but must hold numbers. Convert it first.")


def plain_texts(column: pl.Series) -> pl.Series:
    """Return texts without surrounding spaces; null if missing or empty."""
    return column.cast(pl.String).str.strip_chars().replace("", None)


def to_numbers(texts: pl.Series) -> pl.Series:
    """Return the numbers that texts spell, null for others."""
    return texts.cast(pl.Float64, strict=False)


def are_words(texts: pl.Series) -> pl.Series:
    """Return which texts do not spell a number."""
    return texts.is_not_null() & to_numbers(texts).is_null()


def warn_of_words(name: str, column: pl.Series, item_ids: pl.Series) -> None:
    """Warn of texts that do not spell numbers, if they are few."""
    if isinstance(column.dtype, pl.String | pl.Categorical | pl.Enum):
        texts = plain_texts(column)
        if are_words(texts).any() and mostly_numbers(texts):
            told = describe_words(name, are_words(texts).to_numpy(), texts, item_ids)
            warnings.warn(f"{told} They are read as missing.", stacklevel=4)


def mostly_numbers(column: pl.Series) -> bool:
    """Return whether at least 95 % of the texts that are not empty spell numbers."""
    texts = plain_texts(column).drop_nulls()
    return len(texts) > 0 and bool(are_words(texts).to_numpy().mean() <= MOST_WORDS)

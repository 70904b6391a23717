"""Features that are categories, one or several per item: genres, brands, attributes.

Shape suffixes: I items, C most values of one item.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl

from seqrec.errors import InputError
from seqrec.interactions.category_codes import FIRST_VALUE, MISSING, UNKNOWN
from seqrec.interactions.feature_values import LIST_TEXTS, coded, share
from seqrec.interactions.item_feature_spec import FeatureSpec
from seqrec.interactions.list_texts import are_list_texts, parse_list_texts

__all__ = ["SEPARATORS", "CategoryFeature", "find_separator", "item_values", "short_values"]

SEPARATORS = ("|", ";", ",")
MOST_VALUES = 100_000  # distinct values of a column; more are ids or texts
MOST_PER_ITEM = 100
FEW_WORDS = 3  # values of at most this many words on average are names, not sentences


@dataclass(frozen=True)
class CategoryFeature(FeatureSpec):
    """A feature with one or several values per item from a list.

    Attributes:
        categories: The values seen in training, the most frequent first.
        per_item: Most values of one item.
        separator: What separates several values in text; `LIST_TEXTS` if they are written as a list, such as
            "['Comedy', 'Drama']"; None if each text is one value.
    """

    categories: tuple[str, ...]
    per_item: int
    separator: str | None = None
    kind: ClassVar[str] = "category"

    @classmethod
    def fit(cls, name: str, column: pl.Series, is_trained_I: np.ndarray, earlier: Sequence[str] = ()) -> Self:
        """List the values of the items with training interactions.

        Args:
            name: The column's name.
            column: The values of the I items of the catalogue: text, numbers, or lists of them.
            is_trained_I: Which of them have training interactions.
            earlier: Values that keep their codes, in this order; the others follow.

        Raises:
            InputError: If the column holds other types, no values, or more than 100,000 different ones.
        """
        separator = find_separator(column)
        pairs = item_values(name, column, separator)
        seen = pairs.filter(pl.Series(is_trained_I)[pairs["row"]])
        counted = seen.group_by("value").len().sort(["len", "value"], descending=[True, False])
        if counted.is_empty():
            raise InputError(f"No item with training interactions has a value of {name}. Leave the feature out.")
        categories = tuple(dict.fromkeys([*earlier, *counted["value"]]))
        if len(categories) > MOST_VALUES:
            raise InputError(
                f"The category {name} has {len(categories):,} different values, more than {MOST_VALUES:,}. Give "
                f"coarser values, or leave {name} out."
            )
        known = pairs.filter(pairs["value"].is_in(pl.Series(categories).implode()))
        per_item = int(np.bincount(known["row"]).max())
        return cls(name, categories, min(per_item, MOST_PER_ITEM), separator)

    def refit(self, column: pl.Series, item_ids: pl.Series, is_trained_I: np.ndarray) -> Self:
        """Return the feature with further values of another catalogue; known ones keep their codes."""
        return self.fit(self.name, column, is_trained_I, earlier=self.categories)

    def values(self, column: pl.Series, item_ids: pl.Series) -> np.ndarray:
        """Return codes, int32 (I, C).

        0 stands for no further value, 1 for an item without a value, 2 for an item whose values are all unknown. From 3
        on, codes are places in `categories`. Unknown values next to known ones are left out, with a warning, and so
        are known ones beyond `per_item`.
        """
        pairs = item_values(self.name, column, self.separator)
        codes = pl.DataFrame({"value": self.categories, "code": np.arange(len(self.categories)) + FIRST_VALUE})
        pairs = pairs.join(codes, on="value", how="left", maintain_order="left")
        codes_E = pairs["code"].fill_null(UNKNOWN).to_numpy()
        return coded(self.name, pairs["row"].to_numpy(), pairs["value"], codes_E, item_ids, self.per_item)

    def fits(self, values_I: np.ndarray) -> bool:
        """Return whether these are codes of this feature."""
        is_like = values_I.dtype == np.int32 and values_I.ndim == 2 and values_I.shape[1] == self.per_item
        return is_like and bool(((values_I >= 0) & (values_I < len(self.categories) + FIRST_VALUE)).all())

    def is_missing(self, values_I: np.ndarray) -> np.ndarray:
        """Return which items have no value: bool, (I,)."""
        return values_I[:, 0] == MISSING

    def describe(self, values_I: np.ndarray) -> str:
        """Describe the number of values, in total and per item."""
        known_I = (values_I >= FIRST_VALUE).sum(axis=1)
        known_I = known_I[known_I > 0]
        fewest, most = (known_I.min(), known_I.max()) if len(known_I) else (0, 0)
        per_item = f"{fewest}–{most}" if fewest < most else f"{most}"
        unknown_I = values_I[:, 0] == UNKNOWN
        unknown = f", unknown for {share(unknown_I)}" if unknown_I.any() else ""
        lists = " (lists written as text)" if self.separator == LIST_TEXTS else ""
        return f"{len(self.categories):,} values, {per_item} per item{lists}{unknown}"

    def config_entry(self) -> dict[str, Any]:
        """Return the kind, the number of codes and the most values of one item."""
        return {"kind": "category", "size": len(self.categories) + FIRST_VALUE, "per_item": self.per_item}


def item_values(name: str, column: pl.Series, separator: str | None) -> pl.DataFrame:
    """Return the distinct values of each item, in their order: pairs of `row` and `value` (text, not empty)."""
    lists = as_lists(name, column, separator)
    pairs = pl.DataFrame({"row": np.arange(len(column)), "value": lists}).explode("value", empty_as_null=True)
    pairs = pairs.with_columns(pl.col("value").str.strip_chars()).filter(pl.col("value") != "")
    return pairs.unique(["row", "value"], maintain_order=True)


def as_lists(name: str, column: pl.Series, separator: str | None) -> pl.Series:
    """Return a column as lists of text."""
    column = column.cast(pl.List(column.dtype.inner)) if isinstance(column.dtype, pl.Array) else column
    inner = column.dtype.inner if isinstance(column.dtype, pl.List) else column.dtype
    if inner.is_nested() or isinstance(inner, pl.Binary | pl.Object):
        raise InputError(
            f"The column {name} has the type {column.dtype}, but categories are text, numbers or lists of them. "
            "Convert it first."
        )
    if separator == LIST_TEXTS and isinstance(column.dtype, pl.String | pl.Categorical | pl.Enum):
        return parse_list_texts(column)
    if isinstance(column.dtype, pl.List):
        return column.list.eval(as_text(pl.element(), inner))
    text = pl.select(as_text(pl.lit(column), inner)).to_series()
    return text.str.split(separator) if separator else text.reshape((-1, 1)).arr.to_list()


def as_text(values: pl.Expr, dtype: pl.DataType | Any) -> pl.Expr:
    """Convert values to text; floats that are integers become "7" rather than "7.0", and NaN becomes null."""
    if dtype.is_float():
        values = values.fill_nan(None)
        integers = values.cast(pl.Int64, strict=False).cast(pl.String)
        return pl.when(values.round() == values).then(integers).otherwise(values.cast(pl.String))
    return values.cast(pl.String)


def find_separator(column: pl.Series) -> str | None:
    """Return the separator of text that lists several values; None if each text is one value.

    It is `LIST_TEXTS` if all texts are lists, or else the first of `|`, `;` and `,` whose parts repeat more than the
    texts do. A `|` in short texts is always one.
    Lists have no need of it; it is `|`, so that another table may hold them as text.
    """
    if column.dtype.is_nested():
        return SEPARATORS[0]
    if not isinstance(column.dtype, pl.String | pl.Categorical | pl.Enum):
        return None
    if are_list_texts(column):
        return LIST_TEXTS
    texts = column.cast(pl.String).drop_nulls()
    for separator in SEPARATORS:
        if not texts.str.contains(separator, literal=True).any():
            continue
        parts = texts.str.split(separator).explode(empty_as_null=True).str.strip_chars()
        if parts.n_unique() < texts.n_unique() or (separator == "|" and short_values(parts)):
            return separator
    return None


def short_values(texts: pl.Series | Sequence[str]) -> bool:
    """Return whether texts are names rather than sentences, judging by their number of words."""
    words = pl.Series(values=texts, dtype=pl.String).drop_nulls().str.count_matches(r"\S+").to_numpy()
    return len(words) == 0 or bool(words.mean() <= FEW_WORDS)

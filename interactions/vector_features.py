"""Features that are vectors: embeddings of texts or images, or any other matrix of numbers.

Shape suffixes: I items, W width of a vector.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl

from seqrec.errors import InputError
from seqrec.interactions.feature_values import require_whole_vectors, require_widths
from seqrec.interactions.item_feature_spec import FeatureSpec
from seqrec.interactions.item_texts import encode_texts
from seqrec.interactions.text_models import shown_name

__all__ = ["TextFeature", "VectorFeature"]


@dataclass(frozen=True)
class VectorFeature(FeatureSpec):
    """A vector of `size` numbers."""

    size: int
    kind: ClassVar[str] = "vector"

    @classmethod
    def fit(cls, name: str, column: pl.Series, item_ids: pl.Series) -> Self:
        """Measure the width.

        Raises:
            InputError: If the column does not hold lists of numbers of one width, or all are missing.
        """
        return cls(name, read_vectors(name, column, item_ids).shape[1])

    def refit(self, column: pl.Series, item_ids: pl.Series, is_trained_I: np.ndarray) -> Self:
        """Return the feature with the width of another catalogue's vectors."""
        return self.fit(self.name, column, item_ids)

    def values(self, column: pl.Series, item_ids: pl.Series) -> np.ndarray:
        """Return the vectors, float32 (I, W); a row of NaN if missing."""
        return read_vectors(self.name, column, item_ids, size=self.size)

    def fits(self, values_I: np.ndarray) -> bool:
        """Return whether these are vectors of this width."""
        is_like = values_I.dtype == np.float32 and values_I.ndim == 2 and values_I.shape[1] == self.size
        return is_like and not np.isinf(values_I).any()

    def is_missing(self, values_I: np.ndarray) -> np.ndarray:
        """Return which items have no value: bool, (I,)."""
        return np.isnan(values_I[:, 0])

    def describe(self, values_I: np.ndarray) -> str:
        """Describe the width."""
        return f"{self.size} numbers per item"

    def config_entry(self) -> dict[str, Any]:
        """Return the kind and the width."""
        return {"kind": "vector", "size": self.size}


@dataclass(frozen=True)
class TextFeature(VectorFeature):
    """A text, read as the vector of `size` numbers that a model of sentence-transformers gives it.

    Attributes:
        model: The model: an id on the Hub, or `./` and the name of a local folder.
        location: The model's id or path, as given; not saved.
    """

    model: str
    location: str = field(compare=False)
    kind: ClassVar[str] = "text"

    @classmethod
    def fit_text(cls, name: str, column: pl.Series, location: str) -> Self:
        """Encode the texts to measure the width; the vectors are cached.

        Raises:
            InputError: If the column does not hold text, all of it is missing, or sentence-transformers is not
                installed.
        """
        texts = read_texts(name, column).drop_nulls()
        if texts.is_empty():
            raise InputError(f"All values of {name} are missing. Leave the feature out.")
        return cls(name, encode_texts(name, texts, location).shape[1], shown_name(location), location)

    def refit(self, column: pl.Series, item_ids: pl.Series, is_trained_I: np.ndarray) -> Self:
        """Return the feature itself, or one of another text model if `location` names another."""
        names = [name.rpartition("/")[2] for name in (self.model, shown_name(self.location))]
        return self if names[0] == names[1] else self.fit_text(self.name, column, self.location)

    def values(self, column: pl.Series, item_ids: pl.Series) -> np.ndarray:
        """Return the texts' vectors, float32 (I, W); a row of NaN for empty texts."""
        texts = read_texts(self.name, column)
        is_known = texts.is_not_null().to_numpy()
        vectors_IW = np.full((len(texts), self.size), np.nan, dtype=np.float32)
        if is_known.any():
            encoded = encode_texts(self.name, texts.drop_nulls(), self.location)
            if encoded.shape[1] != self.size:
                raise InputError(
                    f"The text model '{self.location}' gives {encoded.shape[1]} numbers for {self.name}, but the model "
                    f"expects the {self.size} of '{self.model}'. Give that one (--item_text_model)."
                )
            vectors_IW[is_known] = encoded
        return vectors_IW

    def describe(self, values_I: np.ndarray) -> str:
        """Describe the width and the model."""
        return f"{self.size} numbers per item by {self.model}"

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON can hold them, without the path of a folder."""
        fields = super().to_dict()
        del fields["location"]
        return fields


def read_texts(name: str, column: pl.Series) -> pl.Series:
    """Return texts without surrounding spaces; null if missing or empty."""
    if column.dtype.is_nested() or isinstance(column.dtype, pl.Binary | pl.Object):
        raise InputError(f"The column {name} has the type {column.dtype}, but must be text. Convert it first.")
    return column.cast(pl.String).str.strip_chars().replace("", None)


def read_vectors(name: str, column: pl.Series, item_ids: pl.Series, size: int | None = None) -> np.ndarray:
    """Return vectors as float32 (I, W), a row of NaN if missing or 0; `size` is the expected width, if known."""
    lists = as_number_lists(name, column)
    widths_I = lists.list.len().fill_null(0).to_numpy().astype(np.int64)
    known_I = widths_I > 0
    if not known_I.any() and size is None:
        raise InputError(f"All values of {name} are missing. Leave the feature out.")
    size = size or int(np.bincount(widths_I[known_I]).argmax())
    require_widths(name, widths_I, size, item_ids)
    vectors_IW = np.full((len(lists), size), np.nan, dtype=np.float32)
    flat = lists.filter(pl.Series(known_I)).explode(empty_as_null=True).cast(pl.Float32).fill_null(np.nan)
    vectors_IW[known_I] = flat.to_numpy().reshape(-1, size)
    require_whole_vectors(name, vectors_IW, item_ids)
    vectors_IW[~vectors_IW.any(axis=1)] = np.nan  # a vector without a direction tells nothing
    return vectors_IW


def as_number_lists(name: str, column: pl.Series) -> pl.Series:
    """Return a column of vectors as lists of numbers."""
    if column.dtype == pl.Null:
        return column.cast(pl.List(pl.Float32))
    inner = getattr(column.dtype, "inner", pl.String())
    if not (inner.is_numeric() or inner == pl.Null):
        raise InputError(
            f"The column {name} has the type {column.dtype}, but vectors are lists of numbers. Use a list column (as "
            f"in Parquet), or a matrix in a file: {name}=FILE.npy."
        )
    return column.cast(pl.List(inner)) if isinstance(column.dtype, pl.Array) else column

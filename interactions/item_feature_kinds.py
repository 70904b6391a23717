"""Infer the kind of an item feature from its column."""

import polars as pl

from seqrec.errors import InputError
from seqrec.interactions.category_features import find_separator
from seqrec.interactions.item_feature_requests import Kind
from seqrec.interactions.number_features import mostly_numbers

__all__ = ["infer_kind"]

MOSTLY = 0.5  # texts are mostly different if more than this share of them occurs for the first time


def infer_kind(name: str, column: pl.Series) -> Kind:
    """Return the kind of a column: `number`, `category`, `vector` or `text`.

    Numbers, dates and texts that spell numbers are numbers. Lists of decimals are vectors, other lists categories.
    Texts are categories if they list values (`Action|Drama`, `['Action', 'Drama']`), repeat, or are single words;
    other texts are text.

    Raises:
        InputError: If the column has no values, or a type that no feature can have.
    """
    dtype = column.dtype
    if column.null_count() == len(column):
        raise InputError(f"All values of {name} are missing. Leave the feature out.")
    if isinstance(dtype, pl.List | pl.Array):
        inner = dtype.inner
        is_vector = inner.is_float() or (isinstance(dtype, pl.Array) and inner.is_numeric())
        return "vector" if is_vector else "category"
    if dtype.is_numeric() or dtype == pl.Date or isinstance(dtype, pl.Datetime):
        return "number"
    if dtype == pl.Boolean or isinstance(dtype, pl.Categorical | pl.Enum):
        return "category"
    if dtype == pl.String:
        return kind_of_text(column.drop_nulls())
    raise InputError(
        f"The column {name} has the type {dtype}, of which no item feature can be made. Convert it to text, numbers or "
        "lists of them."
    )


def kind_of_text(texts: pl.Series) -> Kind:
    """Return the kind of a column of text."""
    if mostly_numbers(texts):
        return "number"
    if find_separator(texts) is not None:
        return "category"
    is_varied = texts.n_unique() > MOSTLY * len(texts)
    return "text" if is_varied and not is_one_word(texts) else "category"


def is_one_word(texts: pl.Series) -> bool:
    """Return whether most texts are single words, such as names of brands or codes."""
    return bool((texts.str.count_matches(r"\S+").to_numpy() <= 1).mean() > MOSTLY)

"""Read values of item features from Python objects, as `ItemFeatures.values` reads them from a table.

The module needs NumPy alone, so that a model's pipeline can read them without seqrec.

Shape suffixes: I items, W width of a vector, E pairs of an item and one of its values.
"""

import json
import math
import warnings
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np

from seqrec.errors import InputError
from seqrec.interactions.category_codes import FIRST_VALUE, MISSING, UNKNOWN
from seqrec.interactions.feature_values import (
    LIST_TEXTS,
    MOST_WORDS,
    coded,
    describe_words,
    parse_list_text,
    require_finite_numbers,
    require_whole_vectors,
    require_widths,
    standardised,
)
from seqrec.interactions.one_line import one_line
from seqrec.interactions.text_models import encode_anew, require_model

__all__ = [
    "ITEM_FEATURES",
    "distinct_values",
    "is_list",
    "plain_feature_values",
    "read_feature_entries",
    "require_some_feature",
]

ITEM_FEATURES = "item_features.json"
DAY = timedelta(days=1)
EPOCH = datetime(1970, 1, 1)  # without a time zone, as in tables
TRUE_FALSE = {True: "true", False: "false"}


def read_feature_entries(text: str) -> list[dict[str, Any]]:
    """Read the features in an `item_features.json`: dictionaries of the fields of each.

    Raises:
        InputError: If it holds none.
    """
    try:
        entries = json.loads(text)["item_features"]
        return [{"name": str(entry["name"]), "kind": str(entry["kind"]), **entry} for entry in entries]
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{ITEM_FEATURES} does not hold item features ({one_line(repr(error))}).") from error


def plain_feature_values(
    entries: Sequence[Mapping[str, Any]],
    columns: Mapping[str, Sequence[Any]],
    item_ids: Any,
    *,
    text_model: str | None = None,
) -> dict[str, np.ndarray]:
    """Return the values of items; for their layout, see `ItemFeatures`.

    Args:
        entries: The features, from `read_feature_entries`.
        columns: Each feature's raw values (I); None if missing. Categories are text, numbers or lists of them; numbers
            may be text or dates; vectors are lists; texts are text, or ready vectors of it.
        item_ids: The items' ids, for errors.
        text_model: Id or folder of the model for texts, if it is not where it was in training.

    Raises:
        InputError: If a feature has no column or unusable values, an item has no value at all, or a text is given and
            sentence-transformers is not installed.
    """
    names = [entry["name"] for entry in entries]
    absent = [name for name in names if name not in columns]
    if absent:
        raise InputError(
            f"The items have no column {absent[0]}, which the model reads ({', '.join(names)}). Add it; leave it empty "
            "where the value is unknown."
        )
    return {entry["name"]: read_one(entry, columns[entry["name"]], item_ids, text_model) for entry in entries}


def require_some_feature(values: Mapping[str, np.ndarray], item_ids: Any) -> None:
    """Raise an `InputError` if an item has no value of any feature."""
    is_bare_I = np.logical_and.reduce([is_missing(array) for array in values.values()])
    if is_bare_I.any():
        raise InputError(
            f"{is_bare_I.sum()} of {len(item_ids)} new items have no value of any feature that the model reads "
            f"({', '.join(values)}; first: '{item_ids[int(is_bare_I.argmax())]}'). Give at least one, or leave these "
            "items out."
        )


def is_missing(values_I: np.ndarray) -> np.ndarray:
    """Return which items have no value of a feature: bool, (I,)."""
    first_I = values_I[:, 0] if values_I.ndim > 1 else values_I
    return first_I == MISSING if np.issubdtype(values_I.dtype, np.integer) else np.isnan(first_I)


def read_one(entry: Mapping[str, Any], values: Sequence[Any], item_ids: Any, text_model: str | None) -> np.ndarray:
    """Read the values of one feature."""
    name, kind = entry["name"], entry["kind"]
    if kind == "category":
        return read_categories(name, values, item_ids, entry)
    if kind == "number":
        numbers_I = read_numbers(name, values, item_ids)
        return standardised(name, numbers_I, entry["mean"], entry["std"], item_ids)
    if kind == "text":
        values = with_encoded_texts(name, values, text_model or entry["model"])
    return read_vectors(name, values, item_ids, entry["size"])


def read_categories(name: str, values: Sequence[Any], item_ids: Any, entry: Mapping[str, Any]) -> np.ndarray:
    """Return codes, int32 (I, most values of one item)."""
    code_of = {value: code for code, value in enumerate(entry["categories"], start=FIRST_VALUE)}
    lists = [distinct_values(name, value, entry["separator"]) for value in values]
    rows_E = np.repeat(np.arange(len(lists)), [len(found) for found in lists])
    values_E = [value for found in lists for value in found]
    codes_E = np.array([code_of.get(value, UNKNOWN) for value in values_E], dtype=np.int64)
    return coded(name, rows_E, values_E, codes_E, item_ids, entry["per_item"])


def distinct_values(name: str, value: Any, separator: str | None) -> list[str]:
    """Return the distinct values of one item, in their order."""
    if isinstance(value, str) and separator == LIST_TEXTS:
        entries = parse_list_text(value.strip())
        parts: list[Any] = [value] if entries is None else list(entries)
    elif isinstance(value, str) and separator:
        parts = list(value.split(separator))
    else:
        parts = as_list(value) if is_list(value) else [value]
    texts = [category_text(name, part).strip() for part in parts]
    return [text for text in dict.fromkeys(texts) if text]


def category_text(name: str, value: Any) -> str:
    """Return a value of a category as text, empty if it is missing; a float that is an integer becomes "7"."""
    if value is None or (isinstance(value, float | np.floating) and math.isnan(value)):
        return ""
    if isinstance(value, bool | np.bool_):
        return TRUE_FALSE[bool(value)]
    if isinstance(value, float | np.floating):
        return str(int(value)) if float(value).is_integer() else repr(float(value))
    if isinstance(value, str | int | np.integer):
        return str(value)
    raise InputError(
        f"{name} holds {one_line(repr(value), 60)}, but categories are text, numbers or lists. Convert it first."
    )


def read_numbers(name: str, values: Sequence[Any], item_ids: Any) -> np.ndarray:
    """Return numbers as float64 (I,); NaN if missing."""
    texts = [value.strip() if isinstance(value, str) else "" for value in values]
    numbers = [number_of(name, value) for value in values]
    is_word_I = np.array([number is None for number in numbers], dtype=bool)
    if is_word_I.any():
        told = describe_words(name, is_word_I, texts, item_ids)
        if is_word_I.sum() > MOST_WORDS * sum(text != "" for text in texts):
            raise InputError(f"{told} Convert these values, or leave them empty.")
        warnings.warn(f"{told} They are read as missing.", stacklevel=4)
    numbers_I = np.array([math.nan if number is None else number for number in numbers], dtype=np.float64)
    require_finite_numbers(name, numbers_I, item_ids)
    return numbers_I


def number_of(name: str, value: Any) -> float | None:
    """Return one number, NaN if it is missing; None for text that spells none. Dates are days since 1970."""
    if value is None:
        return math.nan
    if isinstance(value, bool | int | float | np.number | np.bool_):
        return float(value)
    if isinstance(value, datetime):
        moment = value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)
        return (moment - EPOCH) / DAY
    if isinstance(value, date):
        return float(value.toordinal() - EPOCH.toordinal())
    if not isinstance(value, str):
        raise InputError(f"{name} holds {one_line(repr(value), 60)}, but must hold numbers. Convert it first.")
    text = value.strip()
    try:
        return None if "_" in text else float(text or math.nan)
    except ValueError:
        return None


def with_encoded_texts(name: str, values: Sequence[Any], model: str) -> list[Any]:
    """Return values in which texts are replaced by their vectors."""
    texts = [value.strip() if isinstance(value, str) else "" for value in values]
    distinct = sorted({*texts} - {""})
    if not distinct:
        return [None if isinstance(value, str) else value for value in values]
    require_model(name, model)
    vectors = dict(zip(distinct, encode_anew(name, distinct, model), strict=True))
    return [vectors.get(text) if isinstance(value, str) else value for text, value in zip(texts, values, strict=True)]


def read_vectors(name: str, values: Sequence[Any], item_ids: Any, size: int) -> np.ndarray:
    """Return vectors as float32 (I, W); a row of NaN if missing."""
    lists = [as_list(value) if is_list(value) else value for value in values]
    for found in lists:
        if not (found is None or isinstance(found, list)):
            raise InputError(f"{name} holds {one_line(repr(found), 60)}, but vectors are lists of numbers.")
    widths_I = np.array([len(found or ()) for found in lists], dtype=np.int64)
    require_widths(name, widths_I, size, item_ids)
    vectors_IW = np.full((len(lists), size), np.nan, dtype=np.float32)
    for row in np.flatnonzero(widths_I):
        try:
            vectors_IW[row] = np.array(lists[row], dtype=np.float64)  # None becomes NaN
        except (TypeError, ValueError) as error:
            raise InputError(
                f"The vector {name} of item '{item_ids[row]}' does not hold numbers ({one_line(error)})."
            ) from error
    require_whole_vectors(name, vectors_IW, item_ids)
    vectors_IW[~vectors_IW.any(axis=1)] = np.nan  # a vector without a direction tells nothing
    return vectors_IW


def is_list(value: Any) -> bool:
    """Return whether a value is a list, a tuple, an array or the like."""
    return isinstance(value, list | tuple) or (hasattr(value, "tolist") and getattr(value, "ndim", 0) > 0)


def as_list(value: Any) -> list[Any]:
    """Return a list, a tuple or an array as a list of Python objects."""
    return value.tolist() if hasattr(value, "tolist") else list(value)

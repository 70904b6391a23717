"""Turn values of item features that have been read into the numbers that models take.

Shape suffixes: I items, C most values of one item, W width of a vector, E pairs of an item and one of its values.
"""

import ast
import re
import warnings
from typing import Any

import numpy as np

from seqrec.errors import InputError
from seqrec.interactions.category_codes import MISSING, NO_VALUE, UNKNOWN
from seqrec.interactions.one_line import one_line

__all__ = [
    "LIST_TEXTS",
    "MOST_WORDS",
    "coded",
    "describe_words",
    "parse_list_text",
    "require_finite_numbers",
    "require_whole_vectors",
    "require_widths",
    "share",
    "standardised",
]

LIST_TEXTS = "[,]"  # in place of a separator, for lists written as text
WITHOUT_COMMA = re.compile(r"""['"]\s+['"]""")  # between entries of a NumPy array, which Python would join
FARTHEST = 10.0  # standard deviations from the mean
MOST_WORDS = 0.05  # of a column of numbers may be words, such as "unknown"


def coded(
    name: str,
    rows_E: np.ndarray,
    values_E: Any,
    codes_E: np.ndarray,
    item_ids: Any,
    per_item: int,
) -> np.ndarray:
    """Arrange the codes of a category's values by item, and warn of values that are left out.

    Args:
        name: The feature.
        rows_E: The item of each pair, in ascending order.
        values_E: The values, for messages.
        codes_E: Their codes, `UNKNOWN` for values outside the list.
        item_ids: The ids of all items.
        per_item: Most values of one item.

    Returns:
        Codes, int32 (I, C): see `CategoryFeature.values`.
    """
    unknown, known = np.flatnonzero(codes_E == UNKNOWN), np.flatnonzero(codes_E != UNKNOWN)
    rows = rows_E[known]
    places = np.arange(len(rows)) - np.searchsorted(rows, rows)
    is_kept = places < per_item
    codes_IC = np.full((len(item_ids), per_item), NO_VALUE, dtype=np.int32)
    codes_IC[:, 0] = MISSING
    codes_IC[rows_E, 0] = UNKNOWN
    codes_IC[rows[is_kept], places[is_kept]] = codes_E[known][is_kept]
    if len(unknown):
        first = int(unknown[0])
        warnings.warn(
            f"{len({values_E[int(pair)] for pair in unknown}):,} values of {name}, of "
            f"{len(np.unique(rows_E[unknown])):,} of {len(item_ids):,} items, did not occur in training (first: "
            f"'{values_E[first]}' of item '{item_ids[int(rows_E[first])]}'). They are ignored; "
            f"{int((codes_IC[:, 0] == UNKNOWN).sum()):,} items have no others and count as unknown.",
            stacklevel=4,
        )
    crowded = rows[~is_kept]
    if len(crowded):
        warnings.warn(
            f"{len(np.unique(crowded)):,} items have more than {per_item} values of {name} (first: "
            f"'{item_ids[int(crowded[0])]}'). Their first {per_item} are read.",
            stacklevel=4,
        )
    return codes_IC


def standardised(name: str, numbers_I: np.ndarray, mean: float, std: float, item_ids: Any) -> np.ndarray:
    """Return standardised numbers from −10 to 10, float32 (I,), of numbers, float64 (I,). Warn of those beyond that."""
    standardised_I = (numbers_I - mean) / std
    is_far_I = np.abs(standardised_I) > FARTHEST
    if is_far_I.any():
        first = int(is_far_I.argmax())
        warnings.warn(
            f"{share(is_far_I)} have a {name} more than {FARTHEST:g} standard deviations from the mean of {mean:.6g} "
            f"(first: {numbers_I[first]:.6g} of item '{item_ids[first]}'). They are cut off there.",
            stacklevel=4,
        )
    return standardised_I.clip(-FARTHEST, FARTHEST).astype(np.float32)


def require_finite_numbers(name: str, numbers_I: np.ndarray, item_ids: Any) -> None:
    """Raise an `InputError` if a number is infinite; NaN is a missing one."""
    infinite_I = np.isinf(numbers_I)
    if infinite_I.any():
        raise InputError(
            f"{share(infinite_I)} have an infinite {name} (first: item '{item_ids[int(infinite_I.argmax())]}'). Leave "
            "these values empty."
        )


def require_widths(name: str, widths_I: np.ndarray, size: int, item_ids: Any) -> None:
    """Raise an `InputError` if a vector that is not missing (width 0) has another width than `size`."""
    wrong_I = (widths_I > 0) & (widths_I != size)
    if wrong_I.any():
        row = int(wrong_I.argmax())
        raise InputError(
            f"{share(wrong_I)} have a vector {name} of another width than {size} (first: {widths_I[row]} numbers of "
            f"item '{item_ids[row]}'). Give vectors of one width, and leave missing ones empty."
        )


def require_whole_vectors(name: str, vectors_IW: np.ndarray, item_ids: Any) -> None:
    """Raise an `InputError` if a vector is infinite or partly NaN; one that is all NaN is missing."""
    nan_IW = np.isnan(vectors_IW)
    broken_I = np.asarray((nan_IW.any(axis=1) & ~nan_IW.all(axis=1)) | np.isinf(vectors_IW).any(axis=1))
    if broken_I.any():
        raise InputError(
            f"{share(broken_I)} have a vector {name} that is partly NaN, missing or infinite (first: item "
            f"'{item_ids[int(broken_I.argmax())]}'). Repair these vectors, or leave them empty."
        )


def describe_words(name: str, is_word_I: np.ndarray, texts: Any, item_ids: Any) -> str:
    """Say how many texts do not spell numbers, and show the first."""
    row = int(is_word_I.argmax())
    return (
        f"{share(is_word_I)} have a {name} that is not a number (first: '{one_line(texts[row], 60)}' of item "
        f"'{item_ids[row]}')."
    )


def parse_list_text(text: str) -> list[str] | None:
    """Return the entries of a list of texts or integers written in Python or JSON; None if the text is no such list.

    >>> parse_list_text("['Comedy', 'Drama']")
    ['Comedy', 'Drama']
    """
    if not text.startswith("[") or WITHOUT_COMMA.search(text):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a backslash that escapes nothing
            values = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return None
    if not isinstance(values, list) or not all(type(value) in (str, int) for value in values):
        return None
    return [str(value) for value in values]


def share(selected_I: np.ndarray) -> str:
    """Say how many items are selected.

    >>> share(np.array([True, False]))
    '1 of 2 items'
    """
    return f"{int(selected_I.sum()):,} of {len(selected_I):,} items"

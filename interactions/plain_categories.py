"""Read categories of items from Python objects, as `Catalogue.categories` reads them from a table.

The module needs NumPy alone, so that a model's pipeline can read them without seqrec.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from seqrec.errors import InputError
from seqrec.interactions.feature_values import LIST_TEXTS, parse_list_text
from seqrec.interactions.item_categories import ItemCategories
from seqrec.interactions.item_rows import token_ids_of
from seqrec.interactions.plain_features import distinct_values

__all__ = ["plain_categories"]

SEPARATORS = ("|", ";", ",")
FEW_WORDS = 3  # values of at most this many words on average are names, not sentences


def plain_categories(column: str, values: Sequence[Any]) -> ItemCategories:
    """Return the values of a column as categories; see `Catalogue.categories`.

    Args:
        column: Its name, for errors.
        values: The values of all items in token order: text, numbers or lists of them; None if missing.

    Raises:
        InputError: If there is no value, or values are no categories.
    """
    separator = find_separator([value for value in values if isinstance(value, str)])
    lists = [distinct_values(column, value, separator) for value in values]
    counts = Counter(name for names in lists for name in names)
    if not counts:
        raise InputError(f"No item has a value of {column}. Choose another column of the items.")
    names = tuple(sorted(counts, key=lambda name: (-counts[name], name)))
    code_of = {name: code for code, name in enumerate(names)}
    token_ids_E = np.repeat(token_ids_of(np.arange(len(lists))), [len(found) for found in lists])
    codes_E = np.array([code_of[name] for found in lists for name in found], dtype=np.int64)
    return ItemCategories.of_pairs(names, token_ids_E, codes_E, token_ids_of(len(lists)))


def find_separator(texts: Sequence[str]) -> str | None:
    """Return the separator of text that lists several values; see `category_features.find_separator`."""
    distinct = {*texts}
    stripped = {text.strip() for text in distinct} - {""}
    if stripped and all(is_list_text(text) for text in stripped):
        return LIST_TEXTS
    for separator in SEPARATORS:
        if not any(separator in text for text in distinct):
            continue
        parts = [part.strip() for text in texts for part in text.split(separator)]
        if len({*parts}) < len(distinct) or (separator == "|" and are_short(parts)):
            return separator
    return None


def is_list_text(text: str) -> bool:
    """Return whether a text is a list of texts or integers."""
    return text.startswith("[") and text.endswith("]") and parse_list_text(text) is not None


def are_short(texts: Sequence[str]) -> bool:
    """Return whether texts are names rather than sentences, judging by their number of words."""
    return sum(len(text.split()) for text in texts) <= FEW_WORDS * len(texts)

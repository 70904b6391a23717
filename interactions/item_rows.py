"""Convert between rows of a catalogue and token ids: items follow the special tokens, in the same order.

Shape suffixes: I items, V vocabulary.
"""

from typing import TypeVar

import numpy as np
from torch import Tensor

from seqrec.interactions.special_tokens import NUM_SPECIAL_TOKENS

__all__ = ["by_row", "by_token", "rows_of", "token_ids_of"]

Numbers = TypeVar("Numbers", int, np.ndarray, Tensor)
Values = TypeVar("Values", np.ndarray, Tensor)


def token_ids_of(rows: Numbers) -> Numbers:
    """Return the token ids of the items in these rows of the catalogue.

    >>> token_ids_of(0)
    3
    """
    return rows + NUM_SPECIAL_TOKENS


def rows_of(token_ids: Numbers) -> Numbers:
    """Return the rows of the catalogue that hold these items; negative for special tokens.

    >>> rows_of(3)
    0
    """
    return token_ids - NUM_SPECIAL_TOKENS


def by_token(counts_I: np.ndarray) -> np.ndarray:
    """Return the items' counts by token id, 0 for special tokens: `counts_V`.

    >>> by_token(np.array([7, 4]))
    array([0, 0, 0, 7, 4])
    """
    return np.concatenate([np.zeros(NUM_SPECIAL_TOKENS, dtype=counts_I.dtype), counts_I])


def by_row(values_V: Values) -> Values:
    """Return the values of the items, without the special tokens: `values_I`, a view.

    >>> by_row(np.array([0, 0, 0, 7, 4]))
    array([7, 4])
    """
    return values_V[NUM_SPECIAL_TOKENS:]

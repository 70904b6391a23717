"""Check the options of a request for recommendations."""

from typing import Any

import numpy as np

from seqrec.errors import InputError
from seqrec.interactions.number_checks import is_integer

__all__ = ["require_candidates", "require_list_length", "require_switch"]


def require_list_length(k: Any, num_items: int, *, name: str = "k") -> int:
    """Return the number of items requested.

    Raises:
        InputError: If it is not an integer from 1 to the size of the catalogue.
    """
    if is_integer(k) and 1 <= k <= num_items:
        return int(k)
    raise InputError(f"{name}={k!r} is not an integer from 1 to {num_items}, the size of the catalogue.")


def require_switch(value: object, *, name: str) -> bool:
    """Return a switch as a bool.

    Raises:
        InputError: If it is neither True nor False.
    """
    if not isinstance(value, bool | np.bool_):
        raise InputError(f"{name} must be True or False, got {value!r}.")
    return bool(value)


def require_candidates(rerank_from: Any, k: int) -> int:
    """Return the number of best items that are ranked again.

    Raises:
        InputError: If it is not an integer of at least k.
    """
    if not is_integer(rerank_from) or rerank_from < k:
        raise InputError(
            f"rerank_from={rerank_from!r} is not an integer of at least k={k}: as many items must be ranked again "
            "as are listed."
        )
    return int(rerank_from)

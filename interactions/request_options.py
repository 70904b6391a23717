"""Check the options of a request for recommendations."""

import numpy as np

from seqrec.errors import InputError

__all__ = ["require_list_length", "require_switch"]


def require_list_length(k: object, num_items: int, *, name: str = "k") -> int:
    """Return the number of items requested.

    Raises:
        InputError: If it is not an integer from 1 to the size of the catalogue.
    """
    if isinstance(k, int | np.integer) and not isinstance(k, bool) and 1 <= k <= num_items:
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

"""Check what a request for recommendations asks for, beside its ids."""

import numpy as np

from seqrec.errors import InputError


def require_list_length(k: object, num_items: int, *, name: str = "k") -> int:
    """Return how many items are asked for.

    Raises:
        ValueError: If it is no whole number, less than 1, or more than the catalogue holds.
    """
    if isinstance(k, int | np.integer) and not isinstance(k, bool) and 1 <= k <= num_items:
        return int(k)
    raise InputError(f"{name}={k!r} items were asked for; ask for 1 to {num_items} (the whole catalogue).")


def require_switch(value: object, *, name: str) -> bool:
    """Return what a switch is set to.

    Raises:
        ValueError: If it is neither True nor False.
    """
    if not isinstance(value, bool | np.bool_):
        raise InputError(f"{name} must be True or False, but is {value!r}.")
    return bool(value)

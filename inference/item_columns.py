"""Columns of the items in the result of recommending."""

from collections.abc import Sequence
from typing import Any

from seqrec.errors import InputError
from seqrec.interactions.catalogue import Catalogue
from seqrec.interactions.one_line import one_line
from seqrec.interactions.polars_threads import require_polars

__all__ = ["require_item_columns"]


def require_item_columns(names: Any, items: Catalogue, *, taken: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the names of columns of the items, each once.

    Args:
        names: The names.
        items: The items.
        taken: Names that the result has for columns of its own.

    Raises:
        InputError: If these are no names, the items lack a column, or the result has another one of its name.
        RuntimeError: In a process forked from one that had already used polars.
    """
    if not names:
        return ()
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise InputError(
            f"`item_columns` must be a list of names, such as ['title', 'year'], got {one_line(repr(names), 60)}."
        )
    require_polars()
    for name in names:
        if name not in items.frame.columns:
            known = ", ".join(items.frame.columns)
            raise InputError(f"`item_columns` names {name!r}, but the items have the columns {one_line(known)}.")
        if name in taken:
            raise InputError(f"`item_columns` names {name!r}, but the result has a column of that name. Leave it out.")
    return tuple(dict.fromkeys(names))

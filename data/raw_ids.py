"""Raw item ids to token ids, with unknown ones reported, never dropped in silence."""

import warnings
from collections.abc import Callable, Iterable, Sequence
from numbers import Integral
from typing import Any, Literal

import numpy as np

from seqrec.data.special_tokens import UNK_ID

ItemId = str | int
Encode = Callable[[list[str]], np.ndarray]  # raw ids to token ids, UNK_ID for what is no item of the vocabulary
Unknown = Literal["skip", "error"]


def is_item_id(value: object) -> bool:
    """Tell whether something can be a raw item id: text, or an integer of Python's or NumPy's."""
    return isinstance(value, str) or (isinstance(value, Integral) and not isinstance(value, bool))


def encode_known(
    raw_ids: Sequence[ItemId], encode: Encode, *, where: str, unknown: Unknown = "skip"
) -> tuple[np.ndarray, list[str]]:
    """Encode raw ids, and tell which of them the vocabulary lacks.

    Args:
        raw_ids: Item ids.
        encode: Looks them up, as `ItemTokenizer.encode_item_ids` does.
        where: What the ids are, for the message: "this history", "allow", …
        unknown: `"skip"` to leave unknown ids out with a warning, `"error"` to raise.

    Returns:
        Token ids of the known ones, in order, and the unknown raw ids.

    Raises:
        ValueError: On what is no list, on an id that is neither string nor integer, or, with `unknown="error"`, on an
            unknown id.
    """
    if unknown not in ("skip", "error"):
        raise ValueError(f"unknown must be 'skip' or 'error', but is {unknown!r}.")
    if isinstance(raw_ids, str) or not isinstance(raw_ids, Iterable):
        raise ValueError(f"Expected a list of item ids in {where}, but {raw_ids!r} was given.")
    for raw_id in raw_ids:
        if not is_item_id(raw_id):
            raise ValueError(f"Item ids are strings or integers, but {raw_id!r} was given in {where}.")
    names = [str(raw_id) for raw_id in raw_ids]
    token_ids = encode(names)
    is_known = token_ids != UNK_ID
    missing = [name for name, known in zip(names, is_known, strict=True) if not known]
    if missing:
        message = f"{len(missing)} of {len(names)} items in {where} are not in the vocabulary (first: {missing[0]!r})."
        if unknown == "error":
            raise ValueError(f"{message} Pass unknown='skip' to leave them out.")
        warnings.warn(f"{message} They are left out.", stacklevel=4)
    return token_ids[is_known], missing


def encode_lists(lists: Sequence[Any] | None, num_users: int, encode: Encode, *, where: str) -> list[np.ndarray] | None:
    """Encode an allow or deny list: one for all users, or a list of one for each.

    Raises:
        ValueError: If it is a string, or there are neither one nor `num_users` lists.
    """
    if lists is None:
        return None
    if isinstance(lists, str) or not isinstance(lists, Sequence):
        raise ValueError(f"{where} must be a list of item ids, or one list for each history, but is {lists!r}.")
    if all(is_item_id(entry) for entry in lists):
        return [encode_known(lists, encode, where=where)[0]] * num_users
    if len(lists) != num_users:
        raise ValueError(
            f"{where} has {len(lists)} lists for {num_users} histories. Give one list for each, or one for all."
        )
    return [encode_known(entry, encode, where=where)[0] for entry in lists]

"""Read raw item ids from any container and look them up; refuse ambiguous input.

Ids may come in lists, tuples, NumPy arrays, Series and columns of pandas, polars and pyarrow, or iterators (which are
read once). An id is text or an integer. Nested one level deeper, a container holds one list of ids per user.
"""

import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from io import IOBase
from typing import Any, Literal

import numpy as np

from seqrec.errors import InputError
from seqrec.interactions.item_sets import ItemSet
from seqrec.interactions.special_tokens import UNK_ID

__all__ = [
    "Encode",
    "ItemId",
    "ItemIds",
    "Unknown",
    "encode_lists",
    "entries_of",
    "id_text",
    "look_up",
    "may_hold_ids",
    "read_histories",
    "read_ids",
    "read_lists",
    "read_lists_in_order",
    "require_readable",
]

ItemId = str | int
ItemIds = Iterable[ItemId]
Encode = Callable[[list[str]], np.ndarray]  # raw ids to token ids, UNK_ID where the vocabulary lacks an item
Unknown = Literal["skip", "error"]

TENSOR_LIBRARIES = {"torch", "tensorflow", "jax", "jaxlib", "mlx"}
LIST_TYPE = re.compile(r"(large_|fixed_size_)?(list|array)\W", re.IGNORECASE)  # as polars, pyarrow and pandas print it
ID_KINDS = "UTiuO"  # NumPy kinds: text, integers, and objects, which are checked one by one
SHOWN = 60  # maximum characters of a value in a message


def id_text(item_id: object, where: str = "") -> str:
    """Return one raw id as text.

    Raises:
        InputError: If it is neither text nor an integer.
    """
    if isinstance(item_id, str):
        return str.__str__(item_id)  # gives the text, not the name, of a string Enum's member
    if isinstance(item_id, int | np.integer) and not isinstance(item_id, bool):
        return str(int(item_id))
    raise InputError(
        f"Item ids are strings or integers, but {shown(item_id)} was given{inside(where)}.{advice(item_id)}"
    )


def read_ids(values: Any, *, where: str = "", ordered: bool = True) -> list[str]:
    """Read one list of raw ids.

    Args:
        values: Anything that holds ids.
        where: Where the ids come from, for messages: "this history", "allow", …
        ordered: Whether order matters; if so, sets are refused.

    Raises:
        InputError: If it holds anything but ids, or its meaning is ambiguous.
    """
    require_readable(values, f"Expected a list of item ids{inside(where)}", ordered=ordered)
    return [entry if type(entry) is str else id_text(entry, where) for entry in entries_of(values)]


def read_histories(values: Any) -> tuple[list[list[str]], bool]:
    """Read one history or several.

    Returns:
        The histories, and whether `values` is a single one. An empty list counts as a single, empty history.

    Raises:
        InputError: As for `read_ids`, or if ids and lists are mixed.
    """
    require_readable(values, "A history is a list of item ids, oldest first", ordered=True)
    return read_one_or_several(values, where="this history", ordered=True)


def read_lists(values: Any, *, where: str) -> tuple[list[list[str]], bool]:
    """Read an allow or deny list.

    Returns:
        The lists, and whether `values` is a single one for all users. An empty list counts as one for all users.

    Raises:
        InputError: As for `read_ids`, or if ids and lists are mixed.
    """
    require_readable(values, f"{where} must be a list of item ids, or one list per history", ordered=False)
    return read_one_or_several(values, where=where, ordered=False)


def read_lists_in_order(values: Any, *, where: str) -> tuple[list[list[str]], bool]:
    """Read lists as `read_lists` does, but refuse sets, because the order matters."""
    require_readable(values, f"{where} must be a list of item ids, or one list per history", ordered=True)
    return read_one_or_several(values, where=where, ordered=True)


def read_one_or_several(values: Any, *, where: str, ordered: bool) -> tuple[list[list[str]], bool]:
    """Read a list of ids or a list of such lists; also returns whether it is the former."""
    entries = entries_of(values)
    if set(map(type, entries)) <= {str}:  # the most common case, and the fastest to check
        return ([], False) if not entries and holds_lists(values) else ([entries], True)
    if not any(may_hold_ids(entry) for entry in entries):
        return [[id_text(entry, where) for entry in entries]], True
    if isinstance(values, Set):
        raise InputError(f"A set of lists was given{inside(where)}, but a set has no order. Give a list of lists.")
    return [read_ids(entry, where=where, ordered=ordered) for entry in entries], False


def entries_of(values: Any) -> list[Any]:
    """Return the entries of a container; those of arrays and columns become plain Python objects."""
    if not isinstance(values, list | tuple):
        for method in ("to_pylist", "to_list", "tolist"):  # pyarrow, polars and pandas, NumPy
            if hasattr(values, method):
                return list(getattr(values, method)())
    return list(values)


def require_readable(values: Any, expected: str, *, ordered: bool) -> None:
    """Raise an `InputError` that begins with `expected` unless `values` is a container, ordered if that is required."""
    if type(values) in (list, tuple):
        return
    if is_tensor(values):
        problem = "a tensor was given, and its numbers could be token ids. Give a list of raw ids"
    elif any(hasattr(values, name) for name in ("columns", "column_names", "levels")):
        problem = "a table was given. Give one of its columns, or pass it to recommend_frame"
    elif isinstance(values, Set) and ordered:
        problem = "a set was given, which has no order. Give a list"
    elif isinstance(values, np.ndarray) and values.size > 0 and values.dtype.kind not in ID_KINDS:
        problem = f"an array of {values.dtype} was given"
    elif not may_hold_ids(values) or (isinstance(values, np.ndarray) and not values.ndim):
        problem = f"{shown(values)} was given"
    else:
        return
    raise InputError(f"{expected}, but {problem}.{advice(values)}")


def may_hold_ids(value: Any) -> bool:
    """Return whether a value is iterable and not text, bytes, a mapping, a file or a named tuple."""
    if isinstance(value, str | bytes | bytearray | memoryview | Mapping | IOBase):
        return False
    return isinstance(value, Iterable) and not hasattr(value, "_fields")


def holds_lists(values: Any) -> bool:
    """Return whether the rows of an empty array or column would be lists."""
    if isinstance(values, np.ndarray):
        return values.ndim > 1
    return LIST_TYPE.match(f"{getattr(values, 'dtype', getattr(values, 'type', ''))} ") is not None


def is_tensor(value: Any) -> bool:
    """Return whether a value is a tensor of any library, without importing one."""
    return any(class_.__module__.partition(".")[0] in TENSOR_LIBRARIES for class_ in type(value).__mro__)


def shown(value: Any) -> str:
    """Format a value for a message, on one line."""
    text = " ".join(repr(value).split())
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}… ({type(value).__name__})"


def inside(where: str) -> str:
    """Return " in this history" for "this history", or nothing for an empty string."""
    return f" in {where}" if where else ""


def advice(value: Any) -> str:
    """Suggest how to fix a value that is neither an id nor a list of ids; empty if we do not know."""
    kind = value.dtype.kind if isinstance(value, np.ndarray) else ""
    if kind == "S" or isinstance(value, bytes | bytearray | memoryview):
        return " Decode bytes to text first, as b'50'.decode() does."
    if kind == "f" or isinstance(value, float | np.floating):
        return " Convert whole numbers to integers and drop missing values."
    if isinstance(value, str):
        return f" Put a single id into a list: [{shown(value)}]."
    return " Give one flat list of ids for each user." if isinstance(value, list | tuple) else ""


def look_up(names: list[str], encode: Encode, *, where: str, unknown: Unknown = "skip") -> tuple[np.ndarray, list[str]]:
    """Encode raw ids, and report those that the vocabulary lacks.

    Args:
        names: Item ids, as `read_ids` returns them.
        encode: Looks them up, as `ItemTokenizer.encode_item_ids` does.
        where: Where the ids come from, for messages: "this history", "allow", …
        unknown: `"skip"` to warn of unknown ids, `"error"` to raise.

    Returns:
        Token ids, `UNK_ID` for unknown items, and the raw ids of these.

    Raises:
        InputError: If an id contains an unpaired surrogate or, with `unknown="error"`, is unknown.
    """
    if not (isinstance(unknown, str) and unknown in ("skip", "error")):
        raise InputError(f"unknown must be 'skip' or 'error', but is {unknown!r}.")
    try:
        token_ids = encode(names)
    except UnicodeEncodeError as error:
        raise InputError(
            f"An item id in {where} cannot be encoded as UTF-8: {error.object!r}. Remove its unpaired surrogates."
        ) from error
    if not (token_ids == UNK_ID).any():
        return token_ids, []
    missing = [name for name, token_id in zip(names, token_ids, strict=True) if token_id == UNK_ID]
    message = f"{len(missing)} of {len(names)} items in {where} are not in the vocabulary (first: {missing[0]!r})."
    if unknown == "error":
        raise InputError(f"{message} Pass unknown='skip' to leave them out.")
    warnings.warn(f"{message} They are left out.", stacklevel=4)
    return token_ids, missing


def encode_lists(lists: Any, num_users: int, encode: Encode, *, where: str) -> list[np.ndarray] | None:
    """Encode the known items of an allow or deny list: one for all users, or one for each.

    Returns:
        The token ids of one list for all, which includes an empty list, or of `num_users` lists.

    Raises:
        InputError: As for `read_ids`, or if there are neither one nor `num_users` lists, or an `ItemSet` is of another
            vocabulary.
    """
    if lists is None:
        return None
    if isinstance(lists, ItemSet):
        return [lists.of(encode, where=where)]
    if isinstance(lists, list | tuple) and any(isinstance(ids, ItemSet) for ids in lists):
        return encode_sets(lists, num_users, encode, where=where)
    found, is_one_for_all = read_lists(lists, where=where)
    if not is_one_for_all:
        require_one_each(found, num_users, where)
    encoded = [look_up(names, encode, where=where)[0] for names in found]
    return [token_ids[token_ids != UNK_ID] for token_ids in encoded]


def encode_sets(lists: Sequence[Any], num_users: int, encode: Encode, *, where: str) -> list[np.ndarray]:
    """Encode lists for each user, some of which are an `ItemSet`."""
    require_one_each(lists, num_users, where)
    found = []
    for ids in lists:
        if isinstance(ids, ItemSet):
            found.append(ids.of(encode, where=where))
        else:
            token_ids, _ = look_up(read_ids(ids, where=where, ordered=False), encode, where=where)
            found.append(token_ids[token_ids != UNK_ID])
    return found


def require_one_each(lists: Sequence[Any], num_users: int, where: str) -> None:
    """Raise an `InputError` unless there are as many lists as histories."""
    if len(lists) != num_users:
        raise InputError(
            f"{where} has {len(lists)} lists for {num_users} histories. Give one list for each, or one for all."
        )

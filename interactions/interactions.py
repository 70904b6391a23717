"""Interactions: who did something with which item, and when.

An interactions table is a polars DataFrame with `user_id`, `item_id` (text), `timestamp` (number or datetime)
and any other columns, sorted by user and time; rows of the same user and time keep the order of the file.
"""

from collections.abc import Mapping
from typing import Any, Literal

import polars as pl

from seqrec.errors import InputError
from seqrec.interactions.column_names import (
    REQUIRED_COLUMNS,
    choose_columns,
    possible_columns,
    rename_columns,
    renamed,
)
from seqrec.interactions.one_line import one_line
from seqrec.interactions.polars_threads import require_polars
from seqrec.interactions.special_tokens import SPECIAL_TOKENS
from seqrec.interactions.spellings import warn_of_spellings
from seqrec.interactions.table_reading import read_table
from seqrec.interactions.timestamps import parse_timestamps, warn_of_mixed_units

__all__ = [
    "drop_duplicates",
    "filter_k_core",
    "read_interactions",
    "read_with_names",
    "require_ids",
    "require_no_nulls",
    "require_no_special_tokens",
    "require_rest",
    "require_several",
    "sort_interactions",
]


def read_interactions(
    source: Any,
    *,
    columns: Mapping[str, str] | None = None,
    remembered: Mapping[str, str] | None = None,
    for_training: bool = True,
) -> pl.DataFrame:
    """Read and check a table of interactions.

    Args:
        source: Path of a CSV (optionally gzipped), Parquet or JSONL file, or a frame of pandas, polars, pyarrow,
            `datasets`, or another library with an Arrow interface.
        columns: Maps our column names to the table's, such as `{"user_id": "uid", "timestamp": "ts"}`.
        remembered: The same for the table that a model was trained on. Applies to names that `columns` leaves out, if
            the table has these columns.
        for_training: Also require two users and two items, the minimum for learning.

    Returns:
        The interactions table. `item_id` is text; `user_id` is text or integers (always text from a CSV);
        `timestamp` is numbers or datetimes; other columns are unchanged.

    Raises:
        InputError: If the table cannot be read, lacks a column or rows, or contains unusable ids or timestamps.
            Rows are counted from 1, excluding the header.
        RuntimeError: In a process forked from one that had already used polars.
    """
    interactions, _ = read_with_names(source, columns=columns, remembered=remembered, for_training=for_training)
    return interactions


def read_with_names(
    source: Any,
    *,
    columns: Mapping[str, str] | None = None,
    remembered: Mapping[str, str] | None = None,
    for_training: bool = True,
) -> tuple[pl.DataFrame, dict[str, str]]:
    """Read a table as `read_interactions`; also return the names of its columns that differ from ours."""
    require_polars()
    possible = possible_columns(columns, remembered)
    text_columns = [*possible["user_id"], *possible["item_id"]]
    used_columns = [own for owns in possible.values() for own in owns]
    table = read_table(source, text_columns=text_columns, used_columns=used_columns)
    interactions = rename_columns(table, columns, remembered)
    for name in REQUIRED_COLUMNS:
        require_no_nulls(interactions[name])
    interactions = interactions.with_columns(
        require_ids(interactions["user_id"]),
        require_ids(interactions["item_id"]).cast(pl.String),
        parse_timestamps(interactions["timestamp"]),
    )
    require_no_special_tokens(interactions["item_id"])
    if for_training:
        require_variety(interactions)
        warn_of_spellings(interactions["user_id"], "users")
        warn_of_spellings(interactions["item_id"], "items")
    warn_of_mixed_units(interactions["timestamp"])
    return sort_interactions(interactions), renamed(choose_columns(table.columns, columns, remembered))


def sort_interactions(interactions: pl.DataFrame) -> pl.DataFrame:
    """Sort by user and time; ties keep the order of the table, the best guess at their true order.

    A table that is already sorted is returned as it is.
    """
    if is_in_order(interactions):
        return interactions
    return interactions.sort("user_id", "timestamp", maintain_order=True)


def is_in_order(interactions: pl.DataFrame) -> bool:
    """Return whether a table is sorted by user and time, at a fraction of the cost of sorting it."""
    user, time = pl.col("user_id"), pl.col("timestamp")
    is_later = (user > user.shift()) | ((user == user.shift()) & (time >= time.shift()))
    return interactions.select(is_later.slice(1).fill_null(False).all()).item()


def require_no_nulls(values: pl.Series) -> None:
    """Refuse a column with missing values."""
    nulls = values.is_null()
    if nulls.any():
        first = nulls.arg_max()
        assert first is not None
        raise InputError(
            f"{nulls.sum()} of {len(values)} rows have no {values.name} (first: row {first + 1}). "
            "Fill them in or remove these rows."
        )


def require_ids(ids: pl.Series) -> pl.Series:
    """Return ids if they are integers or non-empty text; refuse others."""
    if ids.dtype in (pl.Int128, pl.UInt128):  # no Arrow type
        return ids.cast(pl.String)
    if ids.dtype.is_integer():
        return ids
    if ids.dtype == pl.Binary:
        raise InputError(
            f"{ids.name} holds bytes (first: {one_line(ids[0], 40)}). Ids are integers or text: convert the column "
            f"first, for instance with frame['{ids.name}'].str.decode('utf-8') in pandas."
        )
    if ids.dtype.is_float():
        raise InputError(
            f"{ids.name} holds decimal numbers ({ids.dtype}; first: {ids[0]}). Ids are integers or text: "
            f"convert the column first, for instance with frame['{ids.name}'].astype('int64') in pandas."
        )
    if not isinstance(ids.dtype, pl.String | pl.Categorical | pl.Enum):
        raise InputError(f"{ids.name} is of type {ids.dtype}. Ids are integers or text: convert the column first.")
    text = ids.cast(pl.String)
    empty = text == ""
    if empty.any():
        first = empty.arg_max()
        assert first is not None
        raise InputError(
            f"{empty.sum()} of {len(text)} rows have an empty {ids.name} (first: row {first + 1}). "
            "Fill them in or remove these rows."
        )
    return text


def require_no_special_tokens(item_ids: pl.Series) -> None:
    """Refuse items named like a special token."""
    special = item_ids.is_in(list(SPECIAL_TOKENS))
    if special.any():
        first = special.arg_max()
        assert first is not None
        raise InputError(
            f"Row {first + 1} has the item_id '{item_ids[first]}', which is reserved for a special token. "
            f"Rename the item; reserved are {', '.join(SPECIAL_TOKENS)}."
        )


def require_variety(interactions: pl.DataFrame) -> None:
    """Refuse a table with a single user or item."""
    for name in ("user_id", "item_id"):
        require_several(name, interactions[name].n_unique(), interactions[name][0], interactions.height)


def require_several(name: str, num_ids: int, first: Any, num_rows: int) -> None:
    """Refuse a single user or item, given the number of different ids, one of them, and the number of rows."""
    if num_ids == 1:
        noun = name.removesuffix("_id")
        raise InputError(
            f"All {num_rows} interactions are of one {noun} ('{first}'). "
            f"Training needs at least two {noun}s: is {name} the right column?"
        )


def filter_k_core(
    interactions: pl.DataFrame, *, min_user_interactions: int, min_item_interactions: int
) -> pl.DataFrame:
    """Keep users and items with enough interactions among themselves (k-core filtering).

    Removing a rare item can make a user rare, and vice versa, so the filter repeats until nothing changes. The result
    is the largest part of the table in which all minimums hold. Repeated interactions count.

    Args:
        interactions: An interactions table.
        min_user_interactions: Minimum interactions per remaining user; 1 keeps all users.
        min_item_interactions: Minimum interactions per remaining item; 1 keeps all items.

    Returns:
        The remaining interactions, in the same order.

    Raises:
        InputError: If a minimum is less than 1, or no interaction remains.
    """
    minimums = (min_user_interactions, min_item_interactions)
    for minimum in minimums:
        if minimum < 1:
            raise InputError(f"The minimum number of interactions must be at least 1, got {minimum}.")
    enough = (pl.len().over("user_id") >= min_user_interactions) & (pl.len().over("item_id") >= min_item_interactions)
    kept, before = interactions.filter(enough), interactions.height
    while kept.height < before:
        kept, before = kept.filter(enough), kept.height
    require_rest(kept.height, interactions.height, minimums)
    return kept


def require_rest(num_kept: int, num_rows: int, minimums: tuple[int, int]) -> None:
    """Refuse minimums, of users and items, that leave nothing."""
    if num_kept == 0:
        raise InputError(
            f"None of {num_rows} interactions remain when each user must have at least {minimums[0]} and each item at "
            f"least {minimums[1]}. Choose smaller minimums."
        )


def drop_duplicates(interactions: pl.DataFrame, keep: Literal["first", "last"] = "first") -> pl.DataFrame:
    """Keep one interaction per user and item: the first or the last in time."""
    if keep not in ("first", "last"):
        raise InputError(f"keep must be 'first' or 'last', got {keep!r}.")
    return interactions.unique(subset=["user_id", "item_id"], keep=keep, maintain_order=True)

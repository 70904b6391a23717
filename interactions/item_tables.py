"""Tables of items, with their titles."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from seqrec.errors import InputError
from seqrec.interactions.interactions import require_ids, require_no_nulls
from seqrec.interactions.item_feature_requests import table_columns, text_columns
from seqrec.interactions.table_reading import read_table

__all__ = ["read_items", "warn_of_untitled"]

FEWEST_TITLED = 0.9  # warn if fewer than this share of the items have titles


def read_items(
    source: Any, *, columns: Mapping[str, str] | None = None, features: str | Sequence[str] = ()
) -> pl.DataFrame:
    """Read a table of items: `item_id` (or its name in `columns`), optionally `title`, and any other columns.

    Args:
        source: A file or a frame.
        columns: Maps our column names to the table's.
        features: Columns to be read as item features, as `name` or `name:kind`, in a list or separated by commas. In a
            text file, categories and texts stay as they are written ("007").

    Raises:
        InputError: If there is no `item_id`, an id is missing, unusable or occurs twice, or titles are neither text nor
            numbers.
    """
    own_name = (columns or {}).get("item_id", "item_id")
    known = ["item_id", own_name, "title"]
    table = read_table(
        source, text_columns=[*known, *text_columns(features)], used_columns=[*known, *table_columns(features)]
    )
    if "item_id" not in table.columns and own_name in table.columns:
        table = table.rename({own_name: "item_id"})
    if "item_id" not in table.columns:
        raise InputError(
            f"The items have no column 'item_id'. They have: {', '.join(table.columns)}. Name the column in `columns` "
            "(--item_id_column), or rename it."
        )
    require_no_nulls(table["item_id"])
    ids = require_ids(table["item_id"]).cast(pl.String)
    repeated = ids.filter(ids.is_duplicated())
    if len(repeated):
        raise InputError(
            f"{repeated.n_unique()} items have more than one row in the table of items (first: "
            f"'{repeated[0]}'). Keep one row per item."
        )
    return table.with_columns(ids, *([titles_as_text(table["title"])] if "title" in table.columns else []))


def titles_as_text(titles: pl.Series) -> pl.Series:
    """Return titles that are text or numbers as text; refuse lists, bytes and the like."""
    is_text = isinstance(titles.dtype, pl.String | pl.Categorical | pl.Enum | pl.Null)
    if not is_text and not titles.dtype.is_numeric():
        raise InputError(f"The column title has the type {titles.dtype}, but must be text. Convert it first.")
    return titles if titles.dtype == pl.String or titles.dtype.is_integer() else titles.cast(pl.String)


def warn_of_untitled(item_ids: pl.Series, items: pl.DataFrame) -> None:
    """Warn if a table of items has no titles, or lacks them for many items of the interactions.

    Args:
        item_ids: Item ids of the interactions, including repeats.
        items: Table of items, from `read_items`.
    """
    if "title" not in items.columns:
        warnings.warn(
            f"The table of items has no column 'title' (it has: {', '.join(items.columns)}), so items are shown "
            "by their ids. Rename the column with their names to title.",
            stacklevel=3,
        )
        return
    named = items.filter(pl.col("title").cast(pl.String).str.strip_chars() != "")["item_id"]
    occurring = item_ids.unique(maintain_order=True)
    untitled = occurring.filter(~occurring.is_in(named.implode()))
    if len(untitled) > (1 - FEWEST_TITLED) * len(occurring):
        example = f"'{named[0]}'" if len(named) else "none"
        warnings.warn(
            f"{len(untitled):,} of {len(occurring):,} items of the interactions have no title in the table of items "
            f"(first: '{untitled[0]}'; an id with a title: {example}). Write the ids the same way in both.",
            stacklevel=3,
        )

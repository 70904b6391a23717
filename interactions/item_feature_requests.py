"""Read the list of item features that a user asks for."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal, get_args

import polars as pl

from seqrec.errors import InputError
from seqrec.interactions.one_line import one_line

__all__ = [
    "FeatureRequest",
    "Kind",
    "entries_of",
    "read_requests",
    "require_columns",
    "table_columns",
    "text_columns",
]

Kind = Literal["category", "number", "vector", "text"]


@dataclass(frozen=True)
class FeatureRequest:
    """A wanted feature: its column, its kind unless it is to be inferred, and the file of a matrix, if any."""

    name: str
    kind: Kind | None = None
    file: str | None = None


def read_requests(wanted: str | Sequence[str], columns: Sequence[str] = ()) -> list[FeatureRequest]:
    """Read names of columns, each optionally as `name:kind`, or `name=FILE` for a matrix.

    Args:
        wanted: Separated by commas, or in a list.
        columns: The table's columns, whose names may contain `:` or `=`.

    Raises:
        InputError: If there are none, a kind is unknown, or a name is empty, `item_id` or given twice.
    """
    requests = [read_request(entry, columns) for entry in entries_of(wanted)]
    if not requests:
        raise InputError("No item features were given. Name columns of the table of items, such as genres,year.")
    names = [request.name for request in requests]
    for name in names:
        if name == "item_id":
            raise InputError("item_id names the items, so it is no feature. Leave it out of item_features.")
        if names.count(name) > 1:
            raise InputError(f"The item feature {name} is given {names.count(name)} times. Give it once.")
    return requests


def entries_of(wanted: str | Sequence[str]) -> list[str]:
    """Return the entries of a list, which may be separated by commas."""
    return [entry.strip() for entry in (wanted.split(",") if isinstance(wanted, str) else wanted)]


def table_columns(wanted: str | Sequence[str]) -> list[str]:
    """Return all names of columns that entries may stand for, before the table is known."""
    entries = entries_of(wanted)
    return [*entries, *(entry.rpartition(":")[0] for entry in entries if ":" in entry)]


def text_columns(wanted: str | Sequence[str]) -> list[str]:
    """Return the names of columns to read as text, such as the category "007", which would become the number 7."""
    parts = [entry.rpartition(":") for entry in entries_of(wanted)]
    return [name for name, _, kind in parts if kind in ("category", "text")]


def read_request(entry: str, columns: Sequence[str]) -> FeatureRequest:
    """Read one entry."""
    if entry in columns:
        return FeatureRequest(entry)
    name, is_matrix, file = (part.strip() for part in entry.partition("="))
    if is_matrix:
        request = FeatureRequest(name, "vector", file)
    else:
        name, has_kind, kind = (part.strip() for part in entry.rpartition(":"))
        if has_kind and kind not in get_args(Kind):
            near = get_close_matches(kind, get_args(Kind), n=1)
            raise InputError(
                f"{one_line(repr(kind))} is not a kind of item feature. {advice(near)}Choose one of: "
                f"{', '.join(get_args(Kind))}."
            )
        request = FeatureRequest(name, kind) if has_kind else FeatureRequest(entry)  # type: ignore[arg-type]
    if not request.name or request.file == "":
        raise InputError(
            f"{one_line(repr(entry))} is not an item feature. Give the name of a column, NAME:KIND or NAME=FILE, "
            "separated by commas."
        )
    return request


def require_columns(requests: Sequence[FeatureRequest], table: pl.DataFrame) -> None:
    """Refuse features that are no columns of the table, and suggest similar ones.

    Raises:
        InputError: If a column is missing.
    """
    for request in requests:
        if request.name not in table.columns:
            near = get_close_matches(request.name, table.columns, n=1)
            raise InputError(
                f"The table of items has no column '{one_line(request.name)}' for item_features. {advice(near)}It has: "
                f"{one_line(', '.join(table.columns))}."
            )


def advice(near: Sequence[str]) -> str:
    """Suggest a similar name, if there is one."""
    return f"Did you mean {near[0]}? " if near else ""

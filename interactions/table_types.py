"""The columns and types of the files of one table, and the kind of its timestamps, collected file by file."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from seqrec.errors import InputError
from seqrec.interactions.column_names import REQUIRED_COLUMNS, choose_columns, possible_columns, rename_columns
from seqrec.interactions.one_line import one_line
from seqrec.interactions.timestamps import parse_timestamps

__all__ = ["TableTypes", "with_place"]


class TableTypes:
    """The columns and types of a table's files, collected batch by batch.

    Args:
        columns: Our names of columns, and the table's.
        further: Other columns to read.
    """

    def __init__(self, columns: Mapping[str, str], further: Sequence[str]) -> None:
        self.columns, self.further = columns, further
        self.first: tuple[Path, list[str]] | None = None
        self.names: dict[str, str] = {}
        self.types: dict[str, dict[pl.DataType, Path]] = {}
        self.times: dict[str, Path] = {}
        self.zones: dict[bool, Path] = {}

    @property
    def text_columns(self) -> list[str]:
        """Columns of a text file to be read as text."""
        possible = possible_columns(self.columns)
        return [own for name in ("user_id", "item_id") for own in possible[name]]

    def own(self, name: str, present: Sequence[str]) -> str:
        """Return the table's name of one of our columns."""
        return choose_columns(present, self.columns)[name]

    def require_columns(self, path: Path, present: Sequence[str]) -> None:
        """Refuse a file that lacks a column, or has others than the first one."""
        if self.first is None:
            renaming = rename_columns(pl.DataFrame(schema=list(present)), self.columns)
            chosen = choose_columns(present, self.columns)
            wanted = [name for name in renaming.columns if name in {*REQUIRED_COLUMNS, *self.further}]
            self.names = {name: chosen.get(name, name) for name in wanted}
            self.first = path, list(present)
        first, expected = self.first
        if set(present) != set(expected):
            raise InputError(
                f"'{path}' and '{first}' have different columns ({one_line(', '.join(present))}; and "
                f"{one_line(', '.join(expected))}). All files must be parts of one table."
            )

    def add_columns(self, path: Path, schema: pl.Schema) -> None:
        """Take note of the columns and types of a file that has rows."""
        self.require_columns(path, schema.names())
        for name, own in self.names.items():
            self.types.setdefault(name, {}).setdefault(schema[own], path)

    def add_times(self, path: Path, times: pl.Series) -> None:
        """Take note of the kind of timestamps that are text: numbers, dates with or without a time zone."""
        if times.dtype != pl.String or times.null_count() == len(times):
            return
        parsed = with_place(path, 0, partial(parse_timestamps, times.drop_nulls().rename("timestamp")))
        kind = "dates" if parsed.dtype.is_temporal() else "whole numbers" if parsed.dtype == pl.Int64 else "numbers"
        self.times.setdefault(kind, path)
        if kind == "dates":
            text = times.str.strip_chars()
            zoned = text.str.contains(r"[Tt ].*(?:[Zz]|[+-]\d{2}:?\d{2})$")
            if zoned.any():
                self.zones.setdefault(True, path)
            if (~zoned & text.str.contains("[Tt ]")).any():
                self.zones.setdefault(False, path)

    def unified(self) -> dict[str, pl.DataType]:
        """Return the types that hold the values of all files."""
        return {name: self.unified_type(name) for name in self.names}

    def unified_type(self, name: str) -> pl.DataType:
        """Return the type that holds the values of a column in all files."""
        kinds = list(self.types[name])
        frames = [pl.DataFrame(schema={name: kind}) for kind in kinds]
        for kind, frame in zip(kinds, frames, strict=True):
            try:
                frames[0] = pl.concat([frames[0], frame], how="vertical_relaxed")
            except pl.exceptions.PolarsError as error:
                raise InputError(
                    f"'{self.types[name][kind]}' has {kind} in the column '{self.names[name]}', and "
                    f"'{self.types[name][kinds[0]]}' has {kinds[0]}. All files must be parts of one table."
                ) from error
        return frames[0].schema[name]

    def time_type(self, given: pl.DataType) -> pl.DataType:
        """Return the type of the parsed timestamps; refuse those that mix kinds."""
        if given != pl.String:
            return parse_timestamps(pl.Series("timestamp", [], dtype=given)).dtype
        if "dates" in self.times and len(self.times) > 1:
            other = next(kind for kind in self.times if kind != "dates")
            raise InputError(
                f"'{self.times['dates']}' has dates as timestamps, and '{self.times[other]}' has {other}. Convert all "
                "to one kind."
            )
        if len(self.zones) > 1:
            raise InputError(
                f"Some timestamps have a time zone (first in '{self.zones[True]}') and some have none (first in "
                f"'{self.zones[False]}'). Give all of them one, or none for UTC."
            )
        if "dates" in self.times:
            return pl.Datetime("us")
        return pl.Float64() if "numbers" in self.times else pl.Int64()


def with_place(path: Path, start: int, read: Callable[[], Any]) -> Any:
    """Name the file, and the row where a batch begins, in the errors of reading it."""
    try:
        return read()
    except InputError as error:
        counted = f", rows counted from {start + 1:,}" if start else ""
        raise InputError(f"In '{path}'{counted}: {error}") from error

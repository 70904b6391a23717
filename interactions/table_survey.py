"""Read a table of interactions of any size in batches that all have the same columns and types.

What only all rows together tell, such as the type of a column of text, is found out by a first pass, the survey.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from seqrec.errors import InputError
from seqrec.interactions.column_names import REQUIRED_COLUMNS, possible_columns, renamed
from seqrec.interactions.interactions import require_ids, require_no_nulls, require_no_special_tokens
from seqrec.interactions.one_line import one_line
from seqrec.interactions.table_streams import ParquetTable, TableStream, open_parquet, open_table
from seqrec.interactions.table_types import TableTypes, with_place
from seqrec.interactions.timestamps import parse_timestamps
from seqrec.interactions.user_partitions import Advance

__all__ = ["Survey", "batches", "survey"]

BATCH_ROWS = 1_000_000  # rows of a Parquet file held at once
SAMPLE_ROWS = 100_000  # users drawn to find the bounds of the parts


@dataclass(frozen=True)
class Survey:
    """What a first pass over a table finds out.

    Attributes:
        files: The files that have rows, in order.
        streams: The same, opened.
        num_rows: Their numbers of rows.
        names: Our names of the columns that are used, and the table's.
        schema: The types of these columns, by our names, before they are parsed.
        time_type: The type of the parsed timestamps.
        users: A sample of the users, sorted, as `require_ids` returns them.
    """

    files: list[Path]
    streams: list[TableStream]
    num_rows: list[int]
    names: dict[str, str]
    schema: dict[str, pl.DataType]
    time_type: pl.DataType
    users: pl.Series

    @property
    def other_names(self) -> dict[str, str]:
        """The names of the table's columns that differ from ours."""
        return renamed({name: own for name, own in self.names.items() if name in known_names()})

    def bounds(self, num_parts: int) -> pl.Series:
        """Return the first user of each part but the first, so that parts have about the same number of rows."""
        places = (np.arange(1, num_parts) * len(self.users)) // num_parts
        return self.users[places].unique().sort()


@dataclass
class UserSample:
    """Users of a random sample of the rows, of bounded size."""

    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    drawn: list[pl.Series] = field(default_factory=list)
    num_rows: int = 0

    def add(self, users: pl.Series) -> None:
        """Draw from further rows."""
        self.num_rows += len(users)
        share = min(1.0, SAMPLE_ROWS / self.num_rows)
        self.drawn.append(users.filter(pl.Series(self.random.random(len(users)) < share)))


def survey(
    files: Sequence[Path],
    columns: Mapping[str, str],
    further: Sequence[str],
    advance: Advance = lambda num_rows: None,
) -> Survey:
    """Find the numbers of rows, the columns and their types, and draw a sample of the users.

    Args:
        files: The files of the table.
        columns: Our names of columns, and the table's; see `read_interactions`.
        further: Other columns to read, if the table has them, by the names that they have after the renaming.
        advance: Called with the number of rows of each batch that was read.

    Raises:
        InputError: If a file cannot be read, lacks a column, has other columns than the first one, or its types do not
            fit the others'; if there are no rows, or a user id or a timestamp cannot be used.
    """
    found = TableTypes(columns, further)
    sample, num_rows, used, streams = UserSample(), [], [], []
    for path in files:
        if path.stat().st_size == 0:  # Spark writes these for empty partitions
            continue
        before = sample.num_rows
        stream, batches_of_users = survey_file(path, found)
        for users in batches_of_users:
            sample.add(users)
            advance(len(users))
        if sample.num_rows > before:
            used.append(path)
            streams.append(stream)
            num_rows.append(sample.num_rows - before)
    if not used:
        name = files[0].parent if len(files) > 1 else files[0]
        raise InputError(f"'{name}' has no rows. Give a table with one interaction per row.")
    schema = found.unified()
    drawn = pl.concat([one.rename("user_id").cast(schema["user_id"]) for one in sample.drawn]).drop_nulls()
    return Survey(
        used, streams, num_rows, found.names, schema, found.time_type(schema["timestamp"]), require_ids(drawn).sort()
    )


def survey_file(path: Path, found: TableTypes) -> tuple[TableStream, Iterator[pl.Series]]:
    """Open a file, and return its users in batches; when these have been read, its types are noted."""
    table = open_table(path, found.text_columns)
    if not isinstance(table, ParquetTable):
        return table, users_of_text(path, table, found)
    head = pl.DataFrame(schema=table.schema)
    if table.file.metadata.num_rows == 0:
        return table, iter(())
    found.add_columns(path, table.schema)
    own, time = found.own("user_id", head.columns), found.own("timestamp", head.columns)
    return table, users_of_parquet(path, found, own, time if table.schema[time] == pl.String else None)


def users_of_text(path: Path, table: TableStream, found: TableTypes) -> Iterator[pl.Series]:
    """Yield the users of a text file, and note its types if it has rows."""
    found.require_columns(path, table.columns)
    num_rows = 0
    for users in table.users(found.own("user_id", table.columns)):
        num_rows += len(users)
        yield users
    if num_rows == 0:
        return
    found.add_columns(path, table.schema)
    time = found.own("timestamp", table.columns)
    if table.schema[time] == pl.String:
        for times in table.users(time):
            found.add_times(path, times)


def users_of_parquet(path: Path, found: TableTypes, own: str, time: str | None) -> Iterator[pl.Series]:
    """Yield the users of a Parquet file, and note the kind of its timestamps if they are text."""
    for batch in parquet_batches(path, [own] if time is None else [own, time]):
        if time is not None:
            found.add_times(path, batch[time])
        yield batch[own]


def batches(table: Survey) -> Iterator[pl.DataFrame]:
    """Read a table in batches of our columns, parsed and checked like `read_interactions`, in the order of the rows.

    Raises:
        InputError: If a file cannot be read or has changed, or ids or timestamps are unusable; the message names it.
    """
    for path, stream, expected in zip(table.files, table.streams, table.num_rows, strict=True):
        place = 0
        for batch in file_batches(path, stream, list(table.names.values())):
            yield with_place(path, place, partial(parsed, batch, table))
            place += batch.height
        if place != expected:
            raise InputError(
                f"'{path}' had {expected:,} rows at first and {place:,} later. Prepare the data when nothing else "
                "writes to them."
            )


def parsed(batch: pl.DataFrame, table: Survey) -> pl.DataFrame:
    """Rename the columns of a batch, convert them to the types of the whole table, and check ids and timestamps."""
    found = batch.select(pl.col(own).alias(name) for name, own in table.names.items())
    for name in REQUIRED_COLUMNS:
        require_no_nulls(found[name])
    found = found.cast(pl.Schema(table.schema))
    found = found.with_columns(
        require_ids(found["user_id"]),
        require_ids(found["item_id"]).cast(pl.String),
        parse_timestamps(found["timestamp"]).cast(table.time_type),
    )
    require_no_special_tokens(found["item_id"])
    return found


def file_batches(path: Path, stream: TableStream, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
    """Read columns of a file in batches, of a Parquet file no others."""
    return parquet_batches(path, columns) if isinstance(stream, ParquetTable) else stream.batches()


def parquet_batches(path: Path, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
    """Read columns of a Parquet file in batches.

    Raises:
        InputError: If the file is damaged.
    """
    file: pq.ParquetFile = open_parquet(path)
    rows = file.iter_batches(BATCH_ROWS, columns=list(columns))
    while True:
        try:
            batch = next(rows, None)
        except (OSError, ValueError) as error:  # ArrowInvalid is a ValueError
            raise InputError(f"'{path}' is damaged: {one_line(error)}. Write it again.") from error
        if batch is None:
            return
        table = pl.from_arrow(batch)
        assert isinstance(table, pl.DataFrame)
        yield table


def known_names() -> tuple[str, ...]:
    """Return our names of columns that tables may name differently."""
    return tuple(possible_columns(None))

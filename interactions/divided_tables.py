"""A table of interactions of any size, divided by users into parts that fit in memory, sorted and with items as codes.

The parts are Arrow files that are mapped into memory, so that passes over some columns are fast.

Shape suffix: N interactions.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
import pyarrow as pa

from seqrec.interactions.column_names import REQUIRED_COLUMNS
from seqrec.interactions.derived_labels import derive_labels
from seqrec.interactions.impressions import divide_impressions
from seqrec.interactions.interactions import drop_duplicates, sort_interactions
from seqrec.interactions.seconds import count_units
from seqrec.interactions.table_survey import Survey, batches
from seqrec.interactions.user_partitions import Advance
from seqrec.interactions.whole_files import whole_file
from seqrec.interactions.work_folder import Work

__all__ = [
    "Divided",
    "SortedPart",
    "by_user",
    "divide_table",
    "part_name",
    "read_arrow",
    "sort_part",
    "write_arrow",
]


@dataclass(frozen=True)
class Divided:
    """What is known of a table after it was divided.

    Attributes:
        parts: Names of the parts' files, in the order of their users.
        num_rows: Rows in all of them.
        units: Numbers of timestamps by unit; see `count_units`.
    """

    parts: list[str]
    num_rows: int
    units: dict[str, int]


@dataclass(frozen=True)
class SortedPart:
    """What is known of a part after it was sorted.

    Attributes:
        events: Name of the file of events.
        impressions: Name of the file of impressions; None without any.
        num_read: Rows of events, before repeats were dropped.
        num_events: Rows of events.
        num_impressions: Rows of impressions.
    """

    events: str
    impressions: str | None
    num_read: int
    num_events: int
    num_impressions: int


def divide_table(
    work: Work,
    table: Survey,
    num_parts: int,
    derive: Sequence[str] | None,
    advance: Advance = lambda num_rows: None,
) -> tuple[Divided, pl.Series]:
    """Write the rows of a table to parts by ranges of user ids, each in the order of the table.

    The columns of a part are `user_id`, `item_id` (code, UInt32), `timestamp` and the further ones of the survey; also
    labels that are derived.

    Args:
        work: Where to write.
        table: The table.
        num_parts: The number of parts; fewer are written if there are fewer users.
        derive: Labels to derive; see `derive_labels`.
        advance: Called with the number of rows of each batch that was divided.

    Returns:
        The parts, and the raw ids of the items (text), by their codes.

    Raises:
        InputError: If the table cannot be read, or ids or timestamps are unusable.
    """
    bounds = table.bounds(num_parts)
    items = pl.Categories.random()
    alive = pl.Series([], dtype=pl.Categorical(items))  # polars forgets the codes of categories without a column
    units: dict[str, int] = {}
    writers: dict[int, pa.RecordBatchFileWriter] = {}
    num_rows = 0
    with ExitStack() as stack:
        for batch in batches(table):
            labelled = derive_labels(batch, derive)
            coded = labelled.with_columns(pl.col("item_id").cast(pl.Categorical(items)).to_physical())
            if batch.schema["timestamp"].is_numeric():
                counts = count_units(batch["timestamp"].cast(pl.Float64).to_numpy())
                units = {unit: units.get(unit, 0) + counts.get(unit, 0) for unit in {**units, **counts}}
            num_rows += len(batch)
            for part, rows in by_user(coded, bounds):
                if part not in writers:
                    sink = stack.enter_context(pa.OSFile(str(work.path(part_name("rows", part))), "wb"))
                    writers[part] = stack.enter_context(pa.ipc.new_file(sink, rows.schema))
                writers[part].write_table(rows)
            advance(len(batch))
    parts = [part_name("rows", part) for part in sorted(writers)]
    item_ids = items.to_series().rename("item_id")
    del alive
    return Divided(parts, num_rows, units), item_ids


def part_name(kind: str, part: int) -> str:
    """Name the file of a part."""
    return f"{kind}-{part:05d}.arrow"


def by_user(table: pl.DataFrame, bounds: pl.Series) -> Iterator[tuple[int, pa.Table]]:
    """Divide rows by their users; yield the index of each part that has rows, and its rows in the given order."""
    if len(bounds) == 0:
        yield 0, table.to_arrow()
        return
    part_N = bounds.search_sorted(table["user_id"], side="right").to_numpy()
    order_N = np.argsort(part_N, kind="stable")
    rows, ends = table[order_N].to_arrow(), np.bincount(part_N).cumsum()
    starts = np.concatenate([[0], ends[:-1]])
    for part in np.flatnonzero(ends > starts).tolist():
        yield part, rows.slice(int(starts[part]), int(ends[part] - starts[part]))


def sort_part(
    work: Work, name: str, rows: pl.DataFrame, columns: Sequence[str], duplicates: Literal["keep", "first", "last"]
) -> SortedPart:
    """Sort a part by user and time, separate its impressions, drop repeats, and write what is left.

    Args:
        work: Where to write.
        name: Name of the part.
        rows: Its rows, in the order of the table.
        columns: The event columns; see `separate_impressions`.
        duplicates: "keep", "first" or "last" interaction of a user with an item.
    """
    table = sort_interactions(rows)
    read, shown = divide_impressions(table, columns)
    events = read if duplicates == "keep" else drop_duplicates(read, keep=duplicates)
    events_name, shown_name = name.replace("rows", "events"), name.replace("rows", "impressions")
    write_arrow(events, work.path(events_name))
    if shown is not None:
        write_arrow(shown.select(REQUIRED_COLUMNS), work.path(shown_name))
    return SortedPart(
        events_name, None if shown is None else shown_name, len(read), len(events), 0 if shown is None else len(shown)
    )


def write_arrow(table: pl.DataFrame, path: Path) -> None:
    """Write an Arrow file of one batch, atomically."""
    with whole_file(path) as new, pa.OSFile(str(new), "wb") as sink:
        rows = table.to_arrow().combine_chunks()
        with pa.ipc.new_file(sink, rows.schema) as writer:
            writer.write_table(rows)


def read_arrow(path: Path, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """Map columns of an Arrow file into memory."""
    options = None if columns is None else column_options(path, columns)
    with pa.memory_map(str(path)) as source:
        table = pl.from_arrow(pa.ipc.open_file(source, options=options).read_all())
    assert isinstance(table, pl.DataFrame)
    return table


def column_options(path: Path, columns: Sequence[str]) -> pa.ipc.IpcReadOptions:
    """Return the options to read only some columns of an Arrow file."""
    with pa.memory_map(str(path)) as source:
        schema = pa.ipc.open_file(source).schema
    return pa.ipc.IpcReadOptions(included_fields=[schema.get_field_index(name) for name in columns])

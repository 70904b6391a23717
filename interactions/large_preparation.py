"""Prepare interactions of any size as a prepared set, with bounded memory; after an interruption, go on from there.

The table is divided by users into parts that fit in memory. What all parts together decide (the vocabulary, filters,
cut-off times, the hash of the split) is counted part by part, so that the set is that of `prepare`, in several shards.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from tqdm.auto import tqdm

from seqrec.errors import InputError
from seqrec.interactions.data_arguments import DataArguments
from seqrec.interactions.derived_labels import parse_derivation
from seqrec.interactions.divided_encoding import Encoding, encode_shard
from seqrec.interactions.divided_files import Places, divide_files, read_places, remove_pieces
from seqrec.interactions.divided_splits import hash_split, split_events
from seqrec.interactions.divided_tables import Divided, SortedPart, divide_table, read_arrow, sort_part, write_arrow
from seqrec.interactions.divided_vocabulary import DividedItems, prepared_items, read_own_items
from seqrec.interactions.history_files import HISTORIES, shard_name
from seqrec.interactions.impressions import report_unused, require_events_beside
from seqrec.interactions.item_tables import warn_of_untitled
from seqrec.interactions.kept_events import KeptEvents, Totals, totals_of, warn_of_ids
from seqrec.interactions.large_protocol import RowCounts, empty_sequences, protocol_of_divided
from seqrec.interactions.large_sources import LargeSource, find_source
from seqrec.interactions.official_splits import outside_gaps
from seqrec.interactions.preparation import report_filters, require_read_texts
from seqrec.interactions.prepared_fit import require_rows
from seqrec.interactions.prepared_sets import PreparedData, find_prepared
from seqrec.interactions.sequences import further
from seqrec.interactions.splitting import PARTS
from seqrec.interactions.table_survey import survey
from seqrec.interactions.timestamps import warn_of_units
from seqrec.interactions.work_folder import Work, require_space, stamp, work_folder
from seqrec.interactions.workers import Workers, run_steps

__all__ = ["ROWS_IN_MEMORY", "LargeSet", "large_source", "prepare_large"]

ROWS_IN_MEMORY = 5_000_000  # more than these are divided
ROWS_PER_PART = 2_000_000
MOST_PARTS = 500  # files open at once
ROW_BYTES, COLUMN_BYTES = 40, 8  # on disk for a row, and for each further column of it
BAR_DELAY = 0.5  # seconds
SET = "set"  # the folder of the finished shards

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LargeSet:
    """What was written: the rows of each part of the split, the number of items, and what became of the rows read."""

    num_rows: dict[str, int]
    num_items: int
    counts: RowCounts


def large_source(arguments: DataArguments) -> LargeSource | None:
    """Return the files of a table that is too large to be prepared in memory; None for any other data.

    Raises:
        InputError: See `find_source`.
    """
    dataset = arguments.dataset
    if dataset is None or arguments.streaming or (Path(dataset).exists() and find_prepared(dataset) is not None):
        return None
    source = find_source(dataset)
    return source if source is not None and source.num_rows > ROWS_IN_MEMORY else None


def prepare_large(
    arguments: DataArguments,
    source: LargeSource,
    output: str | Path,
    *,
    event_columns: Sequence[str] = (),
    name: str | None = None,
    progress: bool = False,
    rows_per_part: int = ROWS_PER_PART,
    workers: Workers | None = None,
) -> LargeSet:
    """Prepare interactions of any size; the set is equal to that of `prepare`.

    Intermediate files lie in the folder `<output>.parts` until the set is complete. The same call after an interruption
    goes on with the first part that is missing. In memory are one part at a time, and the items.

    Args:
        arguments: Which data to use, and how to split them.
        source: The files of the data.
        output: A new or empty folder.
        event_columns: See `prepare`.
        name: Name of the set on its card; see `PreparedData.save`.
        progress: Whether to show progress bars.
        rows_per_part: Interactions of a part.
        workers: Workers that divide the table file by file, sort the parts and encode them; see `find_workers`. They
            and this process, which counts in between, share the folder of the output and the files of the data. The
            set is the same, to the byte.

    Raises:
        InputError: If the data cannot be used (see `prepare`), the disk has too little space, `<output>.parts` holds
            the work of another call, or one that is running, or workers die again and again.
    """
    require_read_texts(arguments, None)
    source = replace(source, files=[path.resolve() for path in source.files])
    plan = {
        "files": [stamp(path) for path in source.files],
        "settings": asdict_of(arguments),
        "event_columns": list(event_columns),
        "rows_per_part": rows_per_part,
        "by_file": workers is not None,
    }
    own_items = read_own_items(arguments, source)
    show = partial(tqdm, delay=BAR_DELAY, disable=not progress)
    with work_folder(Path(f"{output}.parts").resolve(), plan) as work:
        divided, columns, items = divide(work, arguments, source, event_columns, rows_per_part, show, workers)
        parts = sort_parts(work, divided, arguments, event_columns, show, workers)
        warn_of_units(divided.units)
        warn_of_ids(work, parts, items)
        if own_items is not None:
            warn_of_untitled(items, own_items)
        events = KeptEvents(work, parts, len(items))
        totals = filter_events(events, arguments)
        counts, cut_offs = split_events(events, totals, arguments)
        encoding = Encoding.of(events, totals, counts, event_columns, cut_offs)
        prepared = prepared_items(DividedItems(items, counts), own_items, arguments)
        shards = encode_parts(encoding, show, workers)
        rows = RowCounts.of(divided, parts, totals, events.num_left_out)
        sizes = dict(zip(PARTS, sum_of(shards, "num_rows"), strict=True))
        protocol = protocol_of_divided(
            source,
            arguments,
            totals,
            hash_split(events, counts.num_parts, items),
            rows,
            sum_of(shards, "num_impressions"),
            columns,
        )
        require_rows(sizes, protocol, ("validation", "test"))
        if encoding.shown_are_whole is not None:
            report_unused(rows.num_impressions, *sum_of(shards, "unused"))
        first = work.path(SET) / shard_name(HISTORIES, 0, len(parts))
        data = PreparedData(
            empty_sequences(first, has_impressions=encoding.shown_are_whole is not None),
            prepared.tokenizer,
            prepared.catalogue,
            protocol,
            prepared.features,
            prepared.feature_values,
        )
        with data.saving(output, name=name, num_shards=len(parts)) as folder:
            for path in sorted(work.path(SET).iterdir()):
                path.rename(folder / path.name)
    return LargeSet(sizes, len(prepared.catalogue), rows)


def asdict_of(arguments: DataArguments) -> dict[str, Any]:
    """Return what determines a set, with the stamp of the table of items."""
    settings = asdict(arguments)
    if arguments.items is not None and Path(arguments.items).is_file():
        settings["items"] = stamp(Path(arguments.items))
    return settings


def sum_of(shards: Sequence[Mapping[str, list[int]]], name: str) -> list[int]:
    """Add up the numbers of all shards."""
    return np.sum([shard[name] for shard in shards], axis=0).tolist()


def divide(
    work: Work,
    arguments: DataArguments,
    source: LargeSource,
    event_columns: Sequence[str],
    rows_per_part: int,
    show: Callable[..., Any],
    workers: Workers | None,
) -> tuple[Divided, dict[str, str], pl.Series]:
    """Divide the table, unless that has been done.

    Returns:
        The parts, the names of the table's columns that differ from ours, and the raw ids of the items by their codes.
    """
    done = work.read("divided")
    if done is None:
        derived_from = [parse_derivation(text).column for text in arguments.derive or ()]
        wanted = [*dict.fromkeys([*further(event_columns), *derived_from])]
        with show(total=source.num_rows, desc="Reading", unit=" rows", unit_scale=True) as bar:
            table = survey(source.files, arguments.columns, wanted, bar.update)
        num_rows = sum(table.num_rows)
        row_bytes = ROW_BYTES + COLUMN_BYTES * len(table.names) + length_of_ids(table.users)
        require_space(work.folder, num_rows * row_bytes * (1 if workers is None else 2))
        num_parts = min(-(-num_rows // rows_per_part), MOST_PARTS)
        with show(total=num_rows, desc="Dividing", unit=" rows", unit_scale=True) as bar:
            if workers is None:
                divided, items = divide_table(work, table, num_parts, arguments.derive, bar.update)
            else:
                divided, items = divide_files(work, table, num_parts, arguments.derive, workers, bar.update)
        write_arrow(items.to_frame(), work.path("items.arrow"))
        done = {"divided": asdict(divided), "columns": table.other_names}
        work.write("divided", done)
    return Divided(**done["divided"]), done["columns"], read_arrow(work.path("items.arrow"))["item_id"]


def length_of_ids(users: pl.Series) -> int:
    """Return the mean length of ids that are text, 0 for integers."""
    return round(float(users.str.len_bytes().mean() or 0)) if users.dtype == pl.String else 0  # type: ignore[arg-type]


def sort_parts(
    work: Work,
    divided: Divided,
    arguments: DataArguments,
    event_columns: Sequence[str],
    show: Callable[..., Any],
    workers: Workers | None,
) -> list[SortedPart]:
    """Sort the parts that are not yet sorted; check that no row is lost.

    Raises:
        InputError: If there are no events.
    """
    places = work.read("places") or {}
    todo = [(name, places.get(name)) for name in divided.parts if work.read(f"sorted-{name}") is None]
    sorting = Sorting(work, event_columns, arguments.duplicates)
    for name in show(run_steps(workers, sorting, todo, work.folder), desc="Sorting", unit="part", total=len(todo)):
        work.path(name).unlink(missing_ok=True)
    remove_pieces(work)
    found = [SortedPart(**work.read(f"sorted-{name}")) for name in divided.parts]
    if sum(part.num_read + part.num_impressions for part in found) != divided.num_rows:
        raise InputError(f"Rows were lost in '{work.folder}'. Remove the folder, and prepare the data again.")
    require_events_beside(sum(part.num_events for part in found), divided.num_rows)
    return found


@dataclass(frozen=True)
class Sorting:
    """Sorts a part of the table, which is a file or lies in the pieces of workers; returns its name."""

    work: Work
    event_columns: Sequence[str]
    duplicates: Literal["keep", "first", "last"]

    def __call__(self, task: tuple[str, Places | None]) -> str:
        name, places = task
        rows = read_arrow(self.work.path(name)) if places is None else read_places(self.work, places)
        self.work.write(f"sorted-{name}", asdict(sort_part(self.work, name, rows, self.event_columns, self.duplicates)))
        return name


def filter_events(events: KeptEvents, arguments: DataArguments) -> Totals:
    """Drop interactions in gaps, and rare users and items, as the arguments say, and log how many.

    Repeats have been dropped before.
    """
    num_read = sum(part.num_read for part in events.parts)
    repeats = num_read - sum(part.num_events for part in events.parts)
    minimums = (arguments.min_user_interactions, arguments.min_item_interactions)
    is_kept = outside_gaps(arguments)
    before = totals_of(events) if repeats or max(minimums) > 1 or is_kept is not None else None
    if is_kept is not None:
        events.keep(is_kept)
    if max(minimums) > 1:
        events.keep_k_core(*minimums)
    totals = totals_of(events) if before is None or max(minimums) > 1 or is_kept is not None else before
    if before is not None and sum(totals.num_events) < num_read:
        report_filters(
            (num_read, sum(before.num_users), before.num_items),
            (sum(totals.num_events), sum(totals.num_users), totals.num_items),
            repeats,
        )
    return totals


def encode_parts(encoding: Encoding, show: Callable[..., Any], workers: Workers | None) -> list[dict[str, list[int]]]:
    """Write the shards that are not yet written."""
    work, num_shards = encoding.events.work, len(encoding.events.parts)
    work.path(SET).mkdir(exist_ok=True)
    todo = [index for index in range(num_shards) if not is_encoded(work, index, num_shards)]
    for _ in show(
        run_steps(workers, Encoder(encoding), todo, work.folder), desc="Encoding", unit="part", total=len(todo)
    ):
        pass
    return [work.read(shard_step(index)) for index in range(num_shards)]


@dataclass(frozen=True)
class Encoder:
    """Writes the shard of a part; see `encode_shard`."""

    encoding: Encoding

    def __call__(self, index: int) -> None:
        work = self.encoding.events.work
        work.write(shard_step(index), encode_shard(self.encoding, index, work.path(SET)))


def is_encoded(work: Work, index: int, num_shards: int) -> bool:
    """Return whether a shard is written."""
    histories = work.path(SET) / shard_name(HISTORIES, index, num_shards)
    return work.read(shard_step(index)) is not None and histories.exists()


def shard_step(index: int) -> str:
    """Name the step that writes a shard."""
    return f"shard-{index:05d}"

"""Split a divided table exactly as the table in one piece would be, and count what the vocabulary needs.

Shape suffixes: N events of a part, I items.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from seqrec.interactions.data_arguments import DataArguments
from seqrec.interactions.divided_tables import read_arrow, write_arrow
from seqrec.interactions.kept_events import LONG, KeptEvents, Totals, codes_of
from seqrec.interactions.official_splits import official_cut_offs, require_all_parts
from seqrec.interactions.splitting import (
    at_even_steps,
    by_cut_offs,
    by_place,
    divide,
    log_newcomers,
    newcomers,
    num_latest,
    require_fractions,
    require_long_histories,
    require_nonempty,
    require_validation_users,
    split_sha256,
)
from seqrec.interactions.timestamps import are_whole, unit_of_column

__all__ = ["ItemCounts", "hash_split", "latest", "part_file", "split_events"]

DIGIT = 16  # bits by which candidates are narrowed down in a pass


def part_file(index: int) -> str:
    """Name the file with the part of each event of a divided table's part."""
    return f"split-{index:05d}.npy"


@dataclass
class ItemCounts:
    """What the vocabulary is ordered by, for each item code.

    Attributes:
        num_train_I: Training events.
        first_train_I: Place of the first one among all training events; a large number without any.
        first_I: Place of the first event among all of them.
        num_parts: Events by part of the split.
        is_whole: Whether all times are whole seconds.
    """

    num_train_I: np.ndarray
    first_train_I: np.ndarray
    first_I: np.ndarray
    num_parts: np.ndarray
    is_whole: bool = True

    @classmethod
    def of_none(cls, num_items: int) -> "ItemCounts":
        """Return the counts of no events."""
        never = np.iinfo(np.int64).max
        return cls(
            np.zeros(num_items, np.int64),
            np.full(num_items, never),
            np.full(num_items, never),
            np.zeros(3, np.int64),
        )

    def add(self, codes_N: np.ndarray, part_N: np.ndarray) -> None:
        """Count further events."""
        train = codes_N[part_N == 0]
        note_first(self.first_I, codes_N, self.num_parts.sum())
        note_first(self.first_train_I, train, self.num_parts[0])
        self.num_train_I += np.bincount(train, minlength=len(self.num_train_I))
        self.num_parts += np.bincount(part_N, minlength=3)

    def in_order(self) -> np.ndarray:
        """Return the codes in the order of `ItemTokenizer.from_interactions`, with all items that occur."""
        of_train = np.flatnonzero(self.num_train_I)
        of_train = of_train[np.lexsort((self.first_train_I[of_train], -self.num_train_I[of_train]))]
        others = np.flatnonzero((self.num_train_I == 0) & (self.first_I < np.iinfo(np.int64).max))
        return np.concatenate([of_train, others[np.argsort(self.first_I[others])]])


def note_first(first_I: np.ndarray, codes_N: np.ndarray, start: int) -> None:
    """Lower the first places of items by those of further events, which begin at `start`."""
    place_I = np.full(len(first_I), np.iinfo(np.int64).max)
    place_I[codes_N[::-1]] = np.arange(start + len(codes_N) - 1, start - 1, -1)  # of repeats, the last one stays
    np.minimum(first_I, place_I, out=first_I)


def split_events(events: KeptEvents, totals: Totals, arguments: DataArguments) -> tuple[ItemCounts, list[Any] | None]:
    """Split the kept events of all parts, write the part of each, and count.

    Returns:
        The counts, and the cut-off times; None for a split without them.

    Raises:
        InputError: See `leave_one_out`, `temporal` and `official_split`.
    """
    by_time = arguments.split_method != "leave_one_out"
    cut_offs = cut_offs_of(events, totals, arguments) if by_time else None
    rule = by_place(validating_users(events, totals, arguments)) if cut_offs is None else by_cut_offs(*cut_offs)
    counts, unit = ItemCounts.of_none(events.num_items), unit_of_column(totals.times)
    new = np.zeros(2, np.int64)
    for index, table in enumerate(events.tables("user_id", "item_id", "timestamp")):
        split = divide(table, rule)
        np.save(events.work.path(part_file(index)), split.part_N.astype(np.int8))
        counts.add(codes_of(table), split.part_N)
        counts.is_whole &= are_whole(table["timestamp"], unit)
        new += newcomers(split)
    if arguments.split_method == "official":
        require_all_parts(counts.num_parts, arguments.dataset)
    elif cut_offs is not None:
        require_nonempty(counts.num_parts, cut_offs)
    if cut_offs is not None:
        log_newcomers(*new.tolist())
    return counts, cut_offs


def cut_offs_of(events: KeptEvents, totals: Totals, arguments: DataArguments) -> list[Any]:
    """Return the times at which validation and test begin."""
    if arguments.split_method == "official":
        return list(official_cut_offs(arguments.dataset).starts)
    require_fractions(arguments.validation_fraction, arguments.test_fraction)
    places = num_latest(sum(totals.num_events), arguments.validation_fraction, arguments.test_fraction)
    return latest(lambda: (table["timestamp"] for table in events.tables("timestamp")), places)


def validating_users(events: KeptEvents, totals: Totals, arguments: DataArguments) -> pl.Series | None:
    """Return the users whose second-to-last event is for validation; None for all with enough events."""
    require_validation_users(arguments.validation_users)
    require_long_histories(totals.num_long, sum(totals.num_users))
    if arguments.validation_users is None:
        return None
    long = [
        table["user_id"].rle().struct.unnest().filter(pl.col("len") >= LONG)["value"]
        for table in events.tables("user_id")
    ]
    return at_even_steps(pl.concat(long).rename("user_id"), arguments.validation_users)


def latest(times: Callable[[], Iterator[pl.Series]], places: tuple[int, ...]) -> list[Any]:
    """Return the values that, from the end, have the given places in the sorted column of all times.

    Each pass narrows the candidates down by some bits, so that memory is bounded.

    Args:
        times: Returns the column, in pieces.
        places: The places, 1 for the latest.
    """
    return [latest_one(times, place) for place in places]


def latest_one(times: Callable[[], Iterator[pl.Series]], place: int) -> Any:
    """Return the value that has a place; see `latest`."""
    low = 0
    for shift in range(64 - DIGIT, -1, -DIGIT):
        counts, above = np.zeros(2**DIGIT, np.int64), low >> (shift + DIGIT)
        for keys in map(keys_of, times()):
            leading = keys >> np.uint64(shift)
            if shift + DIGIT < 64:
                leading = leading[leading >> np.uint64(DIGIT) == np.uint64(above)]
            counts += np.bincount((leading & np.uint64(2**DIGIT - 1)).astype(np.int64), minlength=2**DIGIT)
        from_end = counts[::-1].cumsum()
        digit = int(2**DIGIT - 1 - np.searchsorted(from_end, place))
        place -= int(from_end[2**DIGIT - 1 - digit] - counts[digit])
        low |= digit << shift
    for one in times():
        found = one.filter(pl.Series(keys_of(one) == np.uint64(low)))
        if len(found):
            return found[0]
    raise AssertionError("the value has been counted, but is not there")


def keys_of(times: pl.Series) -> np.ndarray:
    """Return unsigned integers in the order of the times."""
    numbers = times.to_physical().to_numpy()
    bits = (numbers + 0.0 if numbers.dtype.kind == "f" else numbers.astype(np.int64)).view(np.int64)  # no -0.0
    sign = np.uint64(1 << 63)
    if numbers.dtype.kind != "f":
        return bits.view(np.uint64) ^ sign
    return np.where(bits < 0, ~bits.view(np.uint64), bits.view(np.uint64) | sign)


def hash_split(events: KeptEvents, num_parts: np.ndarray, item_ids: pl.Series) -> str:
    """Return the hash of the split; see `Split.sha256`.

    Args:
        events: The kept events, after `split_events`.
        num_parts: Their number in each part of the split.
        item_ids: The raw ids of the items, by their codes.
    """
    files = hashed_files(events)

    def rows_of(part: int) -> Iterator[pl.DataFrame]:
        for table in files():
            rows = table.filter(part=part)
            yield rows.select(pl.col("user_id").cast(pl.String), item_id=item_ids.gather(rows["item_id"]))

    return split_sha256(num_parts.tolist(), rows_of)


def hashed_files(events: KeptEvents) -> Callable[[], Iterator[pl.DataFrame]]:
    """Return passes over users, item codes and parts of the split, ordered by the users' ids as text."""

    def as_they_are() -> Iterator[pl.DataFrame]:
        for index, table in enumerate(events.tables("user_id", "item_id")):
            yield table.with_columns(part=pl.Series(np.load(events.work.path(part_file(index)))))

    first = read_arrow(events.work.path(events.parts[0].events), ["user_id"])
    if first.schema["user_id"] == pl.String:
        return as_they_are
    names = by_text(events, as_they_are)
    return lambda: (read_arrow(events.work.path(name)) for name in names)


def by_text(events: KeptEvents, tables: Callable[[], Iterator[pl.DataFrame]]) -> list[str]:
    """Divide rows again, by ranges of the users' ids as text, and sort by them; return the names of the files."""
    bounds = text_bounds(events)
    writers: dict[int, pa.RecordBatchFileWriter] = {}
    names = [f"text-{index:05d}.arrow" for index in range(len(bounds) + 1)]
    with ExitStack() as stack:
        for table in tables():
            range_N = bounds.search_sorted(table["user_id"].cast(pl.String), side="right").to_numpy()
            for index in np.unique(range_N).tolist():
                rows = table.filter(pl.Series(range_N == index)).to_arrow()
                if index not in writers:
                    sink = stack.enter_context(pa.OSFile(str(events.work.path(names[index])), "wb"))
                    writers[index] = stack.enter_context(pa.ipc.new_file(sink, rows.schema))
                writers[index].write_table(rows)
    for path in (events.work.path(names[index]) for index in writers):
        write_arrow(read_arrow(path).sort(pl.col("user_id").cast(pl.String), maintain_order=True), path)
    return [names[index] for index in sorted(writers)]


def text_bounds(events: KeptEvents) -> pl.Series:
    """Return ids as text that divide the users into about as many ranges as there are parts."""
    some = [table["user_id"].unique().gather_every(max(1, len(table) // 1000)) for table in events.tables("user_id")]
    texts, num_parts = pl.concat(some).cast(pl.String).sort(), len(events.parts)
    return texts[(np.arange(1, num_parts) * len(texts)) // num_parts].unique().sort()

"""Encode a divided table as the shards of a prepared set, exactly as the table in one piece would be.

Shape suffix: I items.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from seqrec.errors import InputError
from seqrec.interactions.column_names import REQUIRED_COLUMNS
from seqrec.interactions.divided_splits import ItemCounts, part_file
from seqrec.interactions.divided_tables import read_arrow
from seqrec.interactions.histories import Histories
from seqrec.interactions.history_files import write_sequences
from seqrec.interactions.impressions import (
    IMPRESSION_PARTS,
    OTHER_UNIT,
    PlacedImpressions,
    place_impressions,
    with_placed,
)
from seqrec.interactions.item_rows import token_ids_of
from seqrec.interactions.kept_events import KeptEvents, Totals, codes_of
from seqrec.interactions.sequences import histories_of, views_of_parts
from seqrec.interactions.special_tokens import UNK_ID
from seqrec.interactions.splitting import PARTS
from seqrec.interactions.timestamps import are_whole, in_seconds, unit_of_column

__all__ = ["Encoding", "encode_shard"]


@dataclass(frozen=True)
class Encoding:
    """What encodes the events of all parts in the same way.

    Attributes:
        events: The kept events, after they were split.
        totals: What they amount to.
        token_ids_I: Token id of each item code; that of `<|unk|>` for items that do not occur.
        columns: The event columns; see `build_sequences`.
        cut_offs: The times at which validation and test begin, if the split has them.
        times_are_whole: Whether all times of events are whole seconds.
        shown_are_whole: Whether those of impressions are too; None without impressions.
    """

    events: KeptEvents
    totals: Totals
    token_ids_I: np.ndarray
    columns: Sequence[str]
    cut_offs: Sequence[Any] | None
    times_are_whole: bool
    shown_are_whole: bool | None

    @classmethod
    def of(
        cls,
        events: KeptEvents,
        totals: Totals,
        counts: ItemCounts,
        columns: Sequence[str],
        cut_offs: Sequence[Any] | None,
    ) -> "Encoding":
        """Make the encoding for a vocabulary in the order of `counts`.

        Raises:
            InputError: If the times of impressions are of another unit than those of events.
        """
        order = counts.in_order()
        token_ids_I = np.full(events.num_items, UNK_ID, np.int32)
        token_ids_I[order] = token_ids_of(np.arange(len(order)))
        return cls(events, totals, token_ids_I, columns, cut_offs, counts.is_whole, shown_are_whole(events, totals))

    def seconds(self, times: pl.Series, *, whole: bool) -> pl.Series:
        """Convert times to those of histories; see `in_seconds`."""
        return in_seconds(times, unit_of_column(self.totals.times), whole=whole)


def shown_are_whole(events: KeptEvents, totals: Totals) -> bool | None:
    """Return whether the times of all impressions are whole seconds; None without impressions."""
    unit, found = unit_of_column(totals.times), None
    for part in events.parts:
        if part.impressions is not None:
            times = read_arrow(events.work.path(part.impressions), ["timestamp"])["timestamp"]
            if unit_of_column(pl.concat([totals.times, times])) != unit:
                raise InputError(OTHER_UNIT)
            found = are_whole(times, unit) and found is not False
    return found


def encode_shard(encoding: Encoding, index: int, folder: Path) -> dict[str, list[int]]:
    """Write a part of the table as a shard of a prepared set.

    Args:
        encoding: How to encode.
        index: Index of the part.
        folder: Where to write.

    Returns:
        The numbers of rows of the parts of the split, and of the impressions of each part (`num_impressions`) and those
        that cannot be used (`unused`).
    """
    events = encoding.events
    table, part_N = events.table(index), np.load(events.work.path(part_file(index)))
    times = encoding.seconds(table["timestamp"], whole=encoding.times_are_whole)
    log = histories_of(table, encoding.token_ids_I[codes_of(table)], times, encoding.columns)
    sequences, unused = views_of_parts(log, part_N), np.zeros(3, np.int64)
    if encoding.shown_are_whole is not None:
        placed = placed_impressions(encoding, index, log, table)
        sequences, unused = with_placed(sequences, log, part_N, placed, starts_of(encoding))
    write_sequences(
        sequences,
        folder,
        shard=index,
        num_shards=len(events.parts),
        first_history=sum(encoding.totals.num_users[:index]),
    )
    shown = sequences["train"].impressions
    impressions = [] if shown is None else [int(shown.lengths_R.sum())]
    impressions += [len(sequences[name]) for name in IMPRESSION_PARTS[1:] if name in sequences]
    return {
        "num_rows": [len(sequences[name]) for name in PARTS],
        "num_impressions": impressions,
        "unused": unused.tolist(),
    }


def placed_impressions(encoding: Encoding, index: int, log: Histories, table: pl.DataFrame) -> PlacedImpressions:
    """Find the events before each impression of a part."""
    name = encoding.events.parts[index].impressions
    shown = table.select(REQUIRED_COLUMNS).clear() if name is None else read_arrow(encoding.events.work.path(name))
    times_M = encoding.seconds(shown["timestamp"], whole=both_whole(encoding)).to_numpy()
    return place_impressions(shown, times_M, encoding.token_ids_I[codes_of(shown)], log)


def both_whole(encoding: Encoding) -> bool:
    """Return whether the times of events and of impressions are all whole seconds."""
    return encoding.times_are_whole and encoding.shown_are_whole is True


def starts_of(encoding: Encoding) -> list[float] | None:
    """Return when validation and test begin, as times of histories; None for a split without cut-off times."""
    if encoding.cut_offs is None:
        return None
    cut_offs = pl.Series(encoding.cut_offs, dtype=encoding.totals.times.dtype)
    return encoding.seconds(cut_offs, whole=encoding.times_are_whole).to_list()

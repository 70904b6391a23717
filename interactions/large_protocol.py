"""Describe a prepared set that was divided: its protocol, and what became of the rows that were read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from seqrec.errors import InputError
from seqrec.interactions.data_arguments import DataArguments
from seqrec.interactions.described import describe_sizes, protocol_of
from seqrec.interactions.divided_tables import Divided, SortedPart
from seqrec.interactions.histories import Histories
from seqrec.interactions.kept_events import Totals
from seqrec.interactions.large_sources import LargeSource
from seqrec.interactions.splitting import PARTS

__all__ = ["RowCounts", "empty_sequences", "protocol_of_divided"]


@dataclass(frozen=True)
class RowCounts:
    """What became of the rows of a table: they were kept, or dropped for a reason.

    `num_in_gaps` counts those in the gaps of an official split.
    """

    num_read: int
    num_kept: int
    num_impressions: int
    num_repeats: int
    num_rare: int
    num_in_gaps: int = 0

    @classmethod
    def of(cls, divided: Divided, parts: Sequence[SortedPart], totals: Totals, num_in_gaps: int = 0) -> "RowCounts":
        """Count rows.

        Raises:
            InputError: If the counts do not add up.
        """
        events, kept = sum(part.num_events for part in parts), sum(totals.num_events)
        read = sum(part.num_read for part in parts)
        shown = sum(part.num_impressions for part in parts)
        found = cls(divided.num_rows, kept, shown, read - events, events - kept - num_in_gaps, num_in_gaps)
        if found.num_read != kept + shown + found.num_repeats + found.num_rare + num_in_gaps:
            raise InputError("Rows were lost while the table was divided. Remove the .parts folder, and start again.")
        return found

    def describe(self) -> str:
        """Say it in a sentence."""
        reasons = {
            "repeats": self.num_repeats,
            "of users or items below the minimum": self.num_rare,
            "in the gaps of the split": self.num_in_gaps,
        }
        dropped = [f"{count:,} {reason}" for reason, count in reasons.items() if count]
        told = f", dropped {sum(reasons.values()):,} ({', '.join(dropped)})" if dropped else ""
        shown = f", and took {self.num_impressions:,} as impressions" if self.num_impressions else ""
        return f"Read {self.num_read:,} rows: kept {self.num_kept:,}{told}{shown}."


def protocol_of_divided(
    source: LargeSource,
    arguments: DataArguments,
    totals: Totals,
    split_sha256: str,
    rows: RowCounts,
    num_impressions: Sequence[int],
    columns: Mapping[str, str],
) -> dict[str, Any]:
    """Return the protocol, with the entries that `describe` makes of a table in one piece."""
    sizes = describe_sizes(
        num_users=sum(totals.num_users),
        num_items=totals.num_items,
        num_interactions=rows.num_kept,
        num_pairs=totals.num_pairs,
        timestamps=totals.times,
    )
    num_events = rows.num_read - rows.num_impressions
    further = {
        "num_interactions_read": num_events if rows.num_kept < num_events else None,
        "num_impressions": dict(zip(PARTS, num_impressions, strict=True)) if num_impressions else {},
        "dataset_terms": source.terms,
        "columns": dict(columns),
    }
    return protocol_of(source.name, arguments.protocol(), sizes, split_sha256, further)


def empty_sequences(histories: Path, *, has_impressions: bool) -> dict[str, Histories]:
    """Return parts without rows, with the columns of a file of histories, for the card of a set."""
    names, none = pq.read_schema(histories).names, np.zeros(0, np.int64)
    shown = Histories({"impression_ids": none}, none, none) if has_impressions else None
    empty = Histories(dict.fromkeys(names, none), none, none, {}, shown)
    return dict.fromkeys(PARTS, empty)

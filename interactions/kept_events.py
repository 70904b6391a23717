"""The events of a divided table that filters keep, as passes over its parts see them.

Shape suffixes: N events of a part, I items.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import polars as pl

from seqrec.interactions.divided_tables import SortedPart, read_arrow
from seqrec.interactions.interactions import require_rest, require_several
from seqrec.interactions.spellings import may_be_misspelled, warn_of_spellings
from seqrec.interactions.work_folder import Work

__all__ = [
    "LONG",
    "KeptEvents",
    "Totals",
    "codes_of",
    "totals_of",
    "warn_of_ids",
]

LONG = 3  # events of a user from whom leave-one-out holds some out


class KeptEvents:
    """The events of the parts, without those that are dropped.

    Args:
        work: Where the parts are.
        parts: The sorted parts.
        num_items: I, the number of item codes.
    """

    def __init__(self, work: Work, parts: Sequence[SortedPart], num_items: int) -> None:
        self.work, self.parts, self.num_items = work, list(parts), num_items
        self.masks: list[np.ndarray | None] = [None] * len(self.parts)  # packed bits
        self.num_left_out = 0

    def tables(self, *columns: str) -> Iterator[pl.DataFrame]:
        """Yield the kept events of each part, sorted by user and time."""
        return (self.table(index, *columns) for index in range(len(self.parts)))

    def table(self, index: int, *columns: str) -> pl.DataFrame:
        """Return the kept events of a part; all columns if none is named."""
        table = read_arrow(self.work.path(self.parts[index].events), columns or None)
        mask = self.masks[index]
        return table if mask is None else table.filter(pl.Series(np.unpackbits(mask, count=len(table)).astype(bool)))

    def keep(self, condition: pl.Expr) -> None:
        """Drop the events whose timestamp does not meet a condition, before other filters; add to `num_left_out`."""
        for index, part in enumerate(self.parts):
            is_N = read_arrow(self.work.path(part.events), ["timestamp"]).select(condition).to_series().to_numpy()
            self.masks[index] = np.packbits(is_N)
            self.num_left_out += int(np.count_nonzero(~is_N))

    def keep_k_core(self, min_user: int, min_item: int) -> None:
        """Drop users and items with too few events, until the others have enough; see `filter_k_core`.

        Raises:
            InputError: If none remain.
        """
        counts_I = sum(np.bincount(codes_of(table), minlength=self.num_items) for table in self.tables("item_id"))
        assert isinstance(counts_I, np.ndarray)
        before = dropped = counts_I.sum()
        while dropped:
            dropped = sum(self.drop_rare(index, counts_I, min_user, min_item) for index in range(len(self.parts)))
        require_rest(int(counts_I.sum()), int(before), (min_user, min_item))

    def drop_rare(self, index: int, counts_I: np.ndarray, min_user: int, min_item: int) -> int:
        """Drop the rare items of a part, and then its rare users; update the counts, and return how many events."""
        table = read_arrow(self.work.path(self.parts[index].events), ["user_id", "item_id"])
        codes_N, mask = codes_of(table), self.masks[index]
        was_N = np.ones(len(table), bool) if mask is None else np.unpackbits(mask, count=len(table)).astype(bool)
        is_N = was_N & (counts_I[codes_N] >= min_item)
        if min_user > 1 and len(table):
            user_N = table["user_id"].rle_id().to_numpy()
            is_N &= np.bincount(user_N[is_N], minlength=user_N[-1] + 1)[user_N] >= min_user
        lost_N = was_N & ~is_N
        counts_I -= np.bincount(codes_N[lost_N], minlength=self.num_items)
        self.masks[index] = np.packbits(is_N)
        return int(np.count_nonzero(lost_N))


def codes_of(table: pl.DataFrame) -> np.ndarray:
    """Return the item codes of a table."""
    return table["item_id"].to_numpy()


@dataclass(frozen=True)
class Totals:
    """What the kept events of all parts amount to.

    Attributes:
        num_users: The users of each part.
        num_events: The events of each part.
        num_items: Items that occur.
        num_pairs: Pairs of a user and an item that occur.
        num_long: Users with at least three events.
        times: The first and the last timestamp.
    """

    num_users: list[int]
    num_events: list[int]
    num_items: int
    num_pairs: int
    num_long: int
    times: pl.Series


def totals_of(events: KeptEvents) -> Totals:
    """Count the kept events; there must be some."""
    num_users, num_events, ends = [], [], []
    is_present_I = np.zeros(events.num_items, bool)
    num_pairs = num_long = 0
    for table in events.tables("user_id", "item_id", "timestamp"):
        user_N, codes_N = table["user_id"].rle_id().to_numpy().astype(np.int64), codes_of(table)
        lengths_U = np.bincount(user_N)
        num_users.append(len(lengths_U))
        num_events.append(len(table))
        num_pairs += pl.Series(user_N * events.num_items + codes_N).n_unique()
        num_long += int(np.count_nonzero(lengths_U >= LONG))
        is_present_I[codes_N] = True
        if len(table):
            ends.append(table["timestamp"].sort().gather([0, -1]))
    times = pl.concat(ends).sort().gather([0, -1])
    return Totals(num_users, num_events, int(is_present_I.sum()), num_pairs, num_long, times)


def warn_of_ids(work: Work, parts: Sequence[SortedPart], items: pl.Series) -> None:
    """Refuse a single user or item, and warn of ids that are probably the same but spelled differently.

    Args:
        work: Where the parts are.
        parts: The sorted parts.
        items: The raw ids of all items.

    Raises:
        InputError: If there is a single user or item.
    """
    users = partial(users_of_parts, work, parts)
    num_rows = sum(part.num_read + part.num_impressions for part in parts)
    if len(parts) == 1:  # several have several users
        only = next(users()).unique()
        require_several("user_id", len(only), only[0], num_rows)
    require_several("item_id", len(items), items[0], num_rows)
    if any(may_be_misspelled(some) for some in users()):
        warn_of_spellings(pl.concat([some.unique() for some in users()]), "users")
    warn_of_spellings(items, "items")


def users_of_parts(work: Work, parts: Sequence[SortedPart]) -> Iterator[pl.Series]:
    """Yield the users of the events and impressions of each part, with repeats."""
    for part in parts:
        files = [part.events, *([part.impressions] if part.impressions else [])]
        yield pl.concat(
            [read_arrow(work.path(file), ["user_id"])["user_id"].rle().struct.field("value") for file in files]
        )

"""Impressions: items that were shown to users and not chosen, rows of a table whose `click` is 0.

They are no part of histories. The click of an impression is predicted from the events strictly before it.

Shape suffixes: N interactions, U users, M impressions, R rows of a part.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from seqrec.errors import InputError
from seqrec.interactions.events import event_column
from seqrec.interactions.histories import IMPRESSION_IDS, IMPRESSION_PLACES, Histories
from seqrec.interactions.joined_words import joined
from seqrec.interactions.label_columns import is_label
from seqrec.interactions.label_names import CLICK, target_key
from seqrec.interactions.special_tokens import UNK_ID
from seqrec.interactions.splitting import PARTS, Split
from seqrec.interactions.timestamps import to_plain_numbers
from seqrec.interactions.tokenization_items import ItemTokenizer

__all__ = [
    "IMPRESSION_PARTS",
    "OTHER_UNIT",
    "PlacedImpressions",
    "add_impressions",
    "divide_impressions",
    "impressions_of",
    "num_impressions",
    "place_impressions",
    "report_unused",
    "require_events_beside",
    "separate_impressions",
    "with_impressions",
    "with_placed",
]

IMPRESSION_PARTS = tuple(f"{part}_impressions" for part in PARTS)

OTHER_UNIT = (
    "The timestamps of impressions (rows with click = 0) are not in the same unit as those of the events. Convert them "
    "to one unit."
)

logger = logging.getLogger(__name__)


def separate_impressions(
    interactions: pl.DataFrame, columns: Sequence[str]
) -> tuple[pl.DataFrame, pl.DataFrame | None]:
    """Separate events and impressions.

    Args:
        interactions: An interactions table.
        columns: The event columns that a model reads or predicts; without `click`, all rows are events.

    Returns:
        The events, and the impressions; None if there are none.

    Raises:
        InputError: If `click` holds anything but 0, 1 and missing values, or all rows are impressions.
    """
    events, impressions = divide_impressions(interactions, columns)
    require_events_beside(events.height, interactions.height)
    return events, impressions


def divide_impressions(interactions: pl.DataFrame, columns: Sequence[str]) -> tuple[pl.DataFrame, pl.DataFrame | None]:
    """Separate events and impressions as `separate_impressions` does; there may be no events."""
    if CLICK not in columns or CLICK not in interactions.columns or not is_label(CLICK):
        return interactions, None
    is_shown = pl.Series(event_column(CLICK).encode(interactions[CLICK]) == 0, dtype=pl.Boolean)
    if not is_shown.any():
        return interactions, None
    return interactions.filter(~is_shown), interactions.filter(is_shown)


def require_events_beside(num_events: int, num_rows: int) -> None:
    """Refuse a table that has impressions alone."""
    if num_events == 0 and num_rows:
        raise InputError(
            f"All {num_rows:,} rows have click = 0, which are impressions: no item was chosen. Add the rows of clicks, "
            "with click = 1."
        )


@dataclass(frozen=True)
class PlacedImpressions:
    """Impressions with their users' histories.

    Attributes:
        user_M: Row of the user in the histories of all users; -1 for a user without events.
        before_M: Number of the user's events strictly before the impression.
        times_M: When they were shown, like the histories' `timestamps`.
        item_M: Token ids.
    """

    user_M: np.ndarray
    before_M: np.ndarray
    times_M: np.ndarray
    item_M: np.ndarray

    def select(self, which_M: np.ndarray) -> "PlacedImpressions":
        """Select impressions by a mask, or by their indices."""
        return PlacedImpressions(
            self.user_M[which_M], self.before_M[which_M], self.times_M[which_M], self.item_M[which_M]
        )


def times_of_impressions(events: pl.DataFrame, impressions: pl.DataFrame, log: Histories) -> np.ndarray:
    """Return the times of impressions (M,), like the histories' `timestamps`.

    Raises:
        InputError: If they are of another unit than those of the events.
    """
    times = to_plain_numbers(pl.concat([events["timestamp"], impressions["timestamp"]])).to_numpy()
    if not np.array_equal(times[: len(events)], log.columns["timestamps"]):
        raise InputError(OTHER_UNIT)
    return times[len(events) :]


def place_impressions(
    impressions: pl.DataFrame, times_M: np.ndarray, item_M: np.ndarray, log: Histories
) -> PlacedImpressions:
    """Find the events before each impression.

    Args:
        impressions: The table of impressions.
        times_M: Their times, like the histories' `timestamps`.
        item_M: Their token ids, int32.
        log: The histories of all users.
    """
    kind = impressions["user_id"].dtype
    users = pl.DataFrame({"user_id": pl.Series(log["user_id"], dtype=kind)}).with_row_index("row")
    rows = impressions.select("user_id").join(users, on="user_id", how="left", maintain_order="left")["row"]
    user_M = rows.cast(pl.Int64).fill_null(-1).to_numpy()
    times_N = log.columns["timestamps"]
    order = np.unique(np.concatenate([times_N, times_M]), return_inverse=True)[1]
    num_times = len(order) + 1
    key_N = np.repeat(np.arange(len(log)), log.lengths_R) * num_times + order[: len(times_N)]
    if len(log) == 0:
        return PlacedImpressions(user_M, np.zeros(len(user_M), np.int64), times_M, item_M)
    before_M = np.searchsorted(key_N, user_M * num_times + order[len(times_N) :]) - log.starts_R[user_M]
    return PlacedImpressions(user_M, np.where(user_M < 0, 0, before_M), times_M, item_M)


def parts_of(
    placed: PlacedImpressions, part_N: np.ndarray, log: Histories, starts: Sequence[float] | None
) -> np.ndarray:
    """Return the part of each impression (M,), as an index into `PARTS`.

    Args:
        placed: The impressions; those of users without events are in no part that matters.
        part_N: Part of each event.
        log: The histories of all users.
        starts: When validation and test begin, if the split has cut-off times, which then apply to impressions too.
            Otherwise, an impression belongs to the part of its user's next event, and to test if there is none.
    """
    if starts is not None:
        return np.searchsorted(starts, placed.times_M, side="right")
    if len(log) == 0:
        return np.zeros(len(placed.user_M), np.int64)
    following_M = log.starts_R[placed.user_M] + placed.before_M
    is_last_M = placed.before_M >= log.lengths_R[placed.user_M]
    return np.where(is_last_M, PARTS.index("test"), part_N[np.where(is_last_M, 0, following_M)])


def add_impressions(
    sequences: dict[str, Histories],
    log: Histories,
    split: Split,
    impressions: pl.DataFrame,
    tokenizer: ItemTokenizer,
    *,
    by_time: bool,
) -> dict[str, Histories]:
    """Add impressions to the parts of a split, and log how many cannot be used.

    Args:
        sequences: The parts.
        log: The histories of all users.
        split: The split.
        impressions: The table of impressions.
        tokenizer: The catalogue.
        by_time: See `parts_of`.

    Returns:
        The parts: `train` with `impressions`; and for each held-out part also `<part>_impressions`, with one row per
        impression: the events before it, `target`, `target_timestamp` and `target_click`, which is 0.
    """
    times_M = times_of_impressions(split.interactions, impressions, log)
    item_M = tokenizer.encode_item_ids(impressions["item_id"]).astype(np.int32)
    starts = None
    if by_time:
        starts = [log.columns["timestamps"][split.part_N == index].min() for index in (1, 2)]
    placed = place_impressions(impressions, times_M, item_M, log)
    found, unused = with_placed(sequences, log, split.part_N, placed, starts)
    report_unused(len(impressions), *unused)
    return found


def with_placed(
    sequences: dict[str, Histories],
    log: Histories,
    part_N: np.ndarray,
    placed: PlacedImpressions,
    starts: Sequence[float] | None,
) -> tuple[dict[str, Histories], np.ndarray]:
    """Add impressions to the parts of a split; also return how many cannot be used, as `report_unused` takes them.

    Args:
        sequences: The parts.
        log: The histories of all users.
        part_N: Part of each event.
        placed: The impressions.
        starts: See `parts_of`.
    """
    part_M = parts_of(placed, part_N, log, starts)
    num_train_U = np.bincount(np.repeat(np.arange(len(log)), log.lengths_R)[part_N == 0], minlength=len(log))
    is_early_M = placed.before_M == 0
    is_unknown_M = ~is_early_M & (placed.item_M == UNK_ID)
    usable = np.flatnonzero(~is_early_M & ~is_unknown_M & (part_M == 0))  # of users with events
    is_late_M = np.zeros(len(part_M), bool)
    is_late_M[usable] = placed.before_M[usable] >= num_train_U[placed.user_M[usable]]
    unused = np.array([is_early_M.sum(), is_unknown_M.sum(), is_late_M.sum()])
    is_used_M = ~(is_early_M | is_unknown_M | is_late_M)
    found = {
        **sequences,
        "train": with_train_impressions(sequences["train"], log, placed.select(is_used_M & (part_M == 0))),
    }
    for index, name in enumerate(IMPRESSION_PARTS[1:], start=1):
        own = placed.select(is_used_M & (part_M == index))
        own = own.select(np.lexsort((own.times_M, own.user_M)))
        of_users = {column: values_U[own.user_M] for column, values_U in log.rows.items()}
        rows = {
            "target": own.item_M,
            "target_timestamp": own.times_M,
            target_key(CLICK): np.zeros(len(own.item_M), dtype=np.float32),
        }
        found[name] = Histories(log.columns, log.starts_R[own.user_M], own.before_M, {**of_users, **rows})
    return found, unused


def with_train_impressions(train: Histories, log: Histories, placed: PlacedImpressions) -> Histories:
    """Attach impressions to training histories, which begin with their users' first events."""
    return with_impressions(
        train, np.searchsorted(train.starts_R, log.starts_R[placed.user_M]), placed.before_M, placed.item_M
    )


def with_impressions(histories: Histories, row_M: np.ndarray, before_M: np.ndarray, item_M: np.ndarray) -> Histories:
    """Attach impressions to histories.

    Args:
        histories: The histories.
        row_M: Row of each impression.
        before_M: Number of the row's events before it.
        item_M: Token ids.
    """
    order = np.lexsort((before_M, row_M))
    lengths_R = np.bincount(row_M, minlength=len(histories))
    columns = {IMPRESSION_IDS: item_M[order].astype(np.int32), IMPRESSION_PLACES: before_M[order].astype(np.int32)}
    return replace(histories, impressions=Histories(columns, lengths_R.cumsum() - lengths_R, lengths_R))


def impressions_of(histories: Histories) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the impressions of histories, as `with_impressions` takes them."""
    assert histories.impressions is not None
    columns, lengths_R = histories.impressions.compact()
    return np.repeat(np.arange(len(histories)), lengths_R), columns[IMPRESSION_PLACES], columns[IMPRESSION_IDS]


def num_impressions(sequences: Mapping[str, Histories]) -> dict[str, int]:
    """Return the number of impressions of each part; nothing if there are none."""
    if (train := sequences["train"].impressions) is None:
        return {}
    held_out = {part: len(sequences[name]) for part, name in zip(PARTS[1:], IMPRESSION_PARTS[1:], strict=True)}
    return {PARTS[0]: int(train.lengths_R.sum()), **held_out}


def report_unused(num_impressions: int, num_early: int, num_unknown: int, num_late: int) -> None:
    """Log how many impressions are left out, if there are any."""
    reasons = {
        "are before the first event of their user": num_early,
        "show items outside the catalogue": num_unknown,
        "follow the last training event of their user": num_late,
    }
    told = [f"{count:,} {reason}" for reason, count in reasons.items() if count]
    if told:
        logger.warning("Of %s impressions (click = 0), %s; they are left out.", f"{num_impressions:,}", joined(told))

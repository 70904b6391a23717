"""Read requests for recommendations: histories of raw ids, further event columns, and allow and deny lists."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seqrec.errors import InputError
from seqrec.interactions.events import TIME_COLUMNS, event_column
from seqrec.interactions.histories import Histories
from seqrec.interactions.item_sets import ItemSet
from seqrec.interactions.label_columns import is_label
from seqrec.interactions.raw_ids import (
    Encode,
    ItemIds,
    Unknown,
    encode_lists,
    entries_of,
    look_up,
    read_histories,
    require_readable,
)
from seqrec.interactions.special_tokens import UNK_ID
from seqrec.interactions.timed_requests import Unsorted, ask_at, read_event_times, require_unsorted, sort_by_time

__all__ = ["AllowDeny", "Requests", "read_requests", "warn_of_empty"]

AllowDeny = ItemIds | ItemSet | Iterable[ItemIds | ItemSet] | None
ITEMS_ONLY = ("input_ids",)


@dataclass(frozen=True)
class Requests:
    """Requests in token ids.

    Attributes:
        histories: The known items of each history, with the further columns that the model reads.
        unknown_items: The unknown raw ids of each history, which were left out.
        is_single: Whether one history was given, rather than a list of histories.
        allowed: The only items that may be recommended: one array for all histories, or one for each; None for all
            items.
        denied: Items that may not be recommended: one array for all histories, or one for each; None for no items.
        has_zone: Whether the timestamps have a time zone; None if they are numbers, or there are none.
    """

    histories: Histories
    unknown_items: list[list[str]]
    is_single: bool
    allowed: list[np.ndarray] | None = None
    denied: list[np.ndarray] | None = None
    has_zone: bool | None = None


def read_requests(
    history: Any,
    encode: Encode,
    *,
    timestamps: Any = None,
    at: Any = None,
    unsorted: Unsorted = "sort",
    columns: Mapping[str, Any] | None = None,
    wanted_columns: Sequence[str] = ITEMS_ONLY,
    allow: AllowDeny = None,
    deny: AllowDeny = None,
    unknown: Unknown = "skip",
    is_asked: bool = True,
) -> Requests:
    """Read histories, their times and further event columns, and allow and deny lists.

    Args:
        history: Raw ids, oldest first, or several such histories.
        encode: Looks raw ids up, as `ItemTokenizer.encode_item_ids` does.
        timestamps: When the events happened, laid out like the histories. Ignored if the model does not read times.
        at: When the items are asked for: one time for all histories, or one for each; see `ask_at`.
        unsorted: `"sort"` to sort the events of a history whose timestamps go backwards, with a warning, `"error"` to
            raise.
        columns: Values of further event columns by name, laid out like the histories. Labels, such as ratings, may be
            left out, or be None for events without one.
        wanted_columns: The event columns that the model reads, the items first.
        allow: The only raw ids that may be recommended: one list for all histories, or one for each.
        deny: Raw ids that may not be recommended: one list for all histories, or one for each.
        unknown: `"skip"` to leave out unknown items of a history with a warning, `"error"` to raise.
        is_asked: Whether items are asked for now, rather than later (see `ask_at`), as in a session.

    Raises:
        InputError: If input is invalid or ambiguous, a column is missing or not read by the model, values do not fit
            the histories, times are missing, cannot be read or contradict each other, or, with `unknown="error"`, an
            item is unknown.
    """
    require_unsorted(unsorted)
    histories, is_single = read_histories(history)
    token_ids, unknown_items = [], []
    for names in histories:
        ids, missing = look_up(names, encode, where="this history", unknown=unknown)
        token_ids.append(ids)
        unknown_items.append(missing)
    lists = {"input_ids": token_ids}
    further = [name for name in wanted_columns[1:] if name not in TIME_COLUMNS]
    if columns or further:
        lists |= read_columns(columns or {}, further, token_ids, is_single=is_single)
    has_zone = None
    if "timestamps" in wanted_columns:
        lists["timestamps"], has_zone = read_event_times(timestamps, list(map(len, token_ids)), is_single=is_single)
        lists = sort_by_time(lists, unsorted=unsorted)
    found = histories_of(lists)
    if is_asked:
        found = ask_at(found, at, wanted_columns, is_single=is_single, has_zone=has_zone)
    if any(unknown_items):
        found = found.keep(found.columns["input_ids"] != UNK_ID)
    return Requests(
        found,
        unknown_items,
        is_single,
        encode_lists(allow, len(histories), encode, where="allow"),
        encode_lists(deny, len(histories), encode, where="deny"),
        has_zone,
    )


def read_columns(
    given: Mapping[str, Any], wanted: Sequence[str], token_ids: Sequence[np.ndarray], *, is_single: bool
) -> dict[str, list[np.ndarray]]:
    """Read the event columns besides the items; raise an `InputError` if one is missing or not read by the model.

    Labels that are left out, or None, are missing for all events.
    """
    require_columns(given, wanted)
    found = {}
    for name in wanted:
        if is_label(name) and given.get(name) is None:
            found[name] = [np.full(len(ids), np.nan, dtype=np.float32) for ids in token_ids]
            continue
        entries = read_values(given[name], name)
        rows = [entries] if is_single else [read_values(values, name) for values in entries]
        if len(rows) != len(token_ids):
            raise InputError(f"{name} has {len(rows)} lists for {len(token_ids)} histories. Give one list for each.")
        for values, ids in zip(rows, token_ids, strict=True):
            if len(values) != len(ids):
                raise InputError(
                    f"{name} has {len(values)} values for a history of {len(ids)} items. Give one value per item."
                )
        found[name] = [event_column(name).encode(values) for values in rows]
    return found


def read_values(values: Any, name: str) -> list[Any]:
    """Return the values of one list, array or column."""
    if not (isinstance(values, np.ndarray) and values.ndim):  # arrays of ids hold no decimal numbers, but others may
        require_readable(values, f"{name} must be a list of values, one for each item", ordered=True)
    return entries_of(values)


def require_columns(given: Iterable[str], wanted: Sequence[str]) -> None:
    """Raise an `InputError` if a column is missing, or given but not read by the model."""
    reads = f"besides the items, this model reads {', '.join(wanted) or 'nothing'}"
    for name in wanted:
        if name not in given and not is_label(name):
            raise InputError(f"The column {name} is missing: {reads}. Give its values, one for each item.")
    for name in given:
        if name not in wanted:
            raise InputError(f"The model does not read {name}: {reads}. Leave it out.")


def histories_of(lists: Mapping[str, list[np.ndarray]]) -> Histories:
    """Concatenate histories, with a shortcut for a single one."""
    if len(lists["input_ids"]) != 1:
        return Histories.from_lists(lists)
    columns = {name: rows[0] for name, rows in lists.items()}
    return Histories(columns, np.zeros(1, dtype=np.int64), np.array([len(columns["input_ids"])]))


def warn_of_empty(histories: Histories, answered_by: str) -> None:
    """Warn of histories without a known item, and say what is recommended for them."""
    if not histories.lengths_R.all():
        num_empty = int((histories.lengths_R == 0).sum())
        warnings.warn(
            f"{num_empty} of {len(histories)} histories hold no known item; {answered_by}.",
            stacklevel=3,
        )

"""Times of requests: when their events happened, and when recommendations are asked for.

Shape suffixes: R histories, N events.
"""

import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from seqrec.errors import InputError
from seqrec.interactions.histories import Histories
from seqrec.interactions.raw_ids import entries_of, may_hold_ids
from seqrec.interactions.seconds import read_times, shown, spelled

__all__ = [
    "Unsorted",
    "ask_at",
    "last_times",
    "one_kind_of_zone",
    "read_event_times",
    "require_unsorted",
    "sort_by_time",
]

Unsorted = Literal["sort", "error"]
SLACK = 86_400  # seconds by which clocks and unstated time zones may differ from ours
NO_EFFECT = {
    True: "the model is not told when the next item is asked for, as its request_time is 'last_event'",
    False: "the model reads no times",
}


def read_event_times(
    timestamps: Any, lengths: Sequence[int], *, is_single: bool
) -> tuple[list[np.ndarray], bool | None]:
    """Read when the events of histories happened.

    Args:
        timestamps: A list of times for one history, or several such lists; see `to_seconds`.
        lengths: Number of events of each history.
        is_single: Whether one history was given, rather than a list of histories.

    Returns:
        Seconds since 1970 (float64), one array for each history, and whether the times have a time zone: None if they
        are numbers, or there are none.

    Raises:
        InputError: If there are none for histories with events, not one for each event, or they cannot be read.
    """
    if timestamps is None:
        if any(lengths):
            raise InputError(
                "The model reads when events happened, and no times were given. Pass `timestamps`, one for each item."
            )
        return [np.empty(0) for _ in lengths], None
    require_container(timestamps)
    lists = [timestamps] if is_single else lists_in(timestamps)
    if len(lists) != len(lengths):
        raise InputError(f"`timestamps` has {len(lists)} lists for {len(lengths)} histories. Give one list for each.")
    found = [read_times(values) for values in lists]
    for (seconds, _), length in zip(found, lengths, strict=True):
        if len(seconds) != length:
            raise InputError(
                f"`timestamps` has {len(seconds)} values for a history of {length} items. Give one value per item."
            )
    return [seconds for seconds, _ in found], one_kind_of_zone([has_zone for _, has_zone in found])


def lists_in(timestamps: Any) -> list[Any]:
    """Return the lists of several histories; NumPy's times would become integers as Python objects."""
    return list(timestamps) if isinstance(timestamps, np.ndarray) else entries_of(timestamps)


def require_container(values: Any) -> None:
    """Refuse anything but a list, array or column."""
    if not may_hold_ids(values):
        raise InputError(f"`timestamps` must be a list of times, one for each item, but {shown(values)} was given.")


def one_kind_of_zone(zones: Sequence[bool | None]) -> bool | None:
    """Return whether all times have a time zone; refuse times of both kinds. Numbers (None) fit either."""
    kinds = set(zones) - {None}
    if len(kinds) > 1:
        raise InputError(
            "Some times in `timestamps` have a time zone and others have none. Give all of them one, or none for UTC."
        )
    return kinds.pop() if kinds else None


def sort_by_time(lists: dict[str, list[np.ndarray]], *, unsorted: Unsorted) -> dict[str, list[np.ndarray]]:
    """Sort the events of histories by their `timestamps`, all columns alike; events of the same time keep their order.

    Args:
        lists: The event columns, one array for each history.
        unsorted: `"sort"` to warn if timestamps go backwards, `"error"` to raise.

    Raises:
        InputError: With `unsorted="error"`, if timestamps go backwards.
    """
    rows = [row for row, times in enumerate(lists["timestamps"]) if (times[1:] < times[:-1]).any()]
    if not rows:
        return lists
    times = lists["timestamps"][rows[0]]
    place = int((times[1:] < times[:-1]).argmax()) + 1
    message = (
        f"The timestamps of {len(rows)} of {len(lists['timestamps'])} histories go backwards (first: from "
        f"{spelled(times[place - 1])} to {spelled(times[place])} at item {place + 1})."
    )
    if unsorted == "error":
        raise InputError(f"{message} Give items and timestamps oldest first, or pass unsorted='sort'.")
    warnings.warn(f"{message} Their items were sorted by time.", stacklevel=4)
    found = {name: list(values) for name, values in lists.items()}
    for row in rows:
        order = lists["timestamps"][row].argsort(kind="stable")
        for values in found.values():
            values[row] = values[row][order]
    return found


def require_unsorted(unsorted: Any) -> None:
    """Refuse anything but the two ways of treating timestamps that go backwards."""
    if not (isinstance(unsorted, str) and unsorted in ("sort", "error")):
        raise InputError(f"unsorted must be 'sort' or 'error', but is {unsorted!r}.")


def ask_at(
    histories: Histories, at: Any, columns: Sequence[str], *, is_single: bool, has_zone: bool | None = None
) -> Histories:
    """Add the time of the request to histories, if the model reads it, as `target_timestamp`.

    Without `at`, lists are as of each history's last event, with a warning.

    Args:
        histories: Histories with `timestamps` in seconds, if the model reads them.
        at: When the items are asked for: one time for all histories or one for each, `"now"`, or None.
        columns: The event columns that the model reads.
        is_single: Whether one history was given, rather than several.
        has_zone: Whether the timestamps have a time zone; None if they are numbers.

    Returns:
        The histories, in the same order.

    Raises:
        InputError: If `at` has no effect on the model, cannot be read, has a time zone where the timestamps have none
            or the reverse, or is before the last event of a history.
    """
    if "request_times" not in columns:
        if at is not None:
            raise InputError(f"at={shown(at)} has no effect: {NO_EFFECT['timestamps' in columns]}. Leave it out.")
        if "timestamps" in columns:
            warn_of_future(histories.columns["timestamps"], "timestamps")
        return histories
    last_R = last_times(histories)
    if at is None:
        if histories.lengths_R.any():
            warnings.warn(
                "The model reads when its items are asked for, and `at` was not given: the lists are as of each "
                "history's last event. Pass at='now' or a time.",
                stacklevel=4,
            )
        warn_of_future(last_R, "timestamps")
        return replace(histories, rows={**histories.rows, "target_timestamp": last_R})
    at_R = read_at(at, len(histories), is_single=is_single, has_zone=has_zone)
    require_after(at_R, last_R)
    warn_of_future(at_R, "at")
    return replace(histories, rows={**histories.rows, "target_timestamp": at_R})


def last_times(histories: Histories) -> np.ndarray:
    """Return the time of each history's last event (R,); -inf for an empty history."""
    last_R = np.full(len(histories), -np.inf)
    has_events_R = histories.lengths_R > 0
    ends_R = histories.starts_R + histories.lengths_R
    last_R[has_events_R] = histories.columns["timestamps"][ends_R[has_events_R] - 1]
    return last_R


def read_at(at: Any, num_histories: int, *, is_single: bool, has_zone: bool | None) -> np.ndarray:
    """Read the times of requests, in seconds (R,)."""
    is_one_for_all = not may_hold_ids(at) or (isinstance(at, np.ndarray) and at.ndim == 0)
    times = [at] if is_one_for_all else entries_of(at)
    if not is_one_for_all and (is_single or len(times) != num_histories):
        wanted = "one time" if is_single else "one time for each, or one for all"
        raise InputError(f"`at` has {len(times)} times for {num_histories} histories. Give {wanted}.")
    if all(isinstance(one, str) and one.strip().lower() == "now" for one in times):
        return np.full(num_histories, time.time())
    at_R, at_has_zone = read_times(times, name="at")
    if None not in (has_zone, at_has_zone) and has_zone != at_has_zone:
        own, other = ("a", "none") if at_has_zone else ("no", "one")
        raise InputError(
            f"`at` has {own} time zone, but the timestamps have {other}. Give both a time zone, or neither for UTC."
        )
    return np.repeat(at_R, num_histories) if is_one_for_all else at_R


def require_after(at_R: np.ndarray, last_R: np.ndarray) -> None:
    """Refuse requests before the last event of their history."""
    is_before_R = at_R < last_R
    if is_before_R.any():
        row = int(is_before_R.argmax())
        raise InputError(
            f"`at` is before the last event of {is_before_R.sum()} of {len(at_R)} histories (first: "
            f"{spelled(at_R[row])} is before {spelled(last_R[row])}, UTC). Give a later time, or leave the later "
            "events out."
        )


def warn_of_future(times: np.ndarray, name: str) -> None:
    """Warn of times that are yet to come."""
    latest = times.max() if len(times) else 0
    if latest > time.time() + SLACK:
        warnings.warn(
            f"`{name}` holds times in the future (latest: {spelled(latest)} UTC). Check unit and time zone.",
            stacklevel=5,
        )

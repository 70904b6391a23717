"""Convert times of many kinds to seconds since 1970 (UTC), with numpy alone.

Numbers count as times if all of them, in one unit, lie between 1990 and 2100: seconds, milliseconds, microseconds and
nanoseconds since 1970 then differ so much that their size tells them apart, and positions (0, 1, 2, …), years and days
are recognised as no times.

Shape suffix: N times.
"""

import warnings
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np

from seqrec.errors import InputError
from seqrec.interactions.one_line import one_line

__all__ = [
    "FIRST_PLAUSIBLE",
    "LAST_PLAUSIBLE",
    "SECONDS_PER_DAY",
    "UNITS",
    "are_seconds",
    "count_units",
    "numbers_given",
    "read_times",
    "shown",
    "spelled",
    "to_datetimes",
    "to_seconds",
    "unit_of",
]

FIRST_PLAUSIBLE, LAST_PLAUSIBLE = datetime(1990, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
UNITS = {"seconds": 1, "milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}  # units per second
FIRST, LAST = FIRST_PLAUSIBLE.timestamp(), LAST_PLAUSIBLE.timestamp()
SECONDS_PER_DAY = 24 * 60 * 60
EPOCH, EPOCH_WITHOUT_ZONE = datetime(1970, 1, 1, tzinfo=UTC), datetime(1970, 1, 1)
MICROSECOND = timedelta(microseconds=1)
EXPECTED = "numbers of seconds, milliseconds, microseconds or nanoseconds since 1970, datetimes, or ISO dates and times"


def to_seconds(values: Any, *, name: str = "timestamps") -> np.ndarray:
    """Convert times to seconds since 1970 (UTC).

    Args:
        values: A list, tuple, array or column of numbers (see above), `datetime`, `date`, `numpy.datetime64`,
            pandas `Timestamp`, or text of numbers or of ISO 8601 dates and times. Times without a time zone are in UTC.
        name: How messages call them.

    Returns:
        Seconds (N,) as float64, to the microsecond.

    Raises:
        InputError: If a value is missing (None, NaN, NaT) or no time, kinds or units are mixed, some times have a time
            zone and others none, or the numbers are no times, such as positions.

    Example:
        >>> to_seconds(["2024-05-31", "2024-05-31T12:00:00"]).tolist()
        [1717113600.0, 1717156800.0]
    """
    return read_times(values, name=name)[0]


def read_times(values: Any, *, name: str = "timestamps") -> tuple[np.ndarray, bool | None]:
    """Convert times as `to_seconds` does; also return whether they have a time zone, None for numbers."""
    if isinstance(values, np.ndarray) and values.ndim == 1:
        if values.dtype.kind == "M":
            require_present(np.isnat(values), name)
            return values.astype("datetime64[us]").astype(np.int64) / 10**6, False
        if values.dtype.kind in "iuf":
            return numbers_to_seconds(values, name), None
    return read_entries(entries_of(values, name), name)


def entries_of(values: Any, name: str) -> list[Any]:
    """Return the entries of a list, array or column as Python objects."""
    if isinstance(values, list | tuple):
        return list(values)
    for method in ("to_pylist", "to_list", "tolist"):  # pyarrow, polars and pandas, NumPy
        if hasattr(values, method):
            return list(getattr(values, method)())
    if isinstance(values, str | bytes) or not hasattr(values, "__iter__"):
        raise InputError(f"`{name}` must be a list of times, but {shown(values)} was given.")
    return list(values)


def read_entries(entries: Sequence[Any], name: str) -> tuple[np.ndarray, bool | None]:
    """Convert Python objects of one kind; also return whether they have a time zone, None for numbers."""
    types = set(map(type, entries))
    if types <= {int, float}:
        return numbers_to_seconds(as_numbers(entries), name), None
    if types == {str}:
        entries = read_text(entries, name)
    require_present(list(map(is_missing, entries)), name)
    kinds = {kind_of(entry, name) for entry in entries}
    if kinds == {"number"}:
        return numbers_to_seconds(as_numbers(entries), name), None
    if "number" in kinds:
        raise InputError(f"`{name}` mixes numbers with dates or text. Give times of one kind.")
    times = [as_datetime(entry) for entry in entries]
    zoned = [time.tzinfo is not None for time in times]
    if any(zoned) and not all(zoned):
        raise InputError(
            f"{sum(zoned)} of {len(zoned)} times in `{name}` have a time zone and the others have none. Give all of "
            "them one, or none for UTC."
        )
    epoch = EPOCH if all(zoned) else EPOCH_WITHOUT_ZONE
    return np.array([(time - epoch) // MICROSECOND for time in times], dtype=np.int64) / 10**6, all(zoned)


def kind_of(entry: Any, name: str) -> str:
    """Return "number" or "date"; refuse anything else."""
    if isinstance(entry, date | np.datetime64):
        return "date"
    if isinstance(entry, int | float | np.integer | np.floating | Decimal) and not isinstance(entry, bool):
        return "number"
    raise InputError(f"`{name}` holds {shown(entry)}, which is no time. Expected {EXPECTED}.")


def as_numbers(entries: Sequence[Any]) -> np.ndarray:
    """Return numbers as int64 where that is exact, else as float64; those too large for either as infinity."""
    if all(isinstance(entry, int | np.integer) and abs(int(entry)) < 2**63 for entry in entries):
        return np.array(entries, dtype=np.int64)
    return np.array([np.inf if entry > 2**1000 else float(entry) for entry in entries])


def as_datetime(entry: Any) -> datetime:
    """Return a date or time as a `datetime`."""
    if isinstance(entry, np.datetime64):
        return EPOCH_WITHOUT_ZONE + timedelta(microseconds=int(entry.astype("datetime64[us]").astype(np.int64)))
    return entry if isinstance(entry, datetime) else datetime(entry.year, entry.month, entry.day)


def read_text(entries: Sequence[str], name: str) -> list[Any]:
    """Parse text: numbers if the first entry is one, else ISO 8601 dates and times."""
    is_number = number_of(entries[0]) is not None
    found = [number_of(entry) if is_number else time_of(entry) for entry in entries]
    wrong = next((entry for entry, value in zip(entries, found, strict=True) if value is None), None)
    if wrong is not None:
        expected = "a number, as the first one is" if is_number else "an ISO date or time such as 2024-05-31T12:00:00"
        raise InputError(f"`{name}` holds {shown(wrong)}, which is not {expected}.")
    return found


def number_of(text: str) -> int | float | None:
    """Parse a number; None if the text is none."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return None


def time_of(text: str) -> datetime | None:
    """Parse an ISO date or time; None if the text is none."""
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError:
        return None


def numbers_to_seconds(numbers_N: np.ndarray, name: str) -> np.ndarray:
    """Convert numbers to seconds; say if their unit is another one."""
    if len(numbers_N) == 0:
        return np.empty(0)
    if numbers_N.dtype.kind == "f":
        require_present(np.isnan(numbers_N), name)
    unit = unit_of(numbers_N.min(), numbers_N.max())
    if unit is None:
        raise InputError(f"`{name}` holds no times: {numbers_given(numbers_N)}")
    if unit == "seconds":
        return numbers_N.astype(np.float64)
    warnings.warn(f"The numbers in `{name}` are read as {unit} since 1970.", stacklevel=2)
    return numbers_N / UNITS[unit]


def numbers_given(numbers_N: np.ndarray) -> str:
    """Say why numbers are no times, and which are expected."""
    found = count_units(numbers_N)
    if len(found) > 1:
        counts = " and ".join(f"{count:,} in {unit}" for unit, count in found.items())
        return f"they mix units ({counts} since 1970). Convert them to one unit."
    return (
        f"they are numbers from {numbers_N.min():.15g} to {numbers_N.max():.15g}. Expected times from 1990 to 2100: "
        f"{EXPECTED}."
    )


def unit_of(first: float, last: float) -> str | None:
    """Return the unit in which the first and the last of some numbers are times since 1970 from 1990 to 2100.

    Returns:
        A key of `UNITS`; None if they are no times.
    """
    for unit, per_second in UNITS.items():
        if FIRST <= first / per_second <= last / per_second < LAST:
            return unit
    return None


def are_seconds(times_N: np.ndarray) -> bool:
    """Return whether all numbers are seconds since 1970 from 1990 to 2100."""
    return len(times_N) == 0 or bool(FIRST <= times_N.min() <= times_N.max() < LAST)


def to_datetimes(seconds_N: np.ndarray) -> np.ndarray:
    """Convert seconds since 1970 to `datetime64`, to the microsecond: what `to_seconds` reads back for any year."""
    return (np.asarray(seconds_N) * 10**6).round().astype(np.int64).astype("datetime64[us]")


def count_units(numbers_N: np.ndarray) -> dict[str, int]:
    """Count the numbers that are times in each unit; units without any are left out."""
    counts = {
        unit: int(((numbers_N >= FIRST * per_second) & (numbers_N < LAST * per_second)).sum())
        for unit, per_second in UNITS.items()
    }
    return {unit: count for unit, count in counts.items() if count}


def spelled(seconds: float) -> str:
    """Write a time in seconds as an ISO time in UTC, for messages."""
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat(sep=" ", timespec="seconds")


def is_missing(value: Any) -> bool:
    """Return whether a value is None, NaN, NaT or the missing value of pandas."""
    return value is None or type(value).__name__ == "NAType" or bool(value != value)


def require_present(missing: Any, name: str) -> None:
    """Refuse missing times."""
    is_missing_N = np.asarray(missing, dtype=bool)
    if is_missing_N.any():
        raise InputError(
            f"{is_missing_N.sum()} of {len(is_missing_N)} times in `{name}` are missing (NaN, NaT or None; first: "
            f"number {is_missing_N.argmax() + 1}). Fill them in, or leave these events out."
        )


def shown(value: Any) -> str:
    """Format a value for a message."""
    return one_line(repr(value), 60)

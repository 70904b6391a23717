"""Bringing timestamps of many kinds to numbers or datetimes."""

import warnings
from datetime import UTC, date, datetime

import polars as pl
from polars.datatypes import DataTypeClass

from seqrec.errors import InputError
from seqrec.interactions.one_line import one_line

# After "T" has become a blank and "Z" an offset.
ISO_FORMATS = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%d", "%Y-%m-%d %H:%M")
# Between these, a number is taken for a time since 1970; a position or a year is not.
FIRST_PLAUSIBLE, LAST_PLAUSIBLE = datetime(1990, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
UNITS = {"seconds": 1, "milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}  # and how many make a second


def parse_timestamps(timestamps: pl.Series) -> pl.Series:
    """Make a column of timestamps sortable.

    Numbers stay as they are; dates become datetimes; datetimes with a time zone become UTC without one; text
    is read as numbers or else as ISO dates and times.

    Args:
        timestamps: One timestamp a row, none missing.

    Returns:
        A column of integers, floats or datetimes, in the same order.

    Raises:
        ValueError: If some cannot be read (how many, the first row and its value), or are numbers that are not finite
            or beyond 64 bits.
    """
    dtype = timestamps.dtype
    if dtype in (pl.UInt64, pl.Int128, pl.UInt128):
        return require_readable(timestamps, timestamps.cast(pl.Int64, strict=False))
    if dtype.is_integer() or (isinstance(dtype, pl.Datetime) and dtype.time_zone is None):
        return timestamps
    if isinstance(dtype, pl.Datetime):
        return timestamps.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    if dtype == pl.Date:
        return timestamps.cast(pl.Datetime("us"))
    if dtype.is_float() or dtype.is_decimal():
        return require_readable(timestamps, timestamps.cast(pl.Float64))
    if dtype == pl.String:
        return parse_text(timestamps)
    raise InputError(f"The column timestamp is of type {dtype}. Expected numbers, datetimes, or text of either.")


def parse_text(timestamps: pl.Series) -> pl.Series:
    """Read numbers, or ISO dates; the reading that fits more rows is the one whose failures are reported."""
    text = timestamps.str.strip_chars()
    for number_type in (pl.Int64, pl.Float64):
        numbers = text.cast(number_type, strict=False)
        if numbers.null_count() == 0:
            return require_readable(timestamps, numbers)
    dates = parse_iso(text)
    best = dates if dates.null_count() <= numbers.null_count() else numbers
    return require_readable(timestamps, best)


def parse_iso(text: pl.Series) -> pl.Series:
    """Read ISO 8601 dates and times to the microsecond, in UTC; null where it is none."""
    plain = text.str.replace(r"^(\d{4}-\d{2}-\d{2})[Tt]", "${1} ").str.replace("[Zz]$", "+00:00")
    readings = [pl.lit(plain).str.to_datetime(layout, time_unit="us", strict=False) for layout in ISO_FORMATS]
    readings[1] = readings[1].dt.replace_time_zone(None)  # polars returns offsets as UTC
    return pl.select(pl.coalesce(readings)).to_series()


def require_readable(given: pl.Series, parsed: pl.Series) -> pl.Series:
    """Return what was parsed if each row could be, and is a number within 64 bits, as times of any unit are."""
    bad = parsed.is_null()
    if parsed.dtype.is_float():
        bad = bad | ~(parsed.abs() < 2.0**63).fill_null(False)  # also what is not finite
    if not bad.any():
        return parsed
    first = bad.arg_max()
    assert first is not None
    raise InputError(
        f"{bad.sum()} of {len(given)} timestamps could not be read (first: row {first + 1}, "
        f"{one_line(repr(given[first]), 60)}). Expected numbers of 64 bits, or dates such as 2024-05-31 or "
        "2024-05-31T12:00:00."
    )


def to_plain_numbers(timestamps: pl.Series) -> pl.Series:
    """Turn parsed timestamps into Int64 or Float64; datetimes become whole seconds since 1970 (UTC)."""
    kind: pl.DataType | DataTypeClass = pl.Float64 if timestamps.dtype.is_float() else pl.Int64
    return (timestamps.dt.epoch("s") if timestamps.dtype.is_temporal() else timestamps).cast(kind)


def period(timestamps: pl.Series) -> tuple[date, date] | None:
    """Return the first and the last day (UTC) of parsed timestamps; None if they are no real times.

    Datetimes are. Numbers are if they all, as seconds or as milliseconds since 1970, lie between 1990 and 2100:
    positions (0, 1, 2, …), years and days do not.
    """
    first, last = timestamps.min(), timestamps.max()
    if isinstance(first, datetime) and isinstance(last, datetime):
        return first.date(), last.date()
    assert isinstance(first, int | float)
    assert isinstance(last, int | float)
    for per_second in (1, 1000):
        if FIRST_PLAUSIBLE.timestamp() <= first / per_second <= last / per_second < LAST_PLAUSIBLE.timestamp():
            first_time, last_time = (datetime.fromtimestamp(time / per_second, UTC) for time in (first, last))
            return first_time.date(), last_time.date()
    return None


def warn_of_mixed_units(timestamps: pl.Series) -> None:
    """Warn if numbers are times of different units, such as seconds in some rows and milliseconds in others.

    Args:
        timestamps: Parsed timestamps.
    """
    if not timestamps.dtype.is_numeric():
        return
    numbers = timestamps.cast(pl.Float64)
    begin, end = FIRST_PLAUSIBLE.timestamp(), LAST_PLAUSIBLE.timestamp()
    counts = {
        unit: numbers.is_between(begin * per_second, end * per_second, closed="left").sum()
        for unit, per_second in UNITS.items()
    }
    found = [f"{count:,} in {unit}" for unit, count in counts.items() if count]
    if len(found) > 1:
        warnings.warn(
            f"Timestamps of different units seem to be mixed: {' and '.join(found)} since 1970. Those of the smaller "
            "unit count as later than all others: bring them to one unit.",
            stacklevel=3,
        )

"""Convert a table's column of timestamps, of many kinds, to numbers or datetimes, and to seconds since 1970."""

import warnings
from collections.abc import Mapping
from datetime import UTC, date, datetime

import polars as pl

from seqrec.errors import InputError
from seqrec.interactions.one_line import one_line
from seqrec.interactions.seconds import UNITS, count_units, numbers_given, unit_of

__all__ = [
    "are_whole",
    "in_seconds",
    "parse_timestamps",
    "period",
    "require_times",
    "to_plain_numbers",
    "unit_of_column",
    "warn_of_mixed_units",
    "warn_of_units",
]

# With "T" replaced by a space and "Z" by an offset.
ISO_FORMATS = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%d", "%Y-%m-%d %H:%M")


def parse_timestamps(timestamps: pl.Series) -> pl.Series:
    """Make a column of timestamps sortable.

    Numbers stay as they are; dates become datetimes; datetimes with a time zone are converted to UTC without a time
    zone; text is parsed as numbers or else as ISO dates and times.

    Args:
        timestamps: One timestamp per row, none missing.

    Returns:
        A column of integers, floats or datetimes, in the same order.

    Raises:
        InputError: If some cannot be parsed, are not finite or exceed 64 bits, or some times have a time zone and
            others have none; the message says how many, and gives the first row and its value.
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
    raise InputError(f"The column timestamp is of type {dtype}. Convert it to numbers, datetimes, or text of either.")


def parse_text(timestamps: pl.Series) -> pl.Series:
    """Parse numbers or ISO dates. If neither fits all rows, report the failures of whichever fits more."""
    text = timestamps.str.strip_chars()
    for number_type in (pl.Int64, pl.Float64):
        numbers = text.cast(number_type, strict=False)
        if numbers.null_count() == 0:
            return require_readable(timestamps, numbers)
    dates = parse_iso(text)
    best = dates if dates.null_count() <= numbers.null_count() else numbers
    found = require_readable(timestamps, best)
    require_one_kind_of_zone(timestamps, text)
    return found


def parse_iso(text: pl.Series) -> pl.Series:
    """Parse ISO 8601 dates and times to the microsecond, in UTC; null where that fails."""
    plain = text.str.replace(r"^(\d{4}-\d{2}-\d{2})[Tt]", "${1} ").str.replace("[Zz]$", "+00:00")
    readings = [pl.lit(plain).str.to_datetime(layout, time_unit="us", strict=False) for layout in ISO_FORMATS]
    readings[1] = readings[1].dt.replace_time_zone(None)  # polars returns offsets as UTC
    return pl.select(pl.coalesce(readings)).to_series()


def require_readable(given: pl.Series, parsed: pl.Series) -> pl.Series:
    """Return the parsed timestamps; refuse rows that could not be parsed, and numbers beyond 64 bits."""
    bad = parsed.is_null()
    if parsed.dtype.is_float():
        bad = bad | ~(parsed.abs() < 2.0**63).fill_null(False)  # NaN and infinity too
    if not bad.any():
        return parsed
    first = bad.arg_max()
    assert first is not None
    raise InputError(
        f"{bad.sum()} of {len(given)} timestamps could not be read (first: row {first + 1}, "
        f"{one_line(repr(given[first]), 60)}). Expected 64-bit numbers, or dates such as 2024-05-31 or "
        "2024-05-31T12:00:00."
    )


def require_one_kind_of_zone(given: pl.Series, text: pl.Series) -> None:
    """Refuse ISO times of which some have a time zone and others have none: they would differ by hours.

    Dates without a time fit both.
    """
    zoned = text.str.contains(r"[Tt ].*(?:[Zz]|[+-]\d{2}:?\d{2})$")
    unzoned = ~zoned & text.str.contains("[Tt ]")
    if zoned.any() and unzoned.any():
        first = unzoned.arg_max()
        assert first is not None
        raise InputError(
            f"{zoned.sum()} of {len(given)} timestamps have a time zone and {unzoned.sum()} have none (first: row "
            f"{first + 1}, {one_line(repr(given[first]), 60)}). Give all of them one, or none for UTC."
        )


def to_plain_numbers(timestamps: pl.Series) -> pl.Series:
    """Convert parsed timestamps to the numbers of sequences: seconds since 1970 (UTC) wherever they are times.

    Datetimes, and numbers of any unit that `unit_of_column` recognises, become seconds, as `to_seconds` returns for the
    times of a request: training, evaluation and serving read the same numbers. Others (positions 0, 1, 2, …) stay.

    Returns:
        Int64 if all are whole, else Float64.
    """
    unit = unit_of_column(timestamps)
    return in_seconds(timestamps, unit, whole=are_whole(timestamps, unit))


def in_seconds(timestamps: pl.Series, unit: str | None, *, whole: bool) -> pl.Series:
    """Convert parsed timestamps of a unit to seconds; those of no unit stay.

    Args:
        timestamps: Some of the timestamps of a table.
        unit: The unit of all of them; see `unit_of_column`.
        whole: Whether all of them are whole seconds, so that the result is Int64.
    """
    numbers, per_second = as_numbers(timestamps), UNITS[unit] if unit else 1
    if per_second == 1:
        return numbers
    return numbers // per_second if whole else numbers / per_second


def are_whole(timestamps: pl.Series, unit: str | None) -> bool:
    """Return whether all parsed timestamps of a unit are integers, and whole seconds."""
    numbers, per_second = as_numbers(timestamps), UNITS[unit] if unit else 1
    return numbers.dtype.is_integer() and not (numbers % per_second != 0).any()


def as_numbers(timestamps: pl.Series) -> pl.Series:
    """Return parsed timestamps as numbers, datetimes as microseconds."""
    numbers = timestamps.dt.epoch("us") if timestamps.dtype.is_temporal() else timestamps
    return numbers.cast(pl.Float64 if numbers.dtype.is_float() else pl.Int64)


def unit_of_column(timestamps: pl.Series) -> str | None:
    """Return the unit of parsed timestamps; None if they are not real times.

    Datetimes always are, and count as microseconds. Numbers are if all of them, in one unit of `UNITS`, lie between
    1990 and 2100, which rules out positions (0, 1, 2, …), years and days.
    """
    if timestamps.dtype.is_temporal():
        return "microseconds"
    first, last = timestamps.min(), timestamps.max()
    assert isinstance(first, int | float)
    assert isinstance(last, int | float)
    return unit_of(first, last)


def period(timestamps: pl.Series) -> tuple[date, date] | None:
    """Return the first and last day (UTC) of parsed timestamps; None if they are not real times."""
    first, last = timestamps.min(), timestamps.max()
    if isinstance(first, datetime) and isinstance(last, datetime):
        return first.date(), last.date()
    unit = unit_of_column(timestamps)
    if unit is None:
        return None
    assert isinstance(first, int | float)
    assert isinstance(last, int | float)
    first_time, last_time = (datetime.fromtimestamp(time / UNITS[unit], UTC) for time in (first, last))
    return first_time.date(), last_time.date()


def require_times(timestamps: pl.Series) -> None:
    """Refuse parsed timestamps that are not real times, for a model that reads times.

    Raises:
        InputError: If they are numbers such as positions, or of several units.
    """
    if unit_of_column(timestamps) is None:
        raise InputError(
            f"The model reads when events happened, but the column timestamp holds no times: "
            f"{numbers_given(timestamps.to_numpy())}"
        )


def warn_of_mixed_units(timestamps: pl.Series) -> None:
    """Warn if numbers mix units of time, such as seconds in some rows and milliseconds in others.

    Args:
        timestamps: Parsed timestamps.
    """
    if not timestamps.dtype.is_numeric():
        return
    warn_of_units(count_units(timestamps.cast(pl.Float64).to_numpy()))


def warn_of_units(counts: Mapping[str, int]) -> None:
    """Warn if there are timestamps of more than one unit, given their numbers by unit."""
    if len(counts) > 1:
        found = " and ".join(f"{count:,} in {unit}" for unit, count in counts.items())
        warnings.warn(
            f"Timestamps seem to mix units: {found} since 1970. Those in the smaller unit count as later than all "
            "others. Convert them to one unit.",
            stacklevel=4,
        )

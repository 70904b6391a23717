"""Timestamps are read only if their meaning is certain, and never guessed."""

from datetime import date, datetime

import polars as pl
import pytest

from seqrec.errors import InputError
from seqrec.interactions.timestamps import parse_timestamps, period, warn_of_mixed_units

AUTUMN_1997, SPRING_1998 = 874724710, 893286638
DAYS = (date(1997, 9, 20), date(1998, 4, 22))


@pytest.mark.parametrize(
    "timestamps",
    [
        [AUTUMN_1997, SPRING_1998],
        [float(SPRING_1998), AUTUMN_1997 + 0.5, AUTUMN_1997],
        [1000 * AUTUMN_1997, 1000 * SPRING_1998],
        [datetime(1998, 4, 22, 23, 10), datetime(1997, 9, 20, 3, 5)],
    ],
)
def test_real_times(timestamps):
    assert period(pl.Series(timestamps)) == DAYS


@pytest.mark.parametrize(
    "timestamps",
    [
        list(range(10)),  # positions
        [0, AUTUMN_1997],
        [AUTUMN_1997, 1000 * AUTUMN_1997],  # seconds or milliseconds?
        [1997, 1998],  # years
        [19970920, 19980422],
        [19970920030510, 19980422231000],
        [10_000, 10_300],  # days
        [-1.5, 0.5],
        [2**62, 2**62 + 1],
    ],
)
def test_what_may_be_no_time_is_not_taken_for_one(timestamps):
    assert period(pl.Series(timestamps)) is None


def test_a_time_long_ago_is_known_if_it_is_a_datetime():
    assert period(pl.Series([datetime(1955, 11, 5), datetime(1985, 10, 26)])) == (date(1955, 11, 5), date(1985, 10, 26))


@pytest.mark.parametrize(
    "timestamps",
    [
        pl.Series([1, 2**63], dtype=pl.UInt64),
        pl.Series([1, 2**100], dtype=pl.Int128),
        pl.Series([1, -(2**100)], dtype=pl.Int128),
        pl.Series([1.0, 1e300]),
        pl.Series([1.0, -1e19]),
        pl.Series(["1", "9223372036854775808"]),
    ],
)
def test_what_64_bits_cannot_hold_is_refused(timestamps):
    with pytest.raises(ValueError, match=r"1 of 2 timestamps could not be read \(first: row 2, .*64-bit numbers"):
        parse_timestamps(timestamps)


@pytest.mark.parametrize("dtype", [pl.UInt64, pl.Int128, pl.UInt128])
def test_what_64_bits_can_hold_is_read_from_wider_columns(dtype):
    read = parse_timestamps(pl.Series([AUTUMN_1997, 2**63 - 1], dtype=dtype))
    assert (read.dtype, read.to_list()) == (pl.Int64, [AUTUMN_1997, 2**63 - 1])


@pytest.mark.parametrize(
    ("factors", "told"),
    [
        ([1, 1, 1000], "2 in seconds and 1 in milliseconds"),
        ([10**6, 1000, 1000], "2 in milliseconds and 1 in microseconds"),
        ([1, 10**9, 1000], "1 in seconds and 1 in milliseconds and 1 in nanoseconds"),
    ],
)
@pytest.mark.parametrize("kind", [pl.Int64, pl.Float64])
def test_mixed_units_are_told_with_how_many_of_each(factors, told, kind):
    with pytest.warns(UserWarning, match=f"seem to mix units: {told} since 1970"):
        warn_of_mixed_units(pl.Series([SPRING_1998 * factor for factor in factors], dtype=kind))


@pytest.mark.parametrize(
    "timestamps",
    [
        [1, 2, 300],
        [0, AUTUMN_1997],
        [AUTUMN_1997 * 1000, SPRING_1998 * 1000],
        [datetime(1998, 1, 1), datetime(1970, 1, 1)],
    ],
)
def test_one_unit_and_what_is_none_pass(timestamps):
    warn_of_mixed_units(pl.Series(timestamps))


def test_small_integers_pass():
    warn_of_mixed_units(pl.Series([1, 2], dtype=pl.Int8))


@pytest.mark.parametrize("zoned", ["2024-05-31T12:00:00Z", "2024-05-31 12:00:00+02:00", "2024-05-31T12:00:00.5+0200"])
def test_some_times_with_and_some_without_a_zone_are_refused(zoned):
    with pytest.raises(InputError, match=r"1 of 3 timestamps have a time zone and 1 have none \(first: row 3, "):
        parse_timestamps(pl.Series(["2024-05-30", zoned, "2024-05-31T12:00:00"]))


@pytest.mark.parametrize(
    "texts",
    [
        ["2024-05-30", "2024-05-31T12:00:00+02:00"],
        ["2024-05-30", "2024-05-31T12:00"],
        ["2024-05-31T12:00:00Z", "2024-05-31 12:00:00-05:00"],
    ],
)
def test_days_fit_times_of_either_kind(texts):
    assert parse_timestamps(pl.Series(texts)).null_count() == 0

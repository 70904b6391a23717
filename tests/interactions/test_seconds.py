"""Times of any kind become seconds since 1970, or are refused with the reason."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from seqrec.errors import InputError
from seqrec.interactions.seconds import to_datetimes, to_seconds, unit_of
from seqrec.interactions.timestamps import parse_timestamps, require_times, to_plain_numbers

SECONDS = [1717113600, 1717156800, 1717156801]  # 2024-05-31 at 0:00:00, 12:00:00 and 12:00:01
TIMES = [datetime(2024, 5, 31), datetime(2024, 5, 31, 12), datetime(2024, 5, 31, 12, 0, 1)]
TEXT = ["2024-05-31", "2024-05-31 12:00", "2024-05-31T12:00:01"]
EARLIER = timezone(timedelta(hours=2))


@pytest.mark.parametrize(
    "given",
    [
        SECONDS,
        tuple(SECONDS),
        iter(SECONDS),
        [float(one) for one in SECONDS],
        [Decimal(one) for one in SECONDS],
        [SECONDS[0], np.int64(SECONDS[1]), np.float64(SECONDS[2])],
        np.array(SECONDS),
        np.array(SECONDS, dtype=np.float64),
        np.array(SECONDS, dtype=np.uint32),
        list(map(str, SECONDS)),
        TEXT,
        [f" {one} " for one in TEXT],
        ["2024-05-31T00:00:00Z", "2024-05-31T14:00:00+02:00", "2024-05-31T12:00:01+00:00"],
        TIMES,
        [time.replace(tzinfo=UTC) for time in TIMES],
        [time.replace(tzinfo=UTC).astimezone(EARLIER) for time in TIMES],
        [date(2024, 5, 31), *TIMES[1:]],
        [np.datetime64(time) for time in TIMES],
        np.array(TIMES, dtype="datetime64[s]"),
        np.array(TIMES, dtype="datetime64[ns]"),
        [pd.Timestamp(time) for time in TIMES],
        pd.Series(TIMES),
        pd.Series(TIMES).dt.tz_localize("UTC"),
        pd.DatetimeIndex(TIMES),
        pd.Series(SECONDS),
        pl.Series(TIMES),
        pl.Series(SECONDS),
        pl.Series(TEXT),
        pa.array(SECONDS),
        pa.array(TIMES),
    ],
    ids=lambda given: type(given).__name__,
)
def test_whatever_holds_times_becomes_seconds(given):
    found = to_seconds(given)
    assert (found.dtype, found.tolist()) == (np.float64, SECONDS)


@pytest.mark.parametrize(("unit", "factor"), [("milli", 10**3), ("micro", 10**6), ("nano", 10**9)])
def test_other_units_are_recognised_and_told(unit, factor):
    for make in (list, np.array, lambda ints: np.array(ints, dtype=np.float64), lambda ints: list(map(str, ints))):
        with pytest.warns(UserWarning, match=f"^The numbers in `timestamps` are read as {unit}seconds since 1970"):
            assert to_seconds(make([factor * one for one in SECONDS])).tolist() == SECONDS


def test_fractions_of_a_second_stay():
    assert to_seconds([SECONDS[0] + 0.25]).tolist() == [SECONDS[0] + 0.25]
    assert to_seconds([TIMES[0] + timedelta(milliseconds=250)]).tolist() == [SECONDS[0] + 0.25]


def test_no_times_are_none():
    assert to_seconds([]).shape == to_seconds(np.array([])).shape == (0,)


def test_a_datetime_may_be_of_any_year():
    past = datetime(1955, 11, 5)
    assert to_seconds([past]).tolist() == [(past - datetime(1970, 1, 1)).total_seconds()]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([0, 1, 2], "holds no times: they are numbers from 0 to 2. Expected times from 1990 to 2100"),
        (["0", "1"], "holds no times: they are numbers from 0 to 1"),
        ([20240531, 20240601], "holds no times"),
        ([10**400], "holds no times: they are numbers from inf"),
        ([float("inf")], "holds no times"),
        ([SECONDS[0], 1000 * SECONDS[1]], "they mix units .1 in seconds and 1 in milliseconds since 1970"),
        ([SECONDS[0], np.nan], r"1 of 2 times in `timestamps` are missing \(NaN, NaT or None; first: number 2\)"),
        (np.array([np.nan, SECONDS[0]]), "1 of 2 times in `timestamps` are missing"),
        ([None, SECONDS[0]], "1 of 2 times in `timestamps` are missing"),
        ([TIMES[0], pd.NaT, pd.NaT], "2 of 3 times in `timestamps` are missing"),
        (pd.Series([*TIMES, None]), "1 of 4 times in `timestamps` are missing"),
        (pd.Series([SECONDS[0], None], dtype="Int64"), "1 of 2 times in `timestamps` are missing"),
        (pl.Series([TIMES[0], None]), "1 of 2 times in `timestamps` are missing"),
        (np.array(["2024-05-31", "NaT"], dtype="datetime64[s]"), "1 of 2 times in `timestamps` are missing"),
        ([np.datetime64("NaT")], "1 of 1 times in `timestamps` are missing"),
        (
            [TIMES[0], TIMES[1].replace(tzinfo=UTC)],
            "1 of 2 times in `timestamps` have a time zone and the others have none",
        ),
        (["2024-05-31T12:00", "2024-05-31T12:00Z"], "1 of 2 times in `timestamps` have a time zone"),
        ([SECONDS[0], TIMES[0]], "mixes numbers with dates"),
        ([SECONDS[0], "2024-05-31"], "holds '2024-05-31', which is no time"),
        (["2024-05-31", "yesterday"], "holds 'yesterday', which is not an ISO date"),
        (["1717113600", "2024-05-31"], "holds '2024-05-31', which is not a number"),
        ([True], "holds True, which is no time"),
        ([[SECONDS[0]]], "which is no time"),
        ([timedelta(1)], "which is no time"),
        ("2024-05-31", "must be a list of times, but '2024-05-31' was given"),
        (5, "must be a list of times, but 5 was given"),
    ],
    ids=str,
)
def test_what_is_no_time_is_refused_with_the_reason(given, message):
    with pytest.raises(InputError, match=message) as refusal:
        to_seconds(given)
    assert "\n" not in str(refusal.value)


def test_datetimes_are_read_back():
    for seconds in (np.array(SECONDS), np.array([-446_774_400.25, 0, 1717156800.123457])):
        assert to_seconds(to_datetimes(seconds)).tolist() == seconds.tolist()


def test_units_do_not_overlap():
    assert [unit_of(631152000, 4102444799)] == ["seconds"]
    assert unit_of(631151999, 631152000) is unit_of(4102444799, 4102444800) is None


@pytest.mark.filterwarnings("ignore:The numbers in")
@pytest.mark.parametrize(
    "given",
    [
        SECONDS,
        [1000 * one + 7 for one in SECONDS],
        [1000 * one for one in SECONDS],
        [10**6 * one + 123_457 for one in SECONDS],
        [10**9 * one for one in SECONDS],
        [one + 0.1 for one in SECONDS],
        [1000.5 * one for one in SECONDS],
        [time + timedelta(microseconds=123_457) for time in TIMES],
        [time.replace(tzinfo=EARLIER) for time in TIMES],
        [datetime(1955, 11, 5, 0, 0, 0, 10)],
        TEXT,
    ],
    ids=str,
)
def test_a_table_s_column_becomes_the_same_numbers(given):
    parsed = parse_timestamps(pl.Series(given))
    require_times(parsed)
    found = to_plain_numbers(parsed)
    assert found.cast(pl.Float64).to_list() == to_seconds(given).tolist()
    assert found.dtype == (pl.Int64 if all(one == int(one) for one in found) else found.dtype)


def test_numbers_that_are_no_times_stay_and_are_refused_for_models_that_read_times():
    for given in ([0, 1, 2], [0.5, 1.5], [2023, 2024]):
        assert to_plain_numbers(pl.Series(given)).to_list() == given
        with pytest.raises(InputError, match="reads when events happened, but the column timestamp holds no times"):
            require_times(pl.Series(given))

"""When interactions happened: told where it is certain, and never guessed."""

from datetime import date, datetime

import polars as pl
import pytest

from seqrec.data.timestamps import period

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

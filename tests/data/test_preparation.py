"""What is told of the interactions."""

import datetime

import polars as pl
import pytest

from seqrec.data.preparation import DataArguments, describe_interactions, prepare


def table(timestamps):
    return pl.DataFrame({"user_id": [1, 1, 1, 2], "item_id": ["a", "b", "a", "c"], "timestamp": timestamps})


def test_a_repeat_makes_interactions_no_denser():
    found = describe_interactions(table([1, 2, 3, 4]))
    assert found == {"num_users": 2, "num_items": 3, "num_interactions": 4, "density": pytest.approx(3 / 6)}


def test_period_is_told_as_iso_dates():
    days = [datetime.datetime(2024, 5, day, 12) for day in (2, 1, 3, 31)]
    assert describe_interactions(table(days))["period"] == ["2024-05-01", "2024-05-31"]


def test_terms_are_told_only_where_they_are_known():
    assert "dataset_terms" not in prepare(DataArguments(dataset="synthetic")).protocol


@pytest.mark.parametrize(
    "fields",
    [
        {"split_method": "temporal", "validation_users": 10},
        {"test_fraction": 0.2},
        {"validation_fraction": 0.2},
    ],
)
def test_what_means_nothing_to_the_split_is_refused(fields):
    with pytest.raises(ValueError, match="means nothing to the split"):
        DataArguments(dataset="synthetic", **fields)


def test_an_unknown_split_is_refused():
    with pytest.raises(ValueError, match="Choose one of: leave_one_out, temporal"):
        DataArguments(dataset="synthetic", split_method="random")

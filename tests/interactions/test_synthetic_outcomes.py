"""Synthetic ratings and clicks follow the truth that comes with them."""

import hashlib

import numpy as np
import pytest

from seqrec.interactions.synthetic import synthetic_interactions
from seqrec.interactions.synthetic_outcomes import NOISE, synthetic_outcomes


@pytest.fixture(scope="module")
def data():
    return synthetic_outcomes(num_users=2000)


def test_the_seed_decides_table_and_truth():
    first, same, other = (synthetic_outcomes(num_users=30, seed=seed) for seed in (1, 1, 2))
    assert first.interactions.equals(same.interactions)
    assert np.array_equal(first.ratings_UV, same.ratings_UV)
    assert np.array_equal(first.clicks_UV, same.clicks_UV)
    assert not first.interactions.equals(other.interactions)


def test_the_synthetic_set_without_outcomes_is_as_it_was():
    table = synthetic_interactions().write_csv()
    assert hashlib.sha256(table.encode()).hexdigest() == (
        "68d9e8d74c565c7bb3ba1a27ad2c1db1ad1147ca51aeee3dad4e13adfd6012b8"
    )


def test_users_are_shown_no_item_twice_and_rate_exactly_what_they_click_on(data):
    table = data.interactions
    assert not table.select("user_id", "item_id").is_duplicated().any()
    assert table["click"].unique().sort().to_list() == [0, 1]
    assert (table["rating"].is_not_null() == (table["click"] == 1)).all()
    assert table["rating"].is_between(1, 5).all()


def test_ratings_are_the_truth_with_little_noise(data):
    rated = data.interactions.drop_nulls("rating")
    expected = data.expected_ratings(rated["user_id"], rated["item_id"])
    errors = rated["rating"].to_numpy() - expected
    inner = (expected > 2) & (expected < 4)  # where nothing is clipped
    assert inner.sum() > 1000
    assert errors[inner].std() == pytest.approx(NOISE, rel=0.05)
    assert errors[inner].mean() == pytest.approx(0, abs=0.01)
    assert 1 - (errors**2).mean() / rated["rating"].to_numpy().var() > 0.93


def test_clicks_are_as_frequent_as_their_probabilities(data):
    table = data.interactions
    expected = data.click_probabilities(table["user_id"], table["item_id"])
    clicks = table["click"].to_numpy()
    for low in np.arange(0, 1, 0.1):
        inside = (expected >= low) & (expected < low + 0.1)
        if inside.sum() > 1000:
            assert clicks[inside].mean() == pytest.approx(expected[inside].mean(), abs=0.03)
    assert 0.3 < clicks.mean() < 0.7


def test_tastes_decide_clicks_and_most_of_the_ratings(data):
    liked = data.clicks_UV > np.median(data.clicks_UV)
    assert len({row.tobytes() for row in data.clicks_UV}) == 4  # one row for each taste
    assert data.ratings_UV[liked].mean() > data.ratings_UV[~liked].mean() + 0.5
    assert data.ratings_UV.min() >= 1
    assert data.ratings_UV.max() <= 5


def test_one_taste_is_refused():
    with pytest.raises(ValueError, match="num_tastes must be at least 2, got 1"):
        synthetic_outcomes(num_tastes=1)

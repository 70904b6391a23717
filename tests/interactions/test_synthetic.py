import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from seqrec.interactions.synthetic import MarkovSource, synthetic_interactions, synthetic_items


def test_the_seed_decides_the_table():
    assert_frame_equal(synthetic_interactions(seed=1), synthetic_interactions(seed=1))
    assert not synthetic_interactions(seed=1).equals(synthetic_interactions(seed=2))


def test_users_meet_no_item_twice_and_time_moves_on():
    table = synthetic_interactions(num_users=200)
    lengths = table.group_by("user_id").len()["len"]
    assert (len(lengths), lengths.min(), lengths.max()) == (200, 12, 38)
    assert 23 < lengths.mean() < 27
    assert table.select("user_id", "item_id").is_duplicated().sum() == 0
    assert (table.select(pl.col("timestamp").diff().over("user_id")).to_series().drop_nulls() > 0).all()


def test_the_last_item_tells_more_than_popularity():
    pairs = synthetic_interactions().select("user_id", last="item_id", next=pl.col("item_id").shift(-1).over("user_id"))
    pairs = pairs.drop_nulls()
    successors = pairs.group_by("last", "next").len().sort("len", descending=True)
    best = successors.group_by("last", maintain_order=True).head(3)
    hit = pairs.join(best, on=["last", "next"]).height / pairs.height
    popular = pairs["next"].value_counts(sort=True).head(3)["count"].sum() / pairs.height
    assert hit > 0.5
    assert popular < 0.05


def test_titles_tell_the_taste():
    items = synthetic_items(num_items=10, num_tastes=4)
    assert items.row(7) == ("7", "Item 7 (taste 3)")
    assert set(synthetic_interactions()["item_id"]) <= set(synthetic_items()["item_id"])


@pytest.mark.parametrize(
    "sizes",
    [
        {"num_users": 1},
        {"mean_length": 2},
        {"num_items": 20},
        {"num_tastes": 100},
        {"num_tastes": 0},
        {"follow_probability": 2},
    ],
)
def test_sizes_that_do_not_fit_are_refused(sizes):
    with pytest.raises(ValueError, match=r"must be .* got|is too small"):
        synthetic_interactions(**sizes)


def test_markov_users_follow_the_transitions():
    source = MarkovSource.random(num_items=6, num_successors=3, seed=3)
    table = source.interactions(num_users=2000, length=20, seed=4)
    pairs = table.select(last="item_id", next=pl.col("item_id").shift(-1).over("user_id")).drop_nulls()
    counts_VV = np.zeros((6, 6))
    for last, following, count in pairs.group_by("last", "next").len().rows():
        counts_VV[int(last), int(following)] = count
    shares_VV = counts_VV / counts_VV.sum(axis=1, keepdims=True)
    deviations_VV = np.sqrt(source.transitions_VV * (1 - source.transitions_VV) / counts_VV.sum(axis=1, keepdims=True))
    assert (abs(shares_VV - source.transitions_VV) <= 4 * deviations_VV).all()


def test_best_hit_rate_is_what_the_oracle_reaches():
    transitions_VV = np.array([[0.0, 0.9, 0.1], [0.5, 0.0, 0.5], [0.2, 0.2, 0.6]])
    source = MarkovSource(transitions_VV)
    table = source.interactions(num_users=20_000, length=12, seed=0)
    last, target = (
        table.group_by("user_id", maintain_order=True).tail(2)["item_id"].cast(int).gather_every(2, i) for i in (0, 1)
    )
    lists = (-transitions_VV).argsort(axis=1)
    for k in (1, 2, 3):
        reached = np.mean([t in lists[i, :k] for i, t in zip(last, target, strict=True)])
        assert source.best_hit_rate(k) == pytest.approx(reached, abs=0.01)
        assert source.best_hit_rate(k, last.cast(pl.String)) == pytest.approx(reached, abs=0.01)
    assert source.hit_rates(1).tolist() == [0.9, 0.5, 0.6]
    np.testing.assert_allclose(source.item_shares() @ transitions_VV, source.item_shares())


def test_periodic_sources_have_shares_too():
    assert MarkovSource(np.array([[0.0, 1.0], [1.0, 0.0]])).item_shares().tolist() == [0.5, 0.5]


def test_what_is_no_source_is_refused():
    with pytest.raises(ValueError, match="square matrix"):
        MarkovSource(np.eye(3) * 2)
    with pytest.raises(ValueError, match="square matrix"):
        MarkovSource(np.ones((2, 1)))
    with pytest.raises(ValueError, match=r"num_items \(5\), got 9"):
        MarkovSource.random(num_items=5, num_successors=9)
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        MarkovSource.random().best_hit_rate(0)

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqrec.evaluation import confidence
from seqrec.evaluation.confidence import bootstrap_interval, confidence_intervals
from seqrec.evaluation.metrics import ndcg, ranking_metrics


def naive_interval(values, level, num_resamples=4000):
    """Draw users one by one."""
    generator = np.random.default_rng(7)
    drawn = generator.integers(0, len(values), (num_resamples, len(values)))
    return np.quantile(values[drawn].mean(axis=1), [(1 - level) / 2, (1 + level) / 2])


@pytest.mark.parametrize("level", [0.5, 0.95])
def test_interval_is_that_of_users_drawn_one_by_one(level):
    ranks = np.random.default_rng(0).geometric(0.05, 300)
    values = ndcg(ranks, 10)
    expected = naive_interval(values, level)
    width = expected[1] - expected[0]
    assert bootstrap_interval(values, level=level, num_resamples=4000) == pytest.approx(expected, abs=0.1 * width)
    found = confidence_intervals(ranks, level=level, num_resamples=4000)["ndcg@10"]
    assert found == pytest.approx(expected, abs=0.1 * width)


def test_interval_is_as_wide_as_theory_says():
    values = np.random.default_rng(0).normal(3, 2, 400)  # all distinct: every user is a kind of their own
    low, high = bootstrap_interval(values, num_resamples=4000)
    standard_error = values.std() / 20
    assert (low, high) == pytest.approx(values.mean() + np.array([-1.96, 1.96]) * standard_error, abs=0.02)


def test_interval_holds_the_true_mean_as_often_as_it_says():
    generator = np.random.default_rng(3)
    intervals = [bootstrap_interval(generator.random(60) < 0.4, num_resamples=300) for _ in range(200)]
    held = np.mean([low <= 0.4 <= high for low, high in intervals])
    assert 0.88 < held < 0.99


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), st.floats(0.01, 0.99))
@settings(max_examples=50)
def test_interval_is_ordered_within_the_values_and_knows_no_order(values, level):
    low, high = bootstrap_interval(values, level=level, num_resamples=50)
    slack = 1e-9 * (1 + max(map(abs, values)))
    assert min(values) - slack <= low <= high <= max(values) + slack
    assert bootstrap_interval(values[::-1], level=level, num_resamples=50) == (low, high)


def test_higher_levels_are_wider_and_more_users_narrower():
    few, many = np.arange(40) % 2, np.arange(4000) % 2
    narrow, wide = bootstrap_interval(few, level=0.5), bootstrap_interval(few, level=0.99)
    assert wide[0] < narrow[0] < 0.5 < narrow[1] < wide[1]
    assert np.ptp(bootstrap_interval(many)) < np.ptp(bootstrap_interval(few)) / 5


def test_seeds_decide():
    values = np.random.default_rng(0).random(50)
    assert bootstrap_interval(values, seed=1) == bootstrap_interval(values, seed=1)
    assert bootstrap_interval(values, seed=1) != bootstrap_interval(values, seed=2)


def test_memory_bound_does_not_change_the_interval(monkeypatch):
    values = np.random.default_rng(0).random(50)
    whole = bootstrap_interval(values, num_resamples=101)
    monkeypatch.setattr(confidence, "MAX_DRAWS", 170)
    assert bootstrap_interval(values, num_resamples=101) == pytest.approx(whole, abs=1e-12)
    monkeypatch.setattr(confidence, "MAX_DRAWS", 1)
    assert bootstrap_interval(values, num_resamples=101) == pytest.approx(whole, abs=1e-12)


def test_equal_users_leave_no_doubt():
    assert bootstrap_interval([0.25] * 9) == (0.25, 0.25)
    assert bootstrap_interval([1]) == (1.0, 1.0)


def test_confidence_intervals_surround_the_metrics_of_every_k():
    ranks = np.random.default_rng(0).geometric(0.1, 500)
    found = confidence_intervals(ranks, (5, 10))
    assert set(found) == {f"{name}@{k}" for name in ("ndcg", "hr", "mrr") for k in (5, 10)}
    for name, mean in ranking_metrics(ranks, (5, 10)).items():
        if name in found:
            low, high = found[name]
            assert low < mean < high, name
            assert type(low) is type(high) is float


def test_all_metrics_see_the_same_resamples():
    # At k=1 the three metrics are one; drawn apart, their intervals would differ.
    found = confidence_intervals([1, 2] * 40, (1,))
    assert found["ndcg@1"] == found["hr@1"] == found["mrr@1"]
    together = confidence_intervals(np.arange(1, 200), (1, 10))
    assert together["mrr@1"] == together["hr@1"]


def test_users_of_several_targets_have_intervals():
    low, high = confidence_intervals([[1, 5], [3, 0], [40, 2]])["hr@10"]
    assert (low, high) == (1.0, 1.0)


@pytest.mark.parametrize("values", [[], [[0.5]], [0.5, float("nan")], [float("inf")]])
def test_values_without_a_mean_are_refused(values):
    with pytest.raises(ValueError, match="one finite value per user"):
        bootstrap_interval(values)


@pytest.mark.parametrize("level", [0, 1, 95])
def test_levels_that_are_no_share_are_refused(level):
    with pytest.raises(ValueError, match=f"between 0 and 1, got {level}"):
        bootstrap_interval([0.5], level=level)
    with pytest.raises(ValueError, match=f"between 0 and 1, got {level}"):
        confidence_intervals([1], level=level)


def test_no_k_is_refused():
    with pytest.raises(ValueError, match="ks is empty"):
        confidence_intervals([1], ())


def test_no_resamples_are_refused():
    with pytest.raises(ValueError, match=r"num_resamples must be at least 1.*got 0"):
        bootstrap_interval([0.5], num_resamples=0)

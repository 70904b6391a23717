"""Intervals of the metrics of tasks are those of users drawn one by one."""

import numpy as np
import pytest

from seqrec.evaluation.task_confidence import auc_interval, binary_intervals, rating_intervals
from seqrec.evaluation.task_metrics import auc, binary_metrics, rating_metrics


def clustered_rows(num_users=150, seed=0):
    """Rows of users who differ in their number of rows, in their taste and in how well they are predicted."""
    generator = np.random.default_rng(seed)
    users = np.repeat(np.arange(num_users), generator.integers(1, 20, num_users))
    logits = generator.normal(0, 1, len(users)) + generator.normal(0, 1, num_users)[users]
    probabilities = 1 / (1 + np.exp(-logits))
    shifted = 1 / (1 + np.exp(-logits - generator.normal(0, 1.5, num_users)[users]))
    labels = (generator.random(len(users)) < shifted).astype(np.float32)
    return probabilities, labels, users


def resampled(metrics, predicted, labels, users, num_resamples=400):
    """Draw users one by one, with all of their rows, which become those of another user each time."""
    generator = np.random.default_rng(7)
    rows = [np.flatnonzero(users == user) for user in np.unique(users)]
    found = []
    for _ in range(num_resamples):
        drawn = [rows[place] for place in generator.integers(0, len(rows), len(rows))]
        places = np.concatenate(drawn)
        new_users = np.repeat(np.arange(len(drawn)), [len(one) for one in drawn])
        found.append(metrics(predicted[places], labels[places], new_users))
    return {name: np.quantile([one[name] for one in found], [0.025, 0.975]) for name in found[0]}


@pytest.mark.parametrize("name", ["auc", "log_loss", "grouped_auc"])
def test_binary_intervals_are_those_of_users_drawn_one_by_one(name):
    rows = clustered_rows()
    expected = resampled(binary_metrics, *rows)[name]
    low, high = binary_intervals(*rows)[name]
    assert (low, high) == pytest.approx(expected, abs=0.15 * (expected[1] - expected[0]))
    assert type(low) is type(high) is float


@pytest.mark.parametrize("name", ["rmse", "mae"])
def test_rating_intervals_are_those_of_users_drawn_one_by_one(name):
    probabilities, _, users = clustered_rows()
    labels = np.random.default_rng(1).normal(probabilities, 0.2 + 0.02 * (users % 20))
    expected = resampled(lambda p, y, _: rating_metrics(p, y), probabilities, labels, users)[name]
    found = rating_intervals(probabilities, labels, users)[name]
    assert found == pytest.approx(expected, abs=0.15 * (expected[1] - expected[0]))


def test_rows_of_few_users_say_less_than_rows_of_many():
    probabilities, labels, users = clustered_rows()
    clustered = np.ptp(binary_intervals(probabilities, labels, users)["auc"])
    apart = np.ptp(binary_intervals(probabilities, labels, np.arange(len(users)))["auc"])
    assert apart < 0.9 * clustered


def test_the_interval_of_the_auc_is_delongs_for_rows_of_their_own_users():
    probabilities, labels, _ = clustered_rows()
    ones, zeros = probabilities[labels == 1], probabilities[labels == 0]
    wins = (ones[:, None] > zeros) + 0.5 * (ones[:, None] == zeros)
    variance = wins.mean(axis=1).var(ddof=1) / len(ones) + wins.mean(axis=0).var(ddof=1) / len(zeros)
    expected = wins.mean() + np.array([-1.96, 1.96]) * np.sqrt(variance)
    assert auc_interval(probabilities, labels, np.arange(len(labels))) == pytest.approx(expected, abs=2e-4)


def test_the_interval_of_the_auc_holds_the_true_value_as_often_as_it_says():
    scores, labels, _ = clustered_rows(20_000, seed=5)
    true = auc(scores, labels)
    held = []
    for seed in range(200):
        drawn = clustered_rows(60, seed=seed + 10)
        low, high = binary_intervals(*drawn)["auc"]
        held.append(low <= true <= high)
    assert 0.88 < np.mean(held) < 0.99


def test_undefined_aucs_have_no_interval():
    assert set(binary_intervals([0.2, 0.4], [1, 1], [0, 0])) == {"log_loss"}
    assert set(binary_intervals([0.2, 0.4], [1, 0], [0, 1])) == {"log_loss", "auc"}


def test_intervals_stay_within_0_and_1():
    low, high = binary_intervals([0.1, 0.2, 0.8, 0.9], [0, 1, 0, 1], [0, 1, 2, 3])["auc"]
    assert 0 <= low < high <= 1


def test_seeds_decide():
    rows = clustered_rows()
    assert binary_intervals(*rows, seed=1) == binary_intervals(*rows, seed=1)
    assert binary_intervals(*rows, seed=1) != binary_intervals(*rows, seed=2)

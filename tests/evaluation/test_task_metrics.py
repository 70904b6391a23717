"""Metrics of tasks agree with loops over rows and with torchmetrics."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.functional.classification import binary_auroc, binary_calibration_error
from torchmetrics.functional.regression import mean_absolute_error, mean_squared_error

from seqrec.evaluation.task_metrics import (
    auc,
    binary_metrics,
    expected_calibration_error,
    grouped_auc,
    log_losses,
    placements,
    rating_metrics,
    reliability,
)

ROWS = st.lists(
    st.tuples(st.integers(0, 20).map(lambda tick: tick / 20), st.integers(0, 1), st.integers(0, 5)),
    min_size=1,
    max_size=40,
)


def columns(rows):
    probabilities, labels, users = zip(*rows, strict=True)
    return np.array(probabilities), np.array(labels, dtype=np.float32), np.array(users)


def naive_auc(scores, labels):
    ones = [score for score, label in zip(scores, labels, strict=True) if label == 1]
    zeros = [score for score, label in zip(scores, labels, strict=True) if label == 0]
    pairs = [1.0 if one > zero else 0.5 if one == zero else 0.0 for one, zero in itertools.product(ones, zeros)]
    return sum(pairs) / len(pairs) if pairs else float("nan")


def naive_grouped_auc(scores, labels, users):
    found = {}
    for user in set(users.tolist()):
        value = naive_auc(scores[users == user], labels[users == user])
        if value == value:
            found[user] = (value, (users == user).sum())
    left_out = 1 - len(found) / len(set(users.tolist()))
    total = sum(count for _, count in found.values())
    return (sum(value * count for value, count in found.values()) / total if found else float("nan")), left_out


def naive_ece(probabilities, labels, num_bins):
    total = 0.0
    for low in range(num_bins):
        last = low == num_bins - 1
        edges = low / num_bins, (low + 1) / num_bins
        inside = [
            (p, y) for p, y in zip(probabilities, labels, strict=True) if edges[0] <= p and (last or p < edges[1])
        ]
        if inside:
            ps, ys = np.array(inside).T
            total += len(inside) * abs(ps.mean() - ys.mean())
    return total / len(labels)


@given(ROWS)
def test_auc_counts_ordered_pairs(rows):
    scores, labels, _ = columns(rows)
    assert auc(scores, labels) == pytest.approx(naive_auc(scores, labels), nan_ok=True)


@given(ROWS)
def test_grouped_auc_averages_users_by_their_rows(rows):
    assert grouped_auc(*columns(rows)) == pytest.approx(naive_grouped_auc(*columns(rows)), nan_ok=True)


@given(ROWS)
def test_placements_average_to_the_auc(rows):
    scores, labels, _ = columns(rows)
    if 0 < labels.sum() < len(labels):
        for found in placements(scores, labels):
            assert found.mean() == pytest.approx(naive_auc(scores, labels))


@given(ROWS, st.integers(1, 7))
def test_calibration_error_is_that_of_a_loop_over_bins(rows, num_bins):
    # Probabilities in the middle of twentieths, so that none lies on the edge of a bin.
    scores, labels, _ = columns(rows)
    probabilities = np.clip(scores + 0.0123, 0, 1)
    found = expected_calibration_error(probabilities, labels, num_bins=num_bins)
    assert found == pytest.approx(naive_ece(probabilities, labels, num_bins))


def test_metrics_are_those_of_torchmetrics():
    generator = np.random.default_rng(0)
    probabilities = generator.random(2000).astype(np.float32)
    probabilities[:500] = np.float32(0.71)  # many equal ones
    labels = (generator.random(2000) < probabilities).astype(np.float32)
    found = binary_metrics(probabilities, labels, generator.integers(0, 50, 2000))
    given_, true = torch.from_numpy(probabilities), torch.from_numpy(labels).long()
    assert found["auc"] == pytest.approx(float(binary_auroc(given_, true)), abs=1e-6)
    assert found["ece"] == pytest.approx(float(binary_calibration_error(given_, true, n_bins=15, norm="l1")), abs=1e-6)
    inner = given_.clamp(1e-7, 1 - 1e-7)
    expected = torch.nn.functional.binary_cross_entropy(inner.double(), true.double())
    assert found["log_loss"] == pytest.approx(float(expected), abs=1e-6)
    ratings = rating_metrics(5 * probabilities, 5 * labels)
    assert ratings["rmse"] == pytest.approx(float(mean_squared_error(5 * given_, 5.0 * true, squared=False)), abs=1e-5)
    assert ratings["mae"] == pytest.approx(float(mean_absolute_error(5 * given_, 5.0 * true)), abs=1e-5)


def test_known_answers():
    probabilities, labels, users = np.array([0.9, 0.2, 0.6, 0.4, 0.8]), np.array([1, 0, 0, 1, 1]), list("aabbc")
    found = binary_metrics(probabilities, labels, users)
    assert found["auc"] == pytest.approx(5 / 6)  # of the pairs, only 0.4 is below 0.6
    assert found["grouped_auc"] == pytest.approx(0.5)  # users a: 1, b: 0
    assert found["grouped_auc_left_out"] == pytest.approx(1 / 3)
    assert found["log_loss"] == pytest.approx(-np.log([0.9, 0.8, 0.4, 0.4, 0.8]).mean())
    assert found["ece"] == pytest.approx(np.mean([0.1, 0.2, 0.6, 0.6, 0.2]))
    assert rating_metrics([1.0, 2.0, 5.0], [2, 2, 3]) == pytest.approx({"rmse": np.sqrt(5 / 3), "mae": 1.0})


def test_grouped_auc_ignores_differences_between_users():
    labels, users = np.array([0, 1] * 50), np.repeat(np.arange(50), 2)
    inside = labels + 10.0 * users
    assert grouped_auc(inside, labels, users)[0] == 1
    assert auc(inside, labels) < 0.6


def test_one_kind_of_label_has_no_auc():
    found = binary_metrics([0.2, 0.4], [1, 1], [0, 0])
    assert np.isnan([found["auc"], found["grouped_auc"]]).all()
    assert found["grouped_auc_left_out"] == 1


def test_certain_mistakes_have_a_finite_loss():
    assert log_losses(np.array([0.0, 1.0]), np.array([1, 0])) == pytest.approx(-np.log(1e-7))
    assert log_losses(np.array([0.0, 1.0]), np.array([0, 1])) == pytest.approx(0, abs=1e-6)


def test_reliability_lists_the_bins_with_rows():
    found = reliability([0.05, 0.05, 0.5, 1.0], [0, 1, 1, 1])
    assert found.num_rows_C.sum() == 4
    assert len(found.num_rows_C) == 15
    record = found.record()
    assert record["num_rows"] == [2, 1, 1]
    assert record["predicted"] == pytest.approx([0.05, 0.5, 1.0])
    assert record["observed"] == [0.5, 1.0, 1.0]


@pytest.mark.parametrize("given_", [([], []), ([0.5], [0, 1]), ([[0.5]], [[1]])])
def test_rows_that_do_not_fit_are_refused(given_):
    with pytest.raises(ValueError, match=r"Give one of each per row, and at least one row"):
        rating_metrics(*given_)


def test_missing_labels_are_refused():
    with pytest.raises(ValueError, match=r"finite numbers\. Leave out the rows without a label"):
        rating_metrics([1.0, 2.0], [1.0, float("nan")])


def test_labels_and_probabilities_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"must be 0 or 1, got 3\."):
        binary_metrics([0.5, 0.5], [0, 3], [0, 0])
    with pytest.raises(ValueError, match=r"between 0 and 1, got -2 to 0.5\. Pass predictions, not logits"):
        binary_metrics([0.5, -2], [0, 1], [0, 0])

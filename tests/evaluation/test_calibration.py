"""Calibration finds a known distortion of logits, and leaves alone what cannot be fitted."""

import logging

import numpy as np
import pytest
import torch

from seqrec.evaluation.calibration import average_log_loss, fit_calibration
from seqrec.evaluation.task_metrics import auc, expected_calibration_error


def distorted_rows(slope, shift, num_rows=20_000):
    """Labels whose true logits are slope · logit + shift."""
    generator = np.random.default_rng(0)
    logits = generator.normal(0.5, 2, num_rows)
    labels = generator.random(num_rows) < sigmoid(slope * logits + shift)
    return logits, labels.astype(np.float32)


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


@pytest.mark.parametrize(("slope", "shift"), [(1, 0), (0.3, 1), (2, -3)])
def test_a_known_distortion_is_found(slope, shift):
    logits, labels = distorted_rows(slope, shift)
    found = fit_calibration(logits, labels)
    assert found == pytest.approx((slope, shift), abs=0.1)
    calibrated = sigmoid(found[0] * logits + found[1])
    assert expected_calibration_error(calibrated, labels) < 0.02
    assert auc(calibrated, labels) == auc(logits, labels)


def test_the_log_loss_is_as_low_as_gradient_descent_finds_it():
    logits, labels = distorted_rows(0.4, -1, 500)
    parameters = torch.tensor([1.0, 0.0], dtype=torch.float64, requires_grad=True)
    inputs, targets = torch.from_numpy(logits), torch.from_numpy(labels).double()
    optimizer = torch.optim.LBFGS([parameters], max_iter=200, tolerance_grad=1e-10, line_search_fn="strong_wolfe")

    def loss():
        optimizer.zero_grad()
        found = torch.nn.functional.binary_cross_entropy_with_logits(parameters[0] * inputs + parameters[1], targets)
        found.backward()
        return found

    optimizer.step(loss)
    slope, shift = fit_calibration(logits, labels)
    assert (slope, shift) == pytest.approx(parameters.tolist(), abs=1e-5)
    assert average_log_loss(slope * logits + shift, labels) == pytest.approx(loss().item(), abs=1e-9)


def test_far_off_logits_are_calibrated_too():
    logits, labels = distorted_rows(1, 0)
    slope, shift = fit_calibration(100 * logits - 700, labels)
    assert slope == pytest.approx(0.01, abs=0.001)
    assert shift == pytest.approx(7, abs=0.5)


def test_rows_without_a_label_are_left_out():
    logits, labels = distorted_rows(0.5, 1, 400)
    with_others = np.append(labels, [np.nan] * 50), np.append(logits, np.full(50, 99.0))
    assert fit_calibration(with_others[1], with_others[0]) == fit_calibration(logits, labels)


@pytest.mark.parametrize(
    ("logits", "labels", "told"),
    [
        (np.linspace(-1, 1, 99), np.arange(99) % 2, "it has 99 labels, and a fit needs 100"),
        (np.zeros(0), np.zeros(0), "it has 0 labels"),
        (np.linspace(-1, 1, 200), np.ones(200), "all of its 200 labels are 1"),
        (np.linspace(-1, 1, 200), np.arange(200) < 100, "do not order the labels better than chance (AUC 0.000)"),
        (np.zeros(200), np.arange(200) < 100, "do not order the labels better than chance (AUC 0.500)"),
        (np.linspace(-1, 1, 200), np.arange(200) >= 100, "separate the labels perfectly"),
    ],
)
def test_impossible_fits_leave_the_logits_as_they_are_and_say_why(caplog, logits, labels, told):
    with caplog.at_level(logging.WARNING):
        assert fit_calibration(logits, labels.astype(float), task="like") == (1.0, 0.0)
    assert "The task like is not calibrated: on validation, " in caplog.text
    assert told in caplog.text


def test_a_slope_below_zero_is_not_used(caplog):
    """Far outliers turn the slope of a fit, although most pairs are in order."""
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 0.1, 2000)
    labels = (generator.random(2000) < sigmoid(5 * logits)).astype(float)
    logits[:20], labels[:20] = -50, 1
    assert auc(logits, labels) > 0.5
    with caplog.at_level(logging.WARNING):
        assert fit_calibration(logits, labels) == (1.0, 0.0)
    assert "higher logits do not go with label 1" in caplog.text

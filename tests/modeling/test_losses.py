"""Losses against autograd on their formulas. Shape suffixes: N tokens, V vocabulary, D hidden size."""

import math

import pytest
import torch

from seqrec import SasRecConfig, SasRecForNextItem
from seqrec.modeling import losses
from seqrec.modeling.losses import bce, cross_entropy, gbce, gbce_beta, sampled_softmax


def naive(hidden_ND, items_VD, labels_N):
    """The formula, with all logits at once."""
    logits_NV = (hidden_ND @ items_VD.T).float()
    logits_NV[:, :3] = -torch.inf
    return torch.nn.functional.cross_entropy(logits_NV, labels_N, reduction="sum")


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.float32, 1e-5)])
@pytest.mark.parametrize("num_tokens", [1, 7, 40])
def test_chunked_cross_entropy_is_exact(monkeypatch, dtype, tolerance, num_tokens):
    monkeypatch.setattr(losses, "chunk_rows", lambda num_items, device: 8)
    torch.manual_seed(0)
    hidden = torch.randn(num_tokens, 6, dtype=dtype, requires_grad=True)
    items = torch.randn(50, 6, dtype=dtype, requires_grad=True)
    labels = torch.randint(3, 50, (num_tokens,))
    loss = cross_entropy(hidden, items, labels)
    grads = torch.autograd.grad(loss * 3, [hidden, items])
    expected = naive(hidden, items, labels)
    expected_grads = torch.autograd.grad(expected * 3, [hidden, items])
    torch.testing.assert_close(loss, expected, atol=tolerance, rtol=tolerance)
    torch.testing.assert_close(grads, expected_grads, atol=tolerance, rtol=tolerance)


def test_under_autocast_it_is_near_float32():
    torch.manual_seed(0)
    hidden, items = torch.randn(300, 32, requires_grad=True), torch.randn(90, 32, requires_grad=True)
    labels = torch.randint(3, 90, (300,))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = cross_entropy(hidden, items, labels)
    grads = torch.autograd.grad(loss, [hidden, items])
    expected = naive(hidden, items, labels)
    expected_grads = torch.autograd.grad(expected, [hidden, items])
    assert loss.dtype == grads[0].dtype == grads[1].dtype == torch.float32
    torch.testing.assert_close(loss, expected, rtol=5e-3, atol=0)
    for grad, wanted in zip(grads, expected_grads, strict=True):
        assert (grad - wanted).norm() < 0.02 * wanted.norm()


@pytest.mark.parametrize("scale", [1e-3, 1.0, 300.0])
def test_logits_of_any_size_are_safe(scale):
    torch.manual_seed(0)
    hidden, items = torch.randn(20, 8) * scale, torch.randn(40, 8, requires_grad=True)
    hidden.requires_grad_()
    labels = torch.randint(3, 40, (20,))
    loss, expected = cross_entropy(hidden, items, labels), naive(hidden, items, labels)
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)
    grads, wanted = torch.autograd.grad(loss, [hidden, items]), torch.autograd.grad(expected, [hidden, items])
    torch.testing.assert_close(grads, wanted, rtol=1e-4, atol=1e-4 * scale)


def scores(seed=0):
    """Scores of 20 targets and of 7 negatives each, one of which does not count."""
    torch.manual_seed(seed)
    targets, negatives = torch.randn(20, requires_grad=True), torch.randn(20, 7)
    negatives[3, 4] = torch.finfo(torch.float32).min
    return targets, negatives.requires_grad_()


def assert_loss_and_gradients(loss, expected, inputs):
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(torch.autograd.grad(loss, inputs), torch.autograd.grad(expected, inputs))


def test_sampled_softmax_is_its_formula():
    targets, negatives = scores()
    expected = torch.zeros(())
    for target, rivals in zip(targets, negatives, strict=True):
        expected = expected - (target.exp() / (target.exp() + rivals.exp().sum())).log()
    assert_loss_and_gradients(sampled_softmax(targets, negatives), expected, [targets, negatives])


@pytest.mark.parametrize("calibration", [None, 0.0, 0.3, 0.75, 1.0])
def test_binary_losses_are_their_formulas(calibration):
    """gBCE by the paper's own steps; at t = 0 it is plain binary cross-entropy."""
    targets, negatives = scores()
    num_items = 101
    sampled = 7 / (num_items - 1)
    beta = 1.0 if calibration is None else sampled * (calibration * (1 - 1 / sampled) + 1 / sampled)
    expected = torch.zeros(())
    for target, rivals in zip(targets, negatives, strict=True):
        counted = rivals[rivals > -1e30]
        expected = expected - (target.sigmoid() ** beta).log() - (1 - counted.sigmoid()).log().sum()
    if calibration is None:
        loss = bce(targets, negatives)
    else:
        loss = gbce(targets, negatives, beta=gbce_beta(7, num_items, calibration))
    assert_loss_and_gradients(loss, expected, [targets, negatives])


@pytest.mark.parametrize("loss", ["bce", "gbce"])
@pytest.mark.parametrize("num_negatives", [1, 40])
def test_binary_losses_start_where_targets_and_negatives_pull_equally(loss, num_negatives):
    """A model says nothing at first: all scores are 0. No score shall then want to move with all others."""
    config = SasRecConfig(vocab_size=1003, hidden_size=16, loss=loss, num_negatives=num_negatives)
    model = SasRecForNextItem(config)
    targets = torch.zeros(6, requires_grad=True)
    negatives = torch.zeros(6, num_negatives, requires_grad=True)
    model.binary_loss(targets, negatives, model.config.num_items).backward()
    assert targets.grad.max() < 0 < negatives.grad.min()
    torch.testing.assert_close(targets.grad.sum(), -negatives.grad.sum())


@pytest.mark.parametrize("calibration", [0.0, 0.3, 1.0])
def test_a_model_is_trained_with_the_calibration_of_its_configuration(calibration):
    """From scores of which the level log(S/β) is taken, by the formula."""
    targets, negatives = scores()
    config = SasRecConfig(vocab_size=104, hidden_size=16, loss="gbce", num_negatives=7, gbce_calibration=calibration)
    beta = gbce_beta(7, 101, calibration)
    level = math.log(7 / beta)
    found = SasRecForNextItem(config).binary_loss(targets, negatives, config.num_items)
    torch.testing.assert_close(found, gbce(targets - level, negatives - level, beta=beta))


def test_one_negative_is_as_in_sasrec():
    targets, negatives = torch.tensor([0.3, -2.0]), torch.tensor([[0.1], [1.0]])
    model = SasRecForNextItem(SasRecConfig(vocab_size=1003, hidden_size=16, loss="bce", num_negatives=1))
    torch.testing.assert_close(model.binary_loss(targets, negatives, model.config.num_items), bce(targets, negatives))


def test_gbce_beta_at_its_ends():
    assert gbce_beta(256, 3417, 0.0) == pytest.approx(1.0)
    assert gbce_beta(256, 3417, 1.0) == pytest.approx(256 / 3416)
    assert gbce_beta(5000, 3417, 1.0) == 1.0  # more negatives than rivals


def test_no_tokens_cost_nothing():
    items = torch.randn(9, 4, requires_grad=True)
    loss = cross_entropy(torch.empty(0, 4, requires_grad=True), items, torch.empty(0, dtype=torch.long))
    loss.backward()
    assert loss == 0
    assert not items.grad.any()


@pytest.mark.parametrize("loss", [sampled_softmax, bce, lambda *scores: gbce(*scores, beta=0.3)])
def test_no_tokens_cost_nothing_against_sampled_negatives(loss):
    hidden, items = torch.randn(0, 4, requires_grad=True), torch.randn(9, 4, requires_grad=True)
    found = loss((hidden * items[:0]).sum(dim=1), hidden @ items.T)
    found.backward()
    assert found == 0
    assert not items.grad.any()


@pytest.mark.parametrize("num_negatives", [1, 2, 5000])
@pytest.mark.parametrize("num_items", [1, 2, 3])
def test_gbce_beta_of_tiny_catalogues(num_items, num_negatives):
    assert 0 < gbce_beta(num_negatives, num_items, 0.75) <= 1


def test_no_gradient_is_computed_where_none_is_wanted():
    loss = cross_entropy(torch.randn(5, 4), torch.randn(9, 4), torch.full((5,), 4))
    assert not loss.requires_grad

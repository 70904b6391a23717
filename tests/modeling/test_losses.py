"""Losses against autograd on their formulas. Shape suffixes: N tokens, V vocabulary, D hidden size."""

import pytest
import torch

from seqrec.modeling import losses
from seqrec.modeling.losses import cross_entropy, sampled_softmax


def naive(hidden_ND, items_VD, labels_N):
    """The formula, with all logits at once."""
    logits_NV = (hidden_ND @ items_VD.T).float()
    logits_NV[:, :3] = -torch.inf
    return torch.nn.functional.cross_entropy(logits_NV, labels_N, reduction="sum")


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.float32, 1e-5)])
@pytest.mark.parametrize("num_tokens", [1, 7, 40])
def test_chunked_cross_entropy_is_exact(monkeypatch, dtype, tolerance, num_tokens):
    monkeypatch.setattr(losses, "chunk_rows", lambda items: 8)
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


def test_sampled_softmax_is_its_formula():
    """Token by token, from the scores of its target and of those negatives that are not its target."""
    torch.manual_seed(0)
    hidden, items = torch.randn(30, 6, requires_grad=True), torch.randn(12, 6, requires_grad=True)
    labels, negatives = torch.randint(3, 12, (30,)), torch.randint(3, 12, (7,))
    loss = sampled_softmax(hidden, items[labels], items[negatives], labels, negatives)
    expected = torch.zeros(())
    for vector, label in zip(hidden, labels.tolist(), strict=True):
        rivals = [label] + [item for item in negatives.tolist() if item != label]
        expected = expected - (items[rivals] @ vector).log_softmax(0)[0]
    torch.testing.assert_close(loss, expected)
    grads, wanted = torch.autograd.grad(loss, [hidden, items]), torch.autograd.grad(expected, [hidden, items])
    torch.testing.assert_close(grads, wanted)


def test_sampled_softmax_over_all_items_is_cross_entropy():
    torch.manual_seed(0)
    hidden, items, labels = torch.randn(30, 6), torch.randn(12, 6), torch.randint(3, 12, (30,))
    everything = torch.arange(3, 12)
    sampled = sampled_softmax(hidden, items[labels], items[everything], labels, everything)
    torch.testing.assert_close(sampled, cross_entropy(hidden, items, labels))


def test_no_tokens_cost_nothing():
    items = torch.randn(9, 4, requires_grad=True)
    loss = cross_entropy(torch.empty(0, 4, requires_grad=True), items, torch.empty(0, dtype=torch.long))
    loss.backward()
    assert loss == 0
    assert not items.grad.any()


def test_no_gradient_is_computed_where_none_is_wanted():
    loss = cross_entropy(torch.randn(5, 4), torch.randn(9, 4), torch.full((5,), 4))
    assert not loss.requires_grad

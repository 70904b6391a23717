"""Dropout drawn from random bits."""

import pytest
import torch

from seqrec.modeling.dropout import Dropout


@pytest.mark.parametrize("probability", [0.1, 0.2, 0.5, 0.9])
def test_it_drops_the_share_asked_for_and_keeps_the_expectation(probability):
    torch.manual_seed(0)
    ones = torch.ones(1_000_003, requires_grad=True)
    dropped = Dropout(probability)(ones)
    share = (dropped == 0).double().mean().item()
    assert share == pytest.approx(probability, abs=4 * (probability * (1 - probability) / len(ones)) ** 0.5)
    torch.testing.assert_close(dropped.max().item(), 1 / (1 - probability), rtol=1e-4, atol=0)
    (gradient,) = torch.autograd.grad(dropped.sum(), ones)
    torch.testing.assert_close(gradient, dropped.detach())


def test_neighbours_are_dropped_independently():
    """Four elements share one drawn integer; each pair of them must drop together as often as chance has it."""
    torch.manual_seed(0)
    dropped = (Dropout(0.5)(torch.ones(400_000)) == 0).double().view(-1, 4)
    correlation = torch.corrcoef(dropped.T)
    torch.testing.assert_close(correlation, torch.eye(4, dtype=torch.double), atol=0.015, rtol=0)


def test_it_follows_the_seed_and_rests_in_evaluation():
    values = torch.randn(33, 7)
    layer = Dropout(0.3)
    torch.manual_seed(1)
    first = layer(values)
    torch.manual_seed(1)
    assert layer(values).equal(first)
    assert not layer(values).equal(first)
    assert layer.eval()(values) is values
    assert Dropout(0.0)(values).equal(values)


def test_it_keeps_the_type():
    assert Dropout(0.3)(torch.ones(5, dtype=torch.bfloat16)).dtype == torch.bfloat16
    assert Dropout(0.3)(torch.ones(0)).shape == (0,)

"""Vectors are kept until the weights that they were computed from change."""

import copy
import pickle

import pytest
import torch
from torch import nn

from seqrec import SasRecConfig
from seqrec.modeling.kept_vectors import KeptVectors
from seqrec.modeling.modeling_sasrec import SasRecForNextItem


@pytest.fixture
def module():
    module = nn.Linear(2, 3)
    module.register_buffer("values", torch.ones(4))
    module.inner = nn.Sequential(nn.Linear(2, 2))
    return module


def replace_buffer(module):
    module.values = torch.ones(4)


CHANGES = {
    "in place": lambda module: module.weight.mul_(2),
    "by data": lambda module: setattr(module.weight, "data", torch.ones(3, 2)),
    "a parameter": lambda module: setattr(module, "bias", nn.Parameter(module.bias.detach())),
    "a buffer": replace_buffer,
    "a part of a buffer": lambda module: module.values[:1].zero_(),
    "a module within": lambda module: setattr(module.inner, "0", nn.Sequential(module.inner[0], nn.Linear(2, 2))),
    "a weight within": lambda module: module.inner[0].weight.mul_(2),
    "another": lambda module: module.register_buffer("more", torch.ones(2)),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@torch.no_grad()
def test_a_change_of_the_weights_is_noticed(module, change):
    kept, vectors = KeptVectors(), torch.ones(2)
    assert kept.get() is None
    assert kept.keep(module, vectors) is vectors
    assert kept.get() is vectors
    change(module)
    assert kept.get() is None


def test_copies_keep_nothing(module):
    kept = KeptVectors()
    kept.keep(module, torch.ones(2))
    assert copy.deepcopy(kept).record is None
    assert pickle.loads(pickle.dumps(kept)).record is None
    kept.forget()
    assert kept.get() is None


def test_vectors_kept_in_inference_mode_serve_later():
    config = SasRecConfig(vocab_size=9, hidden_size=16, item_features={"year": {"kind": "number"}})
    model = SasRecForNextItem(config).eval()
    with torch.inference_mode():
        kept = model.encode_items()
    assert not kept.is_inference()
    with torch.no_grad():
        assert model.encode_items() is kept
    with torch.inference_mode():
        made_there = SasRecForNextItem(config).eval()
        torch.testing.assert_close(made_there.encode_items(), made_there.encode_items(torch.arange(9)))


def test_vectors_kept_under_autocast_are_exact():
    features = {"title": {"kind": "vector", "size": 5}}
    model = SasRecForNextItem(SasRecConfig(vocab_size=9, hidden_size=16, item_features=features)).eval()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        kept = model.encode_items()
    torch.testing.assert_close(kept, model.encode_items())

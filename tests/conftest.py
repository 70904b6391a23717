"""Small models and data that many tests share."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when transformers is imported
os.environ.setdefault("OMP_NUM_THREADS", "1")  # models here are tiny: more threads would wait for one another

import hypothesis
import polars as pl
import pytest
import torch

from seqrec.interactions.tokenization_items import ItemTokenizer
from seqrec.modeling.modeling_auto import ARCHITECTURES, MODEL_TYPES, AutoModelForNextItem
from seqrec.testing.model_contract import NUM_ITEMS, TINY

hypothesis.settings.register_profile("seqrec", deadline=None)  # how long an example takes says little of the code
hypothesis.settings.load_profile("seqrec")


@pytest.fixture(params=[config_class.model_type for config_class, _, _ in ARCHITECTURES])
def model_type(request):
    """Every architecture in turn."""
    return request.param


@pytest.fixture
def choices():
    """Fields of the configuration that a test tries several values of."""
    return {}


@pytest.fixture
def tiny_config(model_type, choices):
    """A configuration of few parameters."""
    return MODEL_TYPES[model_type](vocab_size=NUM_ITEMS + 3, **TINY, **choices)


@pytest.fixture
def tiny_model(tiny_config):
    """A model of few parameters, initialised widely, so that its outputs differ from one another."""
    torch.manual_seed(0)
    tiny_config.initializer_range = 0.5
    return AutoModelForNextItem.from_config(tiny_config).eval()


@pytest.fixture
def tokenizer():
    """A vocabulary of `NUM_ITEMS` items: "item 0", "item 1", …"""
    return ItemTokenizer.from_item_ids([f"item {index}" for index in range(NUM_ITEMS)])


@pytest.fixture
def items(tokenizer):
    """Its catalogue, the most popular first."""
    return pl.DataFrame(
        {
            "item_id": tokenizer.item_ids,
            "title": [f"Title of {item_id}" for item_id in tokenizer.item_ids],
            "count": list(range(NUM_ITEMS, 0, -1)),
        }
    )


@pytest.fixture
def recommender(tiny_model, tokenizer, items):
    """All three in one."""
    from seqrec.inference.recommender import Recommender

    return Recommender(tiny_model, tokenizer, items)

"""Small models and data shared by many tests."""

import gc
import os
import sys
from functools import cache
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # must be set before transformers is imported
os.environ.setdefault("OMP_NUM_THREADS", "1")  # models are tiny: more threads would only wait for one another

import hypothesis
import jinja2
import polars as pl
import pytest
import torch

from seqrec.interactions.tokenization_items import ItemTokenizer
from seqrec.modeling.modeling_auto import ARCHITECTURES, MODEL_TYPES, AutoModelForNextItem
from seqrec.testing.model_contract import NUM_ITEMS, TINY

sys.path.insert(0, str(Path(__file__).parent / "fixtures"))
from forks import Forks

hypothesis.settings.register_profile("seqrec", deadline=None)  # how long an example takes says little of the code
hypothesis.settings.load_profile("seqrec")


def pytest_collection_modifyitems(items):
    """Run the files that take longest first, so that no process is left alone with one at the end."""
    items.sort(key=lambda item: item.path.parent.name != "training")


@pytest.fixture(autouse=True, scope="module")
def _imports_are_no_garbage():
    """Keep the many objects of imported libraries, and of their caches, out of each garbage collection.

    Exports to graphs leave so many that without this each later training, which collects garbage, takes half a second.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def _one_template():
    """Compile the template of the model card once: that takes far longer than filling it in."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jinja2, "Template", cache(jinja2.Template))
        yield


@pytest.fixture(autouse=True, scope="session")
def _no_waiting_for_the_disk():
    """Let files be written without a flush to disk, for which each saved model would wait: no test cuts the power."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="session")
def forks():
    """Runs programs in processes of their own, without importing torch and transformers for each anew."""
    with Forks() as running:
        yield running


@pytest.fixture(params=[config_class.model_type for config_class, _, _ in ARCHITECTURES])
def model_type(request):
    """Every architecture in turn."""
    return request.param


@pytest.fixture
def choices():
    """Fields of the configuration that a test varies."""
    return {}


@pytest.fixture
def tiny_config(model_type, choices):
    """A configuration with few parameters."""
    return MODEL_TYPES[model_type](vocab_size=NUM_ITEMS + 3, **TINY, **choices)


@pytest.fixture
def tiny_model(tiny_config):
    """A model with few parameters, initialised with a wide range so that its outputs differ."""
    torch.manual_seed(0)
    tiny_config.initializer_range = 0.5
    return AutoModelForNextItem.from_config(tiny_config).eval()


@pytest.fixture
def tokenizer():
    """A vocabulary of `NUM_ITEMS` items: "item 0", "item 1", …"""
    return ItemTokenizer.from_item_ids([f"item {index}" for index in range(NUM_ITEMS)])


@pytest.fixture
def items(tokenizer):
    """The catalogue of the vocabulary, the most popular item first."""
    return pl.DataFrame(
        {
            "item_id": tokenizer.item_ids,
            "title": [f"Title of {item_id}" for item_id in tokenizer.item_ids],
            "count": list(range(NUM_ITEMS, 0, -1)),
        }
    )


@pytest.fixture
def recommender(tiny_model, tokenizer, items):
    """A recommender made of the model, the vocabulary and the catalogue."""
    from seqrec.inference.recommender import Recommender

    return Recommender(tiny_model, tokenizer, items)


@pytest.fixture
def folder(recommender, tmp_path):
    """A saved recommender."""
    recommender.save_pretrained(tmp_path / "model")
    return tmp_path / "model"

"""The benchmark harness: scripts that import one another by their bare names."""

import importlib
import sys
from pathlib import Path

import pytest

from seqrec.interactions.synthetic import synthetic_interactions

SPEED = Path(__file__).parents[2] / "benchmarks" / "speed"


@pytest.fixture
def load(monkeypatch):
    """Import a module of the harness, and forget all of them after the test, as their names are common ones."""
    monkeypatch.syspath_prepend(SPEED / "workers")
    monkeypatch.syspath_prepend(SPEED)
    yield importlib.import_module
    for name, module in list(sys.modules.items()):
        if SPEED in Path(getattr(module, "__file__", None) or "/").parents:
            del sys.modules[name]


@pytest.fixture
def written(load, tmp_path, monkeypatch):
    """A small data set, split in time, as its contenders read it."""
    (tmp_path / "small").mkdir()
    table = synthetic_interactions(num_users=40, num_items=30, mean_length=12, seed=1)
    table.write_csv(tmp_path / "small" / "interactions.csv")
    monkeypatch.setenv("SEQREC_DATA_DIR", str(tmp_path))
    return load("data").write_interactions("small", tmp_path, split_method="temporal", min_item_interactions=5)

"""A model gives the evaluator's lists by every road, on small data."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
from service_models import save_model

from seqrec.inference.export import HeldOut
from seqrec.interactions.histories import Histories
from seqrec.testing.model_contract import NUM_ITEMS

SERVING = Path(__file__).parents[2] / "benchmarks" / "serving"
HERE = ("torch", "torch, one by one", "sessions", "recommend_frame", "recommend_file", "pipeline")
ELSEWHERE = ("pipeline without seqrec", "service")
START = 1_700_000_000


@pytest.fixture
def roads(monkeypatch):
    """The module, forgotten after the test."""
    monkeypatch.syspath_prepend(SERVING)
    yield importlib.import_module("roads")
    for name in ("roads", "running"):
        sys.modules.pop(name, None)


def held_out(model):
    """Histories of all lengths, with the third item of the model's own list as target of every second one."""
    draw = np.random.default_rng(0)
    lists = [draw.integers(3, NUM_ITEMS + 3, length) for length in range(1, 31)]
    times = [START + np.cumsum(draw.integers(1, 10**6, len(one))).astype(float) for one in lists]
    columns = {"input_ids": lists, "timestamps": times}
    targets = model.retriever.retrieve(Histories.from_lists(columns), 3)[1][:, 2]
    targets[::2] = [one[0] for one in lists[::2]]  # seen ones are in no list
    return HeldOut(Histories.from_lists(columns, {"target": targets}), {})


def differing(found):
    """Return the roads with other lists than the evaluator's, or another hit rate."""
    rate = found["evaluator"]["hr@10"]
    assert rate == 0.5
    return {name: one for name, one in found["roads"].items() if one["other lists"] or one["hr@10"] != rate}


def test_lists_are_the_evaluators(roads, tmp_path):
    model = save_model(tmp_path / "first", time_encoding="relative")
    found = roads.compare_roads(model, held_out(model), str(tmp_path / "model"), HERE + ELSEWHERE)
    assert differing(found) == {}


@pytest.mark.parametrize(("kind", "package"), [("ONNX", "onnxruntime"), ("OpenVINO", "openvino")])
def test_lists_of_graphs_are_the_evaluators(roads, tmp_path, kind, package):
    pytest.importorskip(package, reason="its extra is not installed")
    model = save_model(tmp_path / "first", position_embedding_type="rotary")
    names = [name for name in roads.ROADS if name.startswith(kind)]
    assert len(names) == 2
    assert differing(roads.compare_roads(model, held_out(model), str(tmp_path / "model"), names)) == {}


def test_a_road_with_other_lists_is_told(roads, tmp_path, monkeypatch):
    def late(asked):
        found = roads.ROADS["torch"](asked)
        found[4] = found[4][1:] + found[4][:1]
        return found

    monkeypatch.setitem(roads.ROADS, "late", late)
    model = save_model(tmp_path / "first")
    found = roads.compare_roads(model, held_out(model), str(tmp_path / "model"), ["late"])
    assert found["roads"]["late"]["other lists"] == 1
    assert found["roads"]["late"]["same lists"] == 29

"""The rule of defaults is the one that the recorded experiments lead to."""

import importlib
import json
import sys
from pathlib import Path

import pytest
import yaml

from seqrec.training.chosen_defaults import plain_arguments, plain_fields
from seqrec.training.default_rule import Circumstances, choose_settings

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
DEFAULTS = BENCHMARKS / "defaults"
CIRCUMSTANCES = json.loads((DEFAULTS / "circumstances.json").read_text(encoding="utf-8"))
CANDIDATES = yaml.safe_load((DEFAULTS / "candidates.yaml").read_text(encoding="utf-8"))


@pytest.fixture
def learn(monkeypatch):
    """Import the script, and forget it and what it imports after the test, as their names are common ones."""
    monkeypatch.setattr(sys, "path", [str(DEFAULTS), str(BENCHMARKS), *sys.path])
    before = set(sys.modules)
    yield importlib.import_module("learn")
    for name in set(sys.modules) - before:
        if BENCHMARKS in Path(getattr(sys.modules[name], "__file__", None) or "/").parents:
            del sys.modules[name]


@pytest.mark.parametrize("case", CIRCUMSTANCES)
def test_the_rule_chooses_the_learned_candidate(learn, case):
    known = Circumstances(**CIRCUMSTANCES[case])
    candidate = learn.choose(learn.learn(learn.read_cases()), known)
    plain = {**plain_fields("sasrec"), **plain_arguments()}
    chosen = {one.name: one.value for one in choose_settings(known, plain, {})}
    assert {name: chosen[name] for name in CANDIDATES[candidate]} == CANDIDATES[candidate]


def test_the_best_split_of_made_up_cases_is_found(learn):
    known = Circumstances(**next(iter(CIRCUMSTANCES.values())))

    def case(data, density, **shares):
        circumstances = Circumstances(**{**vars(known), "density": density})
        return learn.Case(data, "temporal", circumstances, shares)

    cases = [case("a", 0.01, x=1.0, y=0.5), case("b", 0.02, x=1.0, y=0.6), case("c", 0.5, x=0.8, y=1.0)]
    rule = learn.learn(cases)
    assert rule == learn.Question("density", pytest.approx(0.1), "x", "y")
    assert learn.score(rule, cases) == 1
    assert learn.learn(cases[:2]) == "x"
    assert [one.threshold for _, one in learn.leave_one_out([*cases, case("d", 0.4, x=0.8, y=1.0)])][2] < 0.1
    assert learn.learn([case("a", 0.01, x=1.0, y=0.999), case("b", 0.9, x=0.999, y=1.0)]) in ("x", "y")  # not worth it

"""The page as Gradio has it: its parts, and nothing that reaches other machines."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from seqrec.testing.model_contract import NUM_ITEMS

pytest.importorskip("gradio", reason="gradio (extra [demo]) is not installed")
FIXTURES = Path(__file__).parents[2] / "fixtures"
# In a process of its own: Gradio leaves event loops open, which later tests would be warned of.
SCRIPT = """
import json, sys
sys.path.insert(0, sys.argv[1])
from demo_models import make_recommender
from seqrec.inference.demo.demo_model import Choices, DemoModel
from seqrec.inference.demo.demo_page import build_page, choices_of, launch_options
from seqrec.inference.demo.shown_card import ShownCard

with_tasks = {"tasks": ["next_item", "rating"], "rating_scale": [1, 5]}
models = {"plain": {}, "untitled": {"titled": False}, "tasks": with_tasks}
pages = {
    name: build_page(DemoModel(make_recommender(**choices), name), ShownCard(("SASRec",), "#model-card", "# Card"))
    for name, choices in models.items()
}
assert choices_of(10, 0.5, None, ["year"], True, "score") == Choices(10, 0.5, "", ("year",), True, "")
assert choices_of(10.0, 0, "year > 1", [], False, "rating") == Choices(10, 0, "year > 1", (), False, "rating")
options = launch_options()
theme = options.pop("theme")
print(json.dumps({
    "configs": {name: page.get_config_file() for name, page in pages.items()},
    "analytics": [page.analytics_enabled for page in pages.values()],
    "fonts": [theme._stylesheets, theme._font_css],
    "options": {name: value for name, value in options.items() if name != "css_paths"},
}, default=str))
"""


@pytest.fixture(scope="module")
def built():
    """What Gradio has been told of the pages of three models."""
    run = subprocess.run([sys.executable, "-c", SCRIPT, FIXTURES], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


def parts_of(built, name):
    """Return the properties of the parts of a page that have an id."""
    components = built["configs"][name]["components"]
    return {one["props"]["elem_id"]: one["props"] for one in components if one["props"].get("elem_id")}


def test_the_page_offers_what_the_model_has(built):
    parts = parts_of(built, "plain")
    assert [name for name, _ in parts["columns"]["choices"]] == ["year", "genres", "count"]
    assert parts["columns"]["value"] == ["year", "genres"]
    assert parts["where"]["placeholder"].startswith("year >= ")
    assert not parts["rank_by"]["visible"]
    assert parts["length"]["maximum"] == NUM_ITEMS
    assert parts_of(built, "untitled")["columns"]["value"] == []
    assert [name for name, _ in parts_of(built, "tasks")["rank_by"]["choices"]] == ["score", "rating"]


def test_nothing_is_told_or_asked_elsewhere(built):
    assert built["analytics"] == [False] * 3
    assert "http" not in json.dumps(built["fonts"])
    assert built["options"]["enable_monitoring"] is built["options"]["ssr_mode"] is False
    for config in built["configs"].values():
        assert {one["api_visibility"] for one in config["dependencies"]} == {"private"}

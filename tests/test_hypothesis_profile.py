"""All tests share one profile of hypothesis, in which no example is too slow."""

import re
from pathlib import Path

import hypothesis


def test_no_example_has_a_deadline():
    assert hypothesis.settings.get_current_profile_name() == "seqrec"
    assert hypothesis.settings().deadline is None


def test_no_test_sets_its_own():
    files = Path(__file__).parent.rglob("*.py")
    named = [
        path.name
        for path in files
        if re.search(r"(settings|profile)\([^)]*deadline\s*=", path.read_text(encoding="utf-8"))
    ]
    assert named == ["conftest.py"]

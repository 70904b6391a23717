"""Declared versions of dependencies agree with the tested ones."""

import ast
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
FEATURES = ("demo", "index", "onnx", "openvino", "ray", "serve", "spark", "text", "tune")
DECLARED = [
    Requirement(text)
    for texts in (PROJECT["dependencies"], *(EXTRAS[name] for name in FEATURES), EXTRAS["test"])
    for text in texts
]
LOWER_BOUNDS = {
    canonicalize_name(one.name): Version(next(iter(one.specifier)).version) for one in DECLARED if one.name != "seqrec"
}


def pinned(file_name):
    """Read a file of constraints."""
    lines = [line for line in (ROOT / file_name).read_text().splitlines() if line and not line.startswith("#")]
    return {canonicalize_name(name): Version(version) for name, version in (line.split("==") for line in lines)}


def test_the_lowest_versions_that_are_tested_are_those_that_are_declared():
    assert pinned("constraints-lowest.txt") == LOWER_BOUNDS


def test_the_tested_set_is_within_the_declared_bounds():
    tested = pinned("constraints.txt")
    assert {name for name, lowest in LOWER_BOUNDS.items() if tested[name] < lowest} == set()


def imported_by(path):
    """Name the packages that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


@pytest.mark.parametrize(
    "room",
    [
        *(
            "configuration",
            "evaluation",
            "hub",
            "inference",
            "inference/demo",
            "inference/service",
            "interactions",
            "modeling",
            "search",
        ),
        *("src/seqrec", "training"),
    ],
)
def test_what_a_room_imports_is_declared(room):
    names = {name for path in (ROOT / room).glob("*.py") for name in imported_by(path)}
    renamed = {"yaml": "pyyaml", "faiss": "faiss-cpu", "PIL": "pillow"}
    needed = {renamed.get(name, canonicalize_name(name)) for name in names}
    assert needed - set(sys.stdlib_module_names) - {"seqrec"} <= set(LOWER_BOUNDS)

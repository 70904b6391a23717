"""The rooms of the package import each other as CONTRIBUTING.md says."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
ROOMS = ("interactions", "configuration", "search", "modeling", "evaluation", "hub", "training", "inference")


def imported_rooms(room):
    """Name the other rooms that a room's modules import from."""
    nodes = (node for path in (ROOT / room).glob("*.py") for node in ast.walk(ast.parse(path.read_text())))
    names = {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    return {name.split(".")[1] for name in names if name.startswith("seqrec.")} & set(ROOMS) - {room}


def test_the_table_of_rooms_tells_what_each_imports():
    table = re.findall(r"^\| `(\w+)/`.*?\|.*\| (.*?) ?\|$", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    told = {room: {name for name in imports.split(", ") if name} for room, imports in table}
    assert told == {room: imported_rooms(room) for room in ROOMS}

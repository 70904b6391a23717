"""The rooms of the package import each other as CONTRIBUTING.md says."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
ROOMS = ("interactions", "configuration", "search", "modeling", "evaluation", "hub", "training", "inference")


def imported_rooms(room):
    """Name the other rooms that a room's modules import from."""
    nodes = (node for path in (ROOT / room).rglob("*.py") for node in ast.walk(ast.parse(path.read_text())))
    names = {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    return {name.split(".")[1] for name in names if name.startswith("seqrec.")} & set(ROOMS) - {room}


def test_the_table_of_rooms_tells_what_each_imports():
    table = re.findall(r"^\| `(\w+)/`.*?\|.*\| (.*?) ?\|$", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    told = {room: {name for name in imports.split(", ") if name} for room, imports in table}
    assert told == {room: imported_rooms(room) for room in ROOMS}


def modules():
    """Read the package's modules: name → syntax tree."""
    folders = [*(ROOT / room for room in ROOMS), ROOT / "src/seqrec/cli"]
    parts = [
        path
        for part in ("demo", "service")
        for path in (ROOT / "inference" / part).glob("*.py")
        if path.stem != "__init__"
    ]
    paths = [path for folder in folders for path in folder.glob("*.py") if path.stem != "__main__"]
    named = {f"seqrec.{path.parent.name}.{path.stem}": path for path in paths if path.stem != "__init__"}
    named |= {f"seqrec.inference.{path.parent.name}.{path.stem}": path for path in parts}
    named |= {f"seqrec.{path.stem}": path for path in (ROOT / "src/seqrec").glob("*.py") if path.stem != "__init__"}
    return {name: ast.parse(path.read_text()) for name, path in named.items()}


def public_names(tree):
    """Read a module's `__all__`."""
    values = [
        node.value for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    ]
    return set(ast.literal_eval(values[0])) if values else None


def test_modules_import_nothing_private_from_each_other():
    trees = modules()
    public = {name: public_names(tree) for name, tree in trees.items()}
    assert [name for name, names in public.items() if names is None] == []
    private = [
        f"{user} imports {alias.name} from {node.module}"
        for user, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module in public
        for alias in node.names
        if alias.name not in public[node.module]
    ]
    assert private == []

"""Names of the flags that dataclasses declare, read from their source: importing them would take seconds."""

import ast
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

__all__ = ["config_flag_names", "data_flag_names", "training_flag_names"]

NO_FLAGS = {"data", "parts", "special_token"}  # purposes of fields of a configuration that the command line cannot set


def data_flag_names() -> set[str]:
    """Return the names of the fields of `DataArguments`."""
    return set(field_names("seqrec.interactions.data_arguments", "DataArguments"))


def training_flag_names() -> set[str]:
    """Return the names of the fields of `SequentialTrainingArguments`."""
    own = field_names("seqrec.training.arguments", "SequentialTrainingArguments")
    return {*own, *field_names("transformers.training_args", "TrainingArguments")}


def config_flag_names() -> set[str]:
    """Return the names of the fields of all configurations that are flags."""
    folder = source("seqrec.configuration.config_fields").parent
    trees = (parse(path) for path in folder.glob("configuration_*.py"))
    return {name for tree in trees for class_ in classes(tree) for name in declared(class_)}


def field_names(module: str, class_name: str) -> Iterator[str]:
    """Name the fields that a dataclass declares itself."""
    return (name for one in classes(parse(source(module))) if one.name == class_name for name in declared(one))


def source(module: str) -> Path:
    """Find the file of a module without importing it; the package that it is in must be light, or of the top level."""
    package, _, name = module.rpartition(".")
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"The package {package} is not installed.")
    return Path(spec.submodule_search_locations[0], f"{name}.py")


def parse(path: Path) -> ast.Module:
    """Read a module's source."""
    return ast.parse(path.read_text(encoding="utf-8"))


def classes(tree: ast.Module) -> Iterator[ast.ClassDef]:
    """List the classes of a module."""
    return (node for node in tree.body if isinstance(node, ast.ClassDef))


def declared(class_: ast.ClassDef) -> Iterator[str]:
    """Name the annotated fields of a class, without private ones and those that are no flags."""
    for node in class_.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and is_flag(node):
            yield node.target.id


def is_flag(field: ast.AnnAssign) -> bool:
    """Return whether a field is set by a flag."""
    if ast.unparse(field.target).startswith("_") or ast.unparse(field.annotation).startswith("ClassVar"):
        return False
    if isinstance(field.value, ast.Call) and ast.unparse(field.value.func) == "option":
        return ast.literal_eval(field.value.args[1]) not in NO_FLAGS
    return True

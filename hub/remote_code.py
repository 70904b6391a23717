"""Remote code: a model's modules, saved beside its weights, so that it loads without `seqrec`."""

import ast
import inspect
import json
from collections.abc import Iterable, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel
from transformers.utils import logging

from seqrec.errors import InputError
from seqrec.interactions.whole_files import write_text_whole
from seqrec.modeling.pipeline_next_item import TASK

PACKAGE = "seqrec"
REMOTE_PACKAGE = "transformers_modules"  # where transformers puts classes that it loaded from a repository

logger = logging.get_logger(__name__)


def write_remote_code(model: PreTrainedModel, folder: str | Path) -> list[Path]:
    """Write a saved model's code into its folder, and name its classes in `config.json`.

    Then `AutoConfig`, `AutoModel` and `AutoModelForCausalLM` (or `AutoModelForMaskedLM`, for a model that is
    not causal), found by `auto_map`, and `pipeline("next-item-recommendation")`, found by `custom_pipelines`, load the
    folder with `trust_remote_code=True` and nothing but transformers installed.

    Only classes of `seqrec` are written. A model that itself came from remote code is left alone, as
    transformers has copied its files already; so is a user's own subclass, with a warning in the log:
    transformers has `register_for_auto_class` for it.

    Args:
        model: A model that was saved to `folder`.
        folder: Where; must hold `config.json`.

    Returns:
        The Python files written; none for a model of somebody else's class.

    Raises:
        ValueError: If `folder` holds no `config.json`, or the modules cannot be flattened; see
            `flatten_modules`.
    """
    classes = auto_classes(model)
    homes = {class_.__module__.partition(".")[0] for class_ in classes.values()}
    if REMOTE_PACKAGE in homes:
        return []
    if homes != {PACKAGE}:
        logger.warning_once(
            f"No remote code was written for {type(model).__module__}.{type(model).__qualname__}: it is no "
            f"class of {PACKAGE}. To share its code too, call its register_for_auto_class() before saving."
        )
        return []
    folder = Path(folder)
    config_file = folder / "config.json"
    if not config_file.is_file():
        raise InputError(f"{folder} holds no config.json. Save the model there before its remote code.")
    paths = []
    for name, source in flatten_modules(class_.__module__ for class_ in classes.values()).items():
        path = folder / name
        if not path.is_file() or path.read_bytes() != source.encode():
            write_text_whole(path, source)
        paths.append(path)
    name_classes(
        config_file,
        auto_map={auto: class_reference(class_) for auto, class_ in classes.items()},
        custom_pipelines=custom_pipelines(model),
    )
    return paths


def auto_classes(model: PreTrainedModel) -> dict[str, type]:
    """Say which class each Auto class shall load: configuration, backbone and, if the model has one, head."""
    classes: dict[str, type] = {"AutoConfig": type(model.config), "AutoModel": type(model.base_model)}
    if model.base_model is not model:
        classes[auto_head(model)] = type(model)
    return classes


def auto_head(model: PreTrainedModel) -> str:
    """Name the Auto class that loads a model's head where seqrec is not installed."""
    return model.objective.auto_class


def custom_pipelines(model: PreTrainedModel) -> dict[str, dict[str, Any]]:
    """Say which pipeline serves a model: none, if it has no head."""
    if model.base_model is model:
        return {}
    return {TASK: {"impl": class_reference(model.pipeline_class), "pt": [auto_head(model)]}}


def class_reference(class_: type) -> str:
    """Name a class as transformers looks it up in a folder: `module.Class`."""
    return f"{basename(class_.__module__)}.{class_.__name__}"


def name_classes(config_file: Path, **references: Mapping[str, Any]) -> None:
    """Set `auto_map` and `custom_pipelines` in a saved configuration, in the layout that transformers writes."""
    config = json.loads(config_file.read_text(encoding="utf-8"))
    config.update({name: reference for name, reference in references.items() if reference})
    write_text_whole(config_file, json.dumps(config, indent=2, sort_keys=True) + "\n")


def flatten_modules(names: Iterable[str], package: str = PACKAGE) -> dict[str, str]:
    """Gather modules of a package, and those of it that they import, into one flat folder.

    `from package.room.module import name` becomes `from .module import name`; nothing else is changed. These
    are the only imports that transformers follows, within one folder.

    Args:
        names: Full names of the modules to begin with.
        package: The package that shall not be needed any more.

    Returns:
        File name → source, ordered by the modules' full names.

    Raises:
        ValueError: If a module imports the package in any other way, or two modules share a basename.
    """
    sources: dict[str, str] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in sources:
            sources[name] = inspect.getsource(import_module(name))
            waiting.extend(node.module or "" for node in package_imports(name, sources[name], package))
    refuse_shared_basenames(sources)
    return {f"{basename(name)}.py": make_relative(name, sources[name], package) for name in sorted(sources)}


def package_imports(name: str, source: str, package: str) -> list[ast.ImportFrom]:
    """Find a module's imports from its own package, and refuse those that cannot be followed."""
    tree = ast.parse(source)
    found = []
    for node in ast.walk(tree):
        if not is_from_package(node, package):
            continue
        if not (isinstance(node, ast.ImportFrom) and node in tree.body and is_plain_module(node)):
            raise InputError(
                f"Line {getattr(node, 'lineno', '?')} of {name} ({ast.unparse(node)}) cannot be made remote "
                f"code. Import from {package} only at the top level of a module, as "
                f"`from {package}.room.module import name`."
            )
        found.append(node)
    return found


def is_from_package(node: ast.AST, package: str) -> bool:
    """Tell whether a node imports the package, or anything from it."""
    if isinstance(node, ast.ImportFrom):
        return node.level > 0 or (node.module or "").partition(".")[0] == package
    return isinstance(node, ast.Import) and any(name.name.partition(".")[0] == package for name in node.names)


def is_plain_module(node: ast.ImportFrom) -> bool:
    """Tell whether an import takes names from a module by its full name, not from a package's `__init__`."""
    spec = find_spec(node.module) if node.module and node.level == 0 else None
    return spec is not None and spec.submodule_search_locations is None


def refuse_shared_basenames(names: Iterable[str]) -> None:
    """Raise a `ValueError` if two modules would become the same file."""
    taken: dict[str, str] = {}
    for name in sorted(names):
        other = taken.setdefault(basename(name), name)
        if other != name:
            raise InputError(
                f"{other} and {name} would both become {basename(name)}.py in a model's folder. Rename one of them."
            )


def make_relative(name: str, source: str, package: str) -> str:
    """Turn a module's imports from its own package into imports from its own folder."""
    lines = source.split("\n")
    for node in package_imports(name, source, package):
        absolute = f"from {node.module} import"
        assert absolute in lines[node.lineno - 1], f"{name}, line {node.lineno}: not written as `{absolute} …`"
        relative = f"from .{basename(node.module or '')} import"
        lines[node.lineno - 1] = lines[node.lineno - 1].replace(absolute, relative, 1)
    return "\n".join(lines)


def basename(name: str) -> str:
    """Return the last part of a module's full name."""
    return name.rpartition(".")[2]

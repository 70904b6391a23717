"""Remote code: a model's modules, saved with its weights, so that it loads without `seqrec`."""

import ast
import inspect
import json
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from transformers import PreTrainedConfig, PreTrainedModel
from transformers.utils import logging

from seqrec.configuration.configuration_next_item import WITHOUT_CODE
from seqrec.errors import InputError
from seqrec.interactions.whole_files import write_text_whole
from seqrec.modeling.modeling_auto import ARCHITECTURES
from seqrec.modeling.pipeline_next_item import TASK

__all__ = ["flatten_classes", "flatten_modules", "write_remote_code"]

PACKAGE = "seqrec"
REMOTE_PACKAGE = "transformers_modules"  # package of the classes that transformers loads from repositories
REGISTER = "register_architecture"

logger = logging.get_logger(__name__)


def write_remote_code(model: PreTrainedModel, folder: str | Path) -> list[Path]:
    """Write a saved model's code into its folder, and name its classes in `config.json`.

    With `trust_remote_code=True`, the folder then loads without `seqrec`: by `AutoConfig`, `AutoModel` and
    `AutoModelForCausalLM` (`AutoModelForMaskedLM` if the model is not causal), which use `auto_map`, and by
    `pipeline("next-item-recommendation")`, which uses `custom_pipelines`.

    Writes the modules of classes of `seqrec` and of registered classes (`register_architecture`,
    `register_event_part`, `register_item_part`), and the modules of their packages that they import. Nothing is written
    for a model that itself came from remote code, because transformers has already copied its files; nor, with a
    warning in the log, for a class that was not registered or whose modules cannot be flattened.

    Args:
        model: A model that was saved to `folder`.
        folder: The folder; must hold `config.json`.

    Returns:
        The Python files written; an empty list if there are none.

    Raises:
        InputError: If `folder` holds no `config.json`.
    """
    classes = auto_classes(model)
    parts = part_classes(model)
    if any(home(class_) == REMOTE_PACKAGE for class_ in classes.values()):
        return []
    strangers = [class_ for class_ in classes.values() if not is_registered(class_)]
    if strangers:
        warn_without_code(
            model,
            f"{strangers[0].__qualname__} is not a class of {PACKAGE} and was not registered. Call "
            "register_architecture() before saving, or its register_for_auto_class()",
        )
        return []
    folder = Path(folder)
    config_file = folder / "config.json"
    if not config_file.is_file():
        raise InputError(f"{folder} holds no config.json. Save the model there before its remote code.")
    try:
        sources = flatten_classes([*classes.values(), *pipeline_classes(model)], parts)
    except InputError as error:
        warn_without_code(model, str(error).rstrip("."))
        return []
    for name, source in sources.items():
        path = folder / name
        if not path.is_file() or path.read_bytes() != source.encode():
            write_text_whole(path, source)
    name_classes(
        config_file,
        auto_map={auto: class_reference(class_) for auto, class_ in classes.items()},
        custom_pipelines=custom_pipelines(model),
    )
    return [folder / name for name in sources]


def warn_without_code(model: PreTrainedModel, reason: str) -> None:
    """Warn that a model was saved without its code."""
    name = f"{type(model).__module__}.{type(model).__qualname__}"
    logger.warning_once(f"No remote code was written for {name}: {reason}.")


def home(class_: type) -> str:
    """Return the package, or the top-level module, in which a class is defined."""
    return class_.__module__.partition(".")[0]


def is_registered(class_: type) -> bool:
    """Return whether a class belongs to this package or to a registered architecture."""
    return home(class_) == PACKAGE or any(class_ in classes for classes in ARCHITECTURES)


def part_classes(model: PreTrainedModel) -> list[type]:
    """List the classes of a model's event parts and item parts."""
    backbone = model.base_model
    return [type(part) for part in (*backbone.event_parts.values(), *backbone.item_encoder.parts.values())]


def auto_classes(model: PreTrainedModel) -> dict[str, type]:
    """Map each Auto class to the class it loads: configuration, backbone and, if the model has one, head."""
    classes: dict[str, type] = {"AutoConfig": type(model.config), "AutoModel": type(model.base_model)}
    if model.base_model is not model:
        classes[auto_head(model)] = type(model)
    return classes


def auto_head(model: PreTrainedModel) -> str:
    """Return the name of the Auto class that loads a model's head if seqrec is not installed."""
    return model.objective.auto_class


def custom_pipelines(model: PreTrainedModel) -> dict[str, dict[str, Any]]:
    """Return the `custom_pipelines` of a model's configuration; empty if the model has no head."""
    if model.base_model is model:
        return {}
    return {TASK: {"impl": class_reference(model.pipeline_class), "pt": [auto_head(model)]}}


def pipeline_classes(model: PreTrainedModel) -> list[type]:
    """List the class of a model's pipeline; empty if the model has no head."""
    return [] if model.base_model is model else [model.pipeline_class]


def class_reference(class_: type) -> str:
    """Return the name by which transformers looks up a class in a folder: `module.Class`."""
    return f"{basename(class_.__module__)}.{class_.__name__}"


def name_classes(config_file: Path, **references: Mapping[str, Any]) -> None:
    """Set `auto_map` and `custom_pipelines` in a saved configuration, in the file layout of transformers.

    Also add a configuration without a model type. With `trust_remote_code=False`, `AutoTokenizer` reads the file as a
    plain `PreTrainedConfig`, which has no type, and would warn about the model's type if it found no such entry.
    """
    config = json.loads(config_file.read_text(encoding="utf-8"))
    config.update({name: reference for name, reference in references.items() if reference})
    config[WITHOUT_CODE] = {"model_type": ""}
    write_text_whole(config_file, json.dumps(config, indent=2, sort_keys=True) + "\n")


def flatten_classes(classes: Iterable[type], parts: Iterable[type] = ()) -> dict[str, str]:
    """Gather the modules of a model's classes into one flat folder; see `flatten_modules`.

    Args:
        classes: The classes that `auto_map` and `custom_pipelines` name.
        parts: Event parts and item parts. If the module of a model or pipeline does not import a part's module, an
            import is added, which registers the part: transformers loads model and pipeline separately.

    Returns:
        File name → source.

    Raises:
        InputError: As for `flatten_modules`, or if a class is not defined in a module that can be imported.
    """
    classes, parts = list(classes), list(parts)
    for class_ in (*classes, *parts):
        if class_.__module__ == "__main__" or "<locals>" in class_.__qualname__:
            raise InputError(
                f"{class_.__qualname__} is defined in a script or function. Move it to the top level of a module."
            )
    packages = frozenset({PACKAGE, *map(home, (*classes, *parts))})
    files = flatten_modules([class_.__module__ for class_ in (*classes, *parts)], packages)
    for name in {class_.__module__ for class_ in classes if parts and not issubclass(class_, PreTrainedConfig)}:
        read = follow_imports([name], packages)
        for part in parts:
            if part.__module__ not in read:
                line = f"from .{basename(part.__module__)} import {part.__name__}  # registers it"
                files[f"{basename(name)}.py"] += f"{line}\n"
    return files


def flatten_modules(names: Iterable[str], packages: Collection[str] = frozenset({PACKAGE})) -> dict[str, str]:
    """Gather modules, and the modules that they import from some packages, into one flat folder.

    `from package.room.module import name` becomes `from .module import name`; nothing else changes. transformers only
    follows imports of this form, within one folder.

    Args:
        names: Full names of the modules to start with.
        packages: The packages (or top-level modules) that the result must not import.

    Returns:
        File name → source, ordered by the modules' full names.

    Raises:
        InputError: If a module imports from the packages in any other way, or two modules share a basename.
    """
    packages = frozenset(packages)
    sources = follow_imports(names, packages)
    refuse_shared_basenames(sources)
    return {f"{basename(name)}.py": make_relative(name, sources[name], packages) for name in sorted(sources)}


def follow_imports(names: Iterable[str], packages: frozenset[str]) -> dict[str, str]:
    """Return the sources of modules, and of the modules that they import from some packages, by full name."""
    sources: dict[str, str] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in sources:
            sources[name] = for_loading(inspect.getsource(import_module(name)))
            waiting.extend(node.module or "" for node in package_imports(name, sources[name], packages))
    return sources


@lru_cache(maxsize=1024)  # models are saved after each epoch, from the same sources
def for_loading(source: str) -> str:
    """Remove a module's statements that register its architecture or that run it as a script."""
    lines = source.split("\n")
    for node in reversed(ast.parse(source).body):
        if registers(node) or is_script(node):
            del lines[node.lineno - 1 : node.end_lineno]
    return "\n".join(lines).rstrip("\n") + "\n"


def registers(node: ast.stmt) -> bool:
    """Return whether a statement calls `register_architecture`, or imports nothing but that."""
    if isinstance(node, ast.ImportFrom):
        return [name.name for name in node.names] == [REGISTER]
    return isinstance(node, ast.Expr) and ast.unparse(node).startswith(f"{REGISTER}(")


def is_script(node: ast.stmt) -> bool:
    """Return whether a statement runs only if its module is run as a script."""
    return isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"


@lru_cache(maxsize=1024)
def package_imports(name: str, source: str, packages: frozenset[str]) -> tuple[ast.ImportFrom, ...]:
    """Find a module's imports from some packages; raise an `InputError` if one cannot be followed."""
    tree = ast.parse(source)
    found = []
    for node in ast.walk(tree):
        if not is_from_packages(node, packages):
            continue
        if not (isinstance(node, ast.ImportFrom) and node in tree.body and is_plain_module(node)):
            package = imported_package(node, name)
            raise InputError(
                f"Line {getattr(node, 'lineno', '?')} of {name} ({ast.unparse(node)}) cannot be made remote "
                f"code. Import from {package} only at the top level of a module, as "
                f"`from {package}.room.module import name`."
            )
        found.append(node)
    return tuple(found)


def is_from_packages(node: ast.AST, packages: Collection[str]) -> bool:
    """Return whether a node imports one of the packages, or anything from it."""
    if isinstance(node, ast.ImportFrom):
        return node.level > 0 or (node.module or "").partition(".")[0] in packages
    return isinstance(node, ast.Import) and any(name.name.partition(".")[0] in packages for name in node.names)


def imported_package(node: ast.AST, importer: str) -> str:
    """Return the package that an import statement of a module imports from; the first if there are several."""
    if isinstance(node, ast.ImportFrom):
        return (node.module if node.level == 0 and node.module else importer).partition(".")[0]
    assert isinstance(node, ast.Import)
    return node.names[0].name.partition(".")[0]


def is_plain_module(node: ast.ImportFrom) -> bool:
    """Return whether an import takes names from a module by its full name, not from a package's `__init__`."""
    spec = find_spec(node.module) if node.module and node.level == 0 else None
    return spec is not None and spec.submodule_search_locations is None


def refuse_shared_basenames(names: Iterable[str]) -> None:
    """Raise an `InputError` if two modules would become the same file."""
    taken: dict[str, str] = {}
    for name in sorted(names):
        other = taken.setdefault(basename(name), name)
        if other != name:
            raise InputError(
                f"{other} and {name} would both become {basename(name)}.py in a model's folder. Rename one of them."
            )


def make_relative(name: str, source: str, packages: frozenset[str]) -> str:
    """Turn a module's imports from some packages into imports from its own folder."""
    lines = source.split("\n")
    for node in package_imports(name, source, packages):
        absolute = f"from {node.module} import"
        assert absolute in lines[node.lineno - 1], f"{name}, line {node.lineno}: not written as `{absolute} …`"
        relative = f"from .{basename(node.module or '')} import"
        lines[node.lineno - 1] = lines[node.lineno - 1].replace(absolute, relative, 1)
    return "\n".join(lines)


def basename(name: str) -> str:
    """Return the last part of a module's full name."""
    return name.rpartition(".")[2]

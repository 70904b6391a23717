"""Which files of a folder are shared: a list of names that seqrec and transformers write, and nothing else in it."""

import ast
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from seqrec.errors import InputError
from seqrec.hub.json_objects import broken, read_json_object
from seqrec.hub.model_card import CURVE, METRICS
from seqrec.interactions.prepared_sets import PREPARED_FILES
from seqrec.modeling.weight_files import INDEX, SINGLE, shard_names

CARD = "README.md"
ADAPTER = ("adapter_config.json", "adapter_model.safetensors")
TOKENIZER = ("tokenizer.json", "tokenizer_config.json")
# What lies beside the weights and the code.
COMPANIONS = ("config.json", *ADAPTER, *TOKENIZER, "items.parquet", METRICS, CURVE, CARD)


def product_files(folder: Path) -> list[Path]:
    """List what of a folder belongs to a model that is shared; logs, checkpoints and all else stay at home.

    Raises:
        ValueError: If a file of the list is a link, or what names further files is broken.
    """
    config_file = folder / "config.json"
    config = read_json_object(str(config_file)) if config_file.is_file() else {}
    return present(folder, {*COMPANIONS, *weight_names(folder), *code_names(folder, config)})


def prepared_set_files(folder: Path) -> list[Path]:
    """List what of a folder belongs to a prepared set that is shared.

    Raises:
        ValueError: If a file of the list is a link.
    """
    return present(folder, PREPARED_FILES)


def present(folder: Path, names: Iterable[str]) -> list[Path]:
    """Find those of the names that are files, and refuse links: they would publish what lies elsewhere."""
    paths = [folder / name for name in sorted(names)]
    links = [path.name for path in paths if path.is_symlink()]
    if links:
        raise InputError(
            f"{folder} holds {links[0]} as a link, which would publish a file from elsewhere. Put the file itself in "
            "its place, or delete the link."
        )
    return [path for path in paths if path.is_file()]


def weight_names(folder: Path) -> list[str]:
    """Name the weights that would be loaded: one file, or else an index and the shards in it."""
    if (folder / SINGLE).is_file():
        return [SINGLE]
    if not (folder / INDEX).is_file():
        return [SINGLE, INDEX]  # as a link they are refused
    return [INDEX, *shard_names(folder / INDEX)]


def code_names(folder: Path, config: Mapping[str, Any]) -> set[str]:
    """Name the modules that a configuration loads its classes from, and those that they import."""
    found: set[str] = set()
    waiting = [f"{reference.partition('.')[0]}.py" for reference in class_references(config)]
    while waiting:
        name = waiting.pop()
        if name not in found and name == Path(name).name and (folder / name).is_file():
            found.add(name)
            waiting.extend(imported_names(folder / name))
    return found


def class_references(config: Mapping[str, Any]) -> list[str]:
    """Find the `module.Class` references of a configuration, as far as they name modules of its own folder."""
    auto_map, pipelines = (config.get(key) for key in ("auto_map", "custom_pipelines"))
    references = list(auto_map.values()) if isinstance(auto_map, Mapping) else []
    for pipeline in pipelines.values() if isinstance(pipelines, Mapping) else ():
        references.append(pipeline.get("impl") if isinstance(pipeline, Mapping) else None)
    flat = [one for reference in references for one in (reference if isinstance(reference, list) else [reference])]
    return [one for one in flat if isinstance(one, str) and "--" not in one]


def imported_names(module: Path) -> list[str]:
    """Name the files of the same folder that a module imports."""
    if module.is_symlink():
        return []  # refused when the list is complete
    try:
        tree = ast.parse(module.read_bytes())
    except (SyntaxError, ValueError, RecursionError) as error:
        raise broken(str(module), f"is no Python that could be loaded ({error})") from error
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level == 1]
    return [f"{name}.py" for node in imports for name in ([node.module] if node.module else names_of(node))]


def names_of(node: ast.ImportFrom) -> list[str]:
    """Name what an import takes."""
    return [alias.name for alias in node.names]

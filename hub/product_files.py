"""Select the files of a folder to share: only names that seqrec and transformers write, nothing else."""

import ast
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from seqrec.errors import InputError
from seqrec.hub.json_objects import broken, read_json_object
from seqrec.hub.model_card import CURVE, ITEM_MAP, METRICS, RELIABILITY_PICTURE, SLICES_PICTURE
from seqrec.interactions.item_features import ITEM_FEATURES
from seqrec.interactions.prepared_sets import prepared_files
from seqrec.modeling.saved_items import ITEMS, ITEMS_JSON
from seqrec.modeling.weight_files import INDEX, SINGLE, shard_names

__all__ = [
    "ADAPTER",
    "CARD",
    "COMPANIONS",
    "EXPORT_RECORD",
    "HANDLER",
    "REQUIREMENTS",
    "is_our_handler",
    "prepared_set_files",
    "product_files",
]

CARD = "README.md"
ADAPTER = ("adapter_config.json", "adapter_model.safetensors")
EXPORT_RECORD = "seqrec_export.json"
EXPORTS = (  # graphs; archives of torch.export hold pickles
    *(f"onnx/{name}" for name in ("model.onnx", "model.onnx.data", EXPORT_RECORD)),
    *(f"openvino/{name}" for name in ("openvino_model.xml", "openvino_model.bin", EXPORT_RECORD)),
)
TOKENIZER = ("tokenizer.json", "tokenizer_config.json")
HANDLER, REQUIREMENTS = "handler.py", "requirements.txt"  # of an inference endpoint
HANDLER_BEGINS = b'"""Handler of an inference endpoint of the Hub: answers requests with the model in its folder.'
# Files in addition to weights and code.
COMPANIONS = (
    *("config.json", *ADAPTER, *TOKENIZER, ITEMS, ITEMS_JSON, ITEM_FEATURES),
    *(METRICS, CURVE, SLICES_PICTURE, RELIABILITY_PICTURE, ITEM_MAP, CARD),
)


def product_files(folder: Path) -> list[Path]:
    """List the files of a model to share; logs, checkpoints and everything else are left out.

    Raises:
        InputError: If one of the files is a link.
        SavedFolderError: If a file that refers to others is broken.
    """
    config_file = folder / "config.json"
    config = read_json_object(str(config_file)) if config_file.is_file() else {}
    names = {*COMPANIONS, *EXPORTS, *weight_names(folder), *code_names(folder, config), *endpoint_names(folder)}
    return present(folder, names)


def endpoint_names(folder: Path) -> tuple[str, ...]:
    """Return the names of the files of an inference endpoint, if `seqrec endpoint` wrote them."""
    return (HANDLER, REQUIREMENTS) if is_our_handler(folder / HANDLER) else ()


def is_our_handler(path: Path) -> bool:
    """Return whether `seqrec endpoint` wrote a `handler.py`."""
    return path.is_file() and path.read_bytes().startswith(HANDLER_BEGINS)


def prepared_set_files(folder: Path) -> list[Path]:
    """List the files of a prepared set to share.

    Raises:
        InputError: If one of the files is a link.
    """
    return present(folder, prepared_files(folder))


def present(folder: Path, names: Iterable[str]) -> list[Path]:
    """Return the named files that exist; refuse links, which would publish files from elsewhere."""
    paths = [folder / name for name in sorted(names)]
    folders = {path.parent for path in paths} - {folder}
    links = [path.name for path in (*paths, *folders) if path.is_symlink()]
    if links:
        raise InputError(
            f"{folder} holds {links[0]} as a link, which would publish a file from elsewhere. Replace it by the file "
            "itself, or delete it."
        )
    return [path for path in paths if path.is_file()]


def weight_names(folder: Path) -> list[str]:
    """Return the names of the weights that would be loaded: one file, or else an index and its shards."""
    if (folder / SINGLE).is_file():
        return [SINGLE]
    if not (folder / INDEX).is_file():
        return [SINGLE, INDEX]  # not files, but refused if they are links
    return [INDEX, *shard_names(folder / INDEX)]


def code_names(folder: Path, config: Mapping[str, Any]) -> set[str]:
    """Return the modules that a configuration loads classes from, and the modules that they import."""
    found: set[str] = set()
    waiting = [f"{reference.partition('.')[0]}.py" for reference in class_references(config)]
    while waiting:
        name = waiting.pop()
        if name not in found and name == Path(name).name and (folder / name).is_file():
            found.add(name)
            waiting.extend(imported_names(folder / name))
    return found


def class_references(config: Mapping[str, Any]) -> list[str]:
    """Find a configuration's `module.Class` references to modules in its own folder."""
    auto_map, pipelines = (config.get(key) for key in ("auto_map", "custom_pipelines"))
    references = list(auto_map.values()) if isinstance(auto_map, Mapping) else []
    for pipeline in pipelines.values() if isinstance(pipelines, Mapping) else ():
        references.append(pipeline.get("impl") if isinstance(pipeline, Mapping) else None)
    flat = [one for reference in references for one in (reference if isinstance(reference, list) else [reference])]
    return [one for one in flat if isinstance(one, str) and "--" not in one]


def imported_names(module: Path) -> list[str]:
    """Return the files of the same folder that a module imports."""
    if module.is_symlink():
        return []  # refused later, with the complete list
    try:
        tree = ast.parse(module.read_bytes())
    except (SyntaxError, ValueError, RecursionError) as error:
        raise broken(str(module), f"is not valid Python ({error})") from error
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level == 1]
    return [f"{name}.py" for node in imports for name in ([node.module] if node.module else names_of(node))]


def names_of(node: ast.ImportFrom) -> list[str]:
    """Return the names that an import statement imports."""
    return [alias.name for alias in node.names]

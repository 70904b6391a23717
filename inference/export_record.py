"""The record of an export, a JSON file next to the graph: its inputs, versions and accuracy, and the model it is of."""

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from seqrec.errors import SavedFolderError
from seqrec.hub.json_objects import broken, read_json_object
from seqrec.hub.product_files import EXPORT_RECORD
from seqrec.hub.saved_folder import saved_weights
from seqrec.hub.weights_hash import WEIGHTS_SHA256, hash_of_files
from seqrec.inference.exported_graph import OUTPUTS, graph_inputs
from seqrec.inference.graph_formats import GraphFormat
from seqrec.interactions.catalogue import Catalogue
from seqrec.modeling.modeling_next_item import NextItemHead
from seqrec.modeling.saved_weights import find

__all__ = ["ITEMS_SHA256", "find_export", "items_sha256", "make_record", "write_record"]

ITEMS_SHA256 = "items_sha256"
AXES = {
    "user_vectors": ("batch", "hidden"),
    "scores": ("batch", "k"),
    "token_ids": ("batch", "k"),
}


def items_sha256(model: NextItemHead, items: Catalogue) -> str:
    """Hash what a graph knows of items besides weights: which are hidden, and the latest counts of interactions."""
    digest = hashlib.sha256(np.sort(items.hidden_token_ids).astype(np.int64).tobytes())
    if model.recent_counts is not None:
        digest.update(model.recent_counts.latest_counts().astype(np.int64).tobytes())
    return digest.hexdigest()


def make_record(
    kind: GraphFormat, model: NextItemHead, items: Catalogue, name: str, measured: Mapping[str, Any]
) -> dict[str, Any]:
    """Describe an export.

    Args:
        kind: Its format.
        model: The model that it is of.
        items: Its catalogue.
        name: The model's folder.
        measured: How it differs from the model.
    """
    inputs = graph_inputs(model.config.event_columns)
    return {
        "format": kind.name,
        "file": kind.main_file,
        "inputs": {
            one.name: {"dtype": one.dtype, "axes": list(one.axes), "description": one.description} for one in inputs
        },
        "outputs": {
            output: {"dtype": "int64" if output == "token_ids" else "float32", "axes": list(AXES[output])}
            for output in OUTPUTS
        },
        "max_length": model.config.max_history_length,
        "num_items": len(items),
        "versions": {package: version_of(package) for package in ("seqrec", *kind.packages)},
        **measured,
        WEIGHTS_SHA256: hash_of_files(saved_weights(name)),
        ITEMS_SHA256: items_sha256(model, items),
    }


def version_of(package: str) -> str | None:
    """Return the version of an installed package; None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def find_export(name: str, kind: GraphFormat, **kwargs: Any) -> tuple[Path, dict[str, Any]]:
    """Find a model's export, in its folder or on the Hub.

    Returns:
        The file of the graph, and the record.

    Raises:
        SavedFolderError: If there is none, it is incomplete, or it is of other weights.
    """
    command = f"`seqrec export --model {name} --format {kind.name}`"
    record_path = find(name, kind.path(EXPORT_RECORD), **kwargs)
    if record_path is None:
        raise SavedFolderError(f"{name!r} has no export for backend={kind.name!r}. Make one with {command}.")
    record = read_json_object(record_path, f"Export the model again with {command}.")
    files = record.get("files")
    if not isinstance(files, list) or not all(isinstance(one, str) for one in files) or kind.main_file not in files:
        raise broken(record_path, "names no files of the graph", f"Export the model again with {command}.")
    if record.get(WEIGHTS_SHA256) != hash_of_files(saved_weights(name, **kwargs)):
        raise SavedFolderError(
            f"The export for backend={kind.name!r} of {name!r} is of other weights than those of the model, which has "
            f"changed since. Make a new one with {command}."
        )
    paths = {one: find(name, kind.path(one), **kwargs) for one in files}
    missing = [one for one, path in paths.items() if path is None]
    main = paths[kind.main_file]
    if missing or main is None:
        raise SavedFolderError(f"{name!r} lacks {kind.path(missing[0])}. Make a new export with {command}.")
    return main, record


def write_record(record: Mapping[str, Any], folder: Path) -> None:
    """Write a record next to its graph, with the names of the graph's files."""
    files = sorted(path.name for path in folder.iterdir())
    (folder / EXPORT_RECORD).write_text(json.dumps({**record, "files": files}, indent=2) + "\n", encoding="utf-8")

"""Load a model's exported graph, and let it answer requests in the place of the model."""

from dataclasses import dataclass
from typing import Any

import torch

from seqrec.errors import InputError
from seqrec.inference.export_record import ITEMS_SHA256, find_export, items_sha256
from seqrec.inference.exported_retriever import ExportedRetriever
from seqrec.inference.graph_formats import BACKENDS, Backend, format_named, require_installed
from seqrec.inference.graph_sessions import GraphSession, open_session
from seqrec.interactions.catalogue import Catalogue
from seqrec.modeling.devices import resolve_device
from seqrec.modeling.modeling_next_item import NextItemHead
from seqrec.search.retriever import Retriever

__all__ = ["ExportedModel", "device_of", "load_exported"]


@dataclass(frozen=True)
class ExportedModel:
    """A graph exported from a model.

    Attributes:
        backend: Name of what runs it.
        session: Runs it.
        record: What is known of it: the content of `seqrec_export.json`.
    """

    backend: str
    session: GraphSession
    record: dict[str, Any]

    def retriever(self, retriever: Retriever, model: NextItemHead, items: Catalogue, index: str) -> ExportedRetriever:
        """Return a retriever that runs the graph.

        If hidden items or latest counts are not those of the graph, or the catalogue has an approximate index, only
        user vectors are those of the graph.

        Args:
            retriever: Retriever of the model.
            model: The model.
            items: Its catalogue.
            index: Name of its index.
        """
        is_same = self.record.get(ITEMS_SHA256) == items_sha256(model, items)
        return ExportedRetriever(retriever, self.session, lists_items=is_same and index == "exact")


def device_of(backend: Backend, device: str | torch.device) -> torch.device:
    """Return the device of a model that a backend runs.

    Raises:
        InputError: If the backend or device does not exist, or they do not fit together.
    """
    if backend == "torch":
        return resolve_device(device)
    format_named(backend, known=BACKENDS, what="backend")
    found = resolve_device("cpu" if device == "auto" else device)
    if found.type != "cpu":
        raise InputError(f"backend={backend!r} runs on the CPU, but device={str(device)!r} was given. Leave it out.")
    return found


def load_exported(name: str, backend: Backend, **kwargs: Any) -> ExportedModel | None:
    """Load the graph of a model for a backend; None for torch.

    Args:
        name: Folder, or repository on the Hub.
        backend: The backend.
        **kwargs: Where and how to look; see `load_saved`.

    Raises:
        InputError: If the backend is not installed.
        SavedFolderError: If the model has no graph for it, or one of other weights.
    """
    if backend == "torch":
        return None
    kind = format_named(backend, known=BACKENDS, what="backend")
    require_installed({"onnx": "onnxruntime"}.get(backend, backend), kind.extra)
    path, record = find_export(name, kind, **kwargs)
    return ExportedModel(backend, open_session(kind.name, path), record)

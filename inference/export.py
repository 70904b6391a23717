"""Export a saved model to a graph, which other programs and faster libraries run.

Files are written to a temporary folder, and moved into place once the graph is known to compute what the model does.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from seqrec.errors import InputError
from seqrec.hub.staging import STAGE, remove_leftovers
from seqrec.inference.export_parity import accuracy, made_up_histories, measure_parity, overlap
from seqrec.inference.export_record import make_record, write_record
from seqrec.inference.exported_graph import ExportedGraph
from seqrec.inference.exported_retriever import ExportedRetriever
from seqrec.inference.graph_files import OPSET, quantise_onnx, require_space, write_graph
from seqrec.inference.graph_formats import GraphFormat, format_named, import_extra
from seqrec.inference.graph_sessions import open_session
from seqrec.inference.recommender import Recommender
from seqrec.interactions.histories import Histories
from seqrec.interactions.whole_files import explained_failure
from seqrec.search.retriever import Retriever

__all__ = ["HeldOut", "export_model"]

PARITY_HISTORIES = 256  # of given ones


@dataclass(frozen=True)
class HeldOut:
    """Requests to compare and to measure with.

    Attributes:
        histories: Histories with a `target` each.
        source: What they are, for the record, such as the data set and the split.
        exclude_seen: Whether the items of a history are left out of lists.
    """

    histories: Histories
    source: dict[str, Any]
    exclude_seen: bool = True


def export_model(
    folder: str | Path,
    format: str = "onnx",
    *,
    quantise: str | None = None,
    held_out: Callable[[Recommender], HeldOut] | None = None,
) -> dict[str, Any]:
    """Export a saved model to a graph in a folder of its own: `onnx`, `openvino` or `torch-export`.

    The graph reads token ids and the events' other columns, and returns user vectors, and the scores and token ids of
    the best items; its inputs are listed in `seqrec_export.json`. An earlier export of the same format is replaced. If
    anything fails, nothing changes.

    Args:
        folder: Folder of the model.
        format: `"onnx"`, `"openvino"` or `"torch-export"`.
        quantise: `"int8"` for matrices of int8 in ONNX, which change scores; how much is measured.
        held_out: Returns the requests by which the graph is compared with the model and measured; made up if None.

    Returns:
        The record: the content of `seqrec_export.json`.

    Raises:
        InputError: If the format does not exist or cannot be quantised, a package is not installed, the folder is none
            or cannot be written, the disk is full, or the model cannot be traced.
        ParityError: If the graph computes other lists or scores than the model.
        SavedFolderError: If the model is damaged.
    """
    folder, kind = Path(folder), format_named(format)
    require_quantisation(kind, quantise)
    if not folder.is_dir():
        raise InputError(f"'{folder}' is not a folder. Give that of a saved model; download one from the Hub first.")
    for package in kind.packages[1:]:
        import_extra(package, kind.extra)
    recommender = Recommender.from_pretrained(folder, device="cpu")
    requests = held_out(recommender) if held_out is not None else None
    remove_leftovers(folder)
    with explained_failure(folder / kind.name), TemporaryDirectory(prefix=STAGE, dir=folder) as aside:
        stage = Path(aside, kind.name)
        stage.mkdir()
        measured = write_measured(recommender, kind, stage, quantise=quantise, requests=requests)
        record = make_record(kind, recommender.model, recommender.items, str(folder), measured)
        write_record(record, stage)
        move(stage, folder / kind.name)
    return record


def require_quantisation(kind: GraphFormat, quantise: str | None) -> None:
    """Raise an `InputError` if a format cannot be quantised in this way."""
    if quantise not in (None, "int8"):
        raise InputError(f"quantise must be int8 or left out, got {quantise!r}.")
    if quantise is not None and kind.name != "onnx":
        raise InputError(f"Only the format onnx can be quantised, got {kind.name}. Leave quantise out.")


def write_measured(
    recommender: Recommender, kind: GraphFormat, stage: Path, *, quantise: str | None, requests: HeldOut | None
) -> dict[str, Any]:
    """Write a graph, and compare it with its model; return the comparison."""
    config = recommender.model.config
    graph = ExportedGraph(recommender.model, recommender.items.hidden_token_ids)
    require_space(graph, stage, copies=1 if quantise is None else 2)
    write_graph(graph, config.max_history_length, kind.name, stage)
    histories = made_up_histories(config) if requests is None else requests.histories
    compared = histories if requests is None else some_of(histories)
    exported = retriever_of(recommender.retriever, kind, stage)
    measured: dict[str, Any] = {
        "opset": OPSET if kind.name == "onnx" else None,
        "compared_with": "made-up histories" if requests is None else requests.source,
        "parity": measure_parity(recommender.retriever, exported, compared),
        "quantised": quantise,
    }
    name = "exported"
    if quantise is not None:
        quantise_onnx(stage / kind.main_file)
        exported, name = retriever_of(recommender.retriever, kind, stage), "quantised"
        measured["quantised_overlap@10"] = overlap(recommender.retriever, exported, compared)
    if requests is not None:
        how = {"exclude_seen": requests.exclude_seen}
        pairs = {"model": recommender.retriever, name: exported}
        measured["accuracy"] = {one: accuracy(retriever, histories, **how) for one, retriever in pairs.items()}
    return measured


def some_of(histories: Histories) -> Histories:
    """Select histories, evenly spread, to compare; without empty ones, which no graph answers."""
    rows = [row for row, length in enumerate(histories.lengths_R) if length]
    return histories.select(rows[:: max(1, len(rows) // PARITY_HISTORIES)])


def retriever_of(retriever: Retriever, kind: GraphFormat, folder: Path) -> ExportedRetriever:
    """Return a retriever that runs the graph in a folder."""
    return ExportedRetriever(retriever, open_session(kind.name, folder / kind.main_file), lists_items=True)


def move(stage: Path, target: Path) -> None:
    """Replace an export by a new one; the folder holds a complete export or none."""
    if target.exists():
        earlier = stage.with_name("earlier")
        os.rename(target, earlier)
        shutil.rmtree(earlier, ignore_errors=True)
    os.rename(stage, target)

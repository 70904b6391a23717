"""Trace a model's graph, with histories of any number and length."""

from collections.abc import Sequence
from typing import Any

import torch
from torch.export import Dim, ExportedProgram

from seqrec.errors import InputError
from seqrec.inference.exported_graph import ExportedGraph, graph_inputs
from seqrec.interactions.one_line import one_line

__all__ = ["arguments", "trace"]


def trace(graph: ExportedGraph, max_length: int) -> ExportedProgram:
    """Trace a graph by `torch.export`.

    Args:
        graph: The graph.
        max_length: Length of the longest history that the model reads.

    Raises:
        InputError: If the model's computation depends on its inputs' values, so that it is no graph.
    """
    inputs = graph_inputs(("input_ids", *graph.column_names))
    axes = {"batch": Dim("batch"), "length": Dim("length", max=max_length), "excluded": Dim("excluded")}
    examples = arguments([one.example() for one in inputs], graph.column_names)
    shapes = arguments(
        [{index: axes[name] for index, name in enumerate(one.axes)} for one in inputs], graph.column_names
    )
    try:
        with torch.no_grad():
            return torch.export.export(graph, examples, dynamic_shapes=shapes, strict=False)
    except Exception as error:  # torch raises exceptions of many classes
        raise InputError(
            f"This {graph.backbone.config.model_type} model cannot be exported: its computation cannot be traced by "
            f"torch.export ({one_line(error, 200)}). Use it with backend='torch'."
        ) from error


def arguments(values: Sequence[Any], column_names: Sequence[str]) -> tuple[Any, ...]:
    """Arrange one value per input as the arguments of `ExportedGraph.forward`."""
    ids, excluded, k, *columns = values
    return ids, excluded, k, dict(zip(column_names, columns, strict=True))

"""Write a graph in one of the formats."""

import logging
import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor
from torch.export import ExportedProgram

from seqrec.errors import InputError
from seqrec.inference.exported_graph import OUTPUTS, ExportedGraph, graph_inputs
from seqrec.inference.graph_formats import FORMATS, import_extra
from seqrec.inference.graph_tracing import trace
from seqrec.interactions.one_line import one_line

__all__ = ["OPSET", "quantise_onnx", "require_space", "write_graph"]

OPSET = 20  # of ONNX; the first with GELU
LARGEST_FILE = 2**30  # bytes of weights in an ONNX file, which cannot hold more than 2 GiB; others lie next to it
HEADROOM = 2**21  # bytes of a graph besides its weights


def require_space(graph: ExportedGraph, folder: Path, *, copies: int) -> None:
    """Make sure that a disk has room for a graph: some of the libraries abort where it has not.

    Args:
        graph: The graph.
        folder: Where it is written.
        copies: How often its weights are on the disk at once.

    Raises:
        InputError: If there is too little.
    """
    needed = copies * size_of([*graph.parameters(), *graph.buffers()]) + HEADROOM
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise InputError(
            f"The export needs {needed / 1e6:,.0f} MB of disk, but only {free / 1e6:,.0f} MB are free where the model "
            "is. Delete other files, or copy the model to another disk."
        )


def write_graph(graph: ExportedGraph, max_length: int, format_name: str, folder: Path) -> None:
    """Trace a graph, and write it to a folder.

    Args:
        graph: The graph.
        max_length: Length of the longest history that the model reads.
        format_name: Name of the format.
        folder: An empty folder.

    Raises:
        InputError: If the graph cannot be traced, or a package is not installed.
    """
    names = [one.name for one in graph_inputs(("input_ids", *graph.column_names))]
    write = WRITERS[format_name]
    with quiet_torch():
        write(trace(graph, max_length), names, folder / FORMATS[format_name].main_file)


def write_onnx(traced: ExportedProgram, input_names: list[str], path: Path) -> None:
    """Write ONNX, with large weights in a file of their own."""
    import_extra("onnxscript", "onnx")
    program = torch.onnx.export(
        traced,
        dynamo=True,
        opset_version=OPSET,
        verbose=False,
        input_names=input_names,
        output_names=list(OUTPUTS),
    )
    assert program is not None
    program.save(str(path), external_data=size_of(traced.state_dict.values()) > LARGEST_FILE)


def write_openvino(traced: ExportedProgram, input_names: list[str], path: Path) -> None:
    """Write OpenVINO's format, with weights in float32."""
    openvino = import_extra("openvino", "openvino")
    converted = openvino.convert_model(traced)
    for port, name in zip(converted.inputs, input_names, strict=True):
        port.set_names({name})
        port.get_node().set_friendly_name(name)
    for port, name in zip(converted.outputs, OUTPUTS, strict=True):
        port.set_names({name})
    try:
        openvino.save_model(converted, str(path), compress_to_fp16=False)
    except RuntimeError as error:
        raise OSError(one_line(error)) from error


def write_torch_export(traced: ExportedProgram, input_names: list[str], path: Path) -> None:
    """Write an archive of `torch.export`."""
    torch.export.save(traced, str(path))


WRITERS: dict[str, Callable[[ExportedProgram, list[str], Path], None]] = {
    "onnx": write_onnx,
    "openvino": write_openvino,
    "torch-export": write_torch_export,
}


def quantise_onnx(path: Path) -> None:
    """Replace an ONNX graph by one whose matrices are int8; activations are quantised as they occur.

    Weights are unsigned: sums of products of signed ones would overflow on processors without VNNI instructions.
    """
    quantization = import_extra("onnxruntime.quantization", "onnx")
    is_large = sum(file.stat().st_size for file in path.parent.iterdir()) > LARGEST_FILE
    with TemporaryDirectory(dir=path.parent) as aside, quiet_torch():
        small = Path(aside, path.name)
        quantization.quantize_dynamic(
            str(path),
            str(small),
            per_channel=True,
            weight_type=quantization.QuantType.QUInt8,
            use_external_data_format=is_large,
        )
        for file in path.parent.iterdir():
            if file.is_file():
                file.unlink()
        for file in small.parent.iterdir():
            file.rename(path.parent / file.name)


def size_of(weights: Iterable[Tensor]) -> int:
    """Return the size of weights in bytes, each counted once."""
    return sum({tensor.untyped_storage().data_ptr(): tensor.nbytes for tensor in weights}.values())


@contextmanager
def quiet_torch() -> Iterator[None]:
    """Hide warnings and messages of the exporters, which are about themselves."""
    loggers = [logging.getLogger(name) for name in ("torch", "torch.onnx", "torch.export", "onnxscript", "root")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings(), redirect_stderr(StringIO()):  # torch prints the graph where tracing fails
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)

"""Run exported graphs on the CPU.

Shape suffixes: B histories, D size of user vectors, K list length.
"""

import ctypes
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from seqrec.errors import SavedFolderError
from seqrec.inference.exported_graph import OUTPUTS, USERS
from seqrec.inference.graph_formats import import_extra
from seqrec.inference.graph_tracing import arguments
from seqrec.interactions.one_line import one_line

__all__ = ["GraphSession", "open_session"]

Arrays = Mapping[str, np.ndarray]


class GraphSession(ABC):
    """Runs a graph; it may be used by several threads.

    The graph is loaded on first use, by each process and copy again: threads do not survive a fork. Each process has as
    many threads as torch.

    Args:
        path: The graph's file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = threading.Lock()
        self.process: int | None = None
        self.loaded: Any = None

    def __reduce__(self) -> tuple[type["GraphSession"], tuple[Path]]:
        return type(self), (self.path,)

    def run(self, inputs: Arrays, outputs: Sequence[str] = OUTPUTS) -> list[np.ndarray]:
        """Return outputs of the graph: user vectors (B, D), scores (B, K) and token ids (B, K), or some of them.

        Raises:
            SavedFolderError: If the graph cannot be loaded.
        """
        if self.process != os.getpid():
            with self.lock:
                if self.process != os.getpid():
                    never_free(self.loaded)
                    self.loaded = self.load_or_explain()
                    self.process = os.getpid()
        return self.compute(inputs, outputs)

    def load_or_explain(self) -> Any:
        """Load the graph; errors name its file."""
        try:
            return self.load()
        except Exception as error:  # each library raises exceptions of its own
            if isinstance(error, ValueError):
                raise
            raise SavedFolderError(
                f"{self.path} cannot be loaded ({one_line(error)}). Export the model again with `seqrec export`."
            ) from error

    @abstractmethod
    def load(self) -> Any:
        """Load the graph."""

    @abstractmethod
    def compute(self, inputs: Arrays, outputs: Sequence[str]) -> list[np.ndarray]:
        """Run the loaded graph; see `run`."""


class OnnxSession(GraphSession):
    """Runs an ONNX graph by onnxruntime."""

    def load(self) -> Any:
        """Load the graph."""
        runtime = import_extra("onnxruntime", "onnx")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3  # errors
        self.only_requested = runtime.RunOptions()
        self.only_requested.only_execute_path_to_fetches = True
        return runtime.InferenceSession(str(self.path), options, providers=["CPUExecutionProvider"])

    def compute(self, inputs: Arrays, outputs: Sequence[str]) -> list[np.ndarray]:
        """Run the loaded graph."""
        options = None if outputs == OUTPUTS else self.only_requested
        return self.loaded.run(outputs, inputs, options)


class OpenVinoSession(GraphSession):
    """Runs an OpenVINO graph; user vectors alone are computed by a part of it."""

    def load(self) -> Any:
        """Load the graph and its part."""
        openvino = import_extra("openvino", "openvino")
        core = openvino.Core()
        settings = {
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "INFERENCE_PRECISION_HINT": "f32",
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,  # a pinned thread waits for whatever else runs on its core
        }
        model = core.read_model(str(self.path))
        users = openvino.Model([model.output(USERS)], model.get_parameters())
        self.of_thread = threading.local()  # requests belong to one thread each
        return {
            outputs: core.compile_model(one, "CPU", settings) for outputs, one in ((OUTPUTS, model), ((USERS,), users))
        }

    def compute(self, inputs: Arrays, outputs: Sequence[str]) -> list[np.ndarray]:
        """Run the loaded graph."""
        requests: dict[Any, Any] = vars(self.of_thread)
        key = tuple(outputs)
        if key not in requests:
            requests[key] = self.loaded[key].create_infer_request()
        found = requests[key].infer(inputs)
        return [np.array(found[name]) for name in outputs]


class TorchExportSession(GraphSession):
    """Runs an archive of `torch.export`."""

    def load(self) -> Any:
        """Load the graph."""
        return torch.export.load(str(self.path)).module()

    def compute(self, inputs: Arrays, outputs: Sequence[str]) -> list[np.ndarray]:
        """Run the loaded graph."""
        columns = list(inputs)[3:]
        tensors = [torch.from_numpy(np.asarray(values)) for values in inputs.values()]
        with torch.no_grad():
            found = self.loaded(*arguments(tensors, columns))
        return [found[OUTPUTS.index(name)].numpy(force=True) for name in outputs]


def never_free(loaded: Any) -> None:
    """Let a graph that a fork inherited outlive the process: freeing it would wait for the threads of the parent."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(loaded))


SESSIONS: dict[str, type[GraphSession]] = {
    "onnx": OnnxSession,
    "openvino": OpenVinoSession,
    "torch-export": TorchExportSession,
}


def open_session(format_name: str, path: Path) -> GraphSession:
    """Return what runs a graph of a format; it is loaded on first use."""
    return SESSIONS[format_name](path)

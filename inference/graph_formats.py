"""The formats of exported graphs: their folders, files and packages."""

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal

from seqrec.errors import InputError
from seqrec.interactions.one_line import one_line

__all__ = [
    "BACKENDS",
    "FORMATS",
    "Backend",
    "FormatName",
    "GraphFormat",
    "format_named",
    "import_extra",
    "require_installed",
]

Backend = Literal["torch", "onnx", "openvino"]
FormatName = Literal["onnx", "openvino", "torch-export"]


@dataclass(frozen=True)
class GraphFormat:
    """A format of exported graphs.

    Attributes:
        name: Its name, which is also that of its folder in a model's folder.
        main_file: The file that is loaded.
        packages: Packages that wrote the graph or run it.
        extra: The extra of seqrec that installs those besides torch.
    """

    name: str
    main_file: str
    packages: tuple[str, ...]
    extra: str | None = None

    def path(self, file_name: str) -> str:
        """Return the path of one of its files in a model's folder."""
        return f"{self.name}/{file_name}"


FORMATS = {
    one.name: one
    for one in (
        GraphFormat("onnx", "model.onnx", ("torch", "onnx", "onnxscript", "onnxruntime"), extra="onnx"),
        GraphFormat("openvino", "openvino_model.xml", ("torch", "openvino"), extra="openvino"),
        GraphFormat("torch-export", "model.pt2", ("torch",)),
    )
}
BACKENDS = ("torch", "onnx", "openvino")


def format_named(name: str, *, known: tuple[str, ...] = tuple(FORMATS), what: str = "format") -> GraphFormat:
    """Look up a format.

    Raises:
        InputError: If there is none of that name.
    """
    if name not in known or name not in FORMATS:
        raise InputError(f"{what} must be one of {', '.join(known)}, got {name!r}.")
    return FORMATS[name]


def import_extra(module: str, extra: str | None) -> Any:
    """Import a module of a package that an extra of seqrec installs.

    Raises:
        InputError: If it cannot be imported.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise not_installed(module.partition(".")[0], extra, f" ({one_line(error)})") from error


def require_installed(package: str, extra: str | None) -> None:
    """Make sure that a package is installed, without importing it: its threads would not survive a fork.

    Raises:
        InputError: If it is not installed.
    """
    if find_spec(package) is None:
        raise not_installed(package, extra)


def not_installed(package: str, extra: str | None, reason: str = "") -> InputError:
    """Build the error that names an extra."""
    return InputError(f'The format {extra!r} needs {package}{reason}. Install it with: pip install "seqrec[{extra}]"')

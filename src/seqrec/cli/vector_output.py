"""Files of vectors: Parquet, Arrow IPC, or Lance if its package is installed."""

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from seqrec.cli.output import require_output_file
from seqrec.errors import InputError
from seqrec.interactions.one_line import one_line

if TYPE_CHECKING:
    import polars as pl

__all__ = ["VECTOR_ENDINGS", "require_vector_output", "write_vectors"]

LANCE = ".lance"


def require_vector_output(path: str, *, model: str, sources: Mapping[str, str | None]) -> None:
    """Raise an `InputError` unless vectors can be written here; see `require_output_file`."""
    if Path(path).suffix.lower() == LANCE:
        if Path(path).exists():
            raise InputError(f"--output {path!r} already exists. Choose another name, or delete it first.")
        if find_spec("lance") is None:
            raise InputError(
                f"--output {path!r} needs the package pylance, which is not installed. Install it, or let --output "
                "end in .parquet or .arrow."
            )
    require_output_file(path, model=model, sources=sources, endings=VECTOR_ENDINGS)


def write_vectors(frame: "pl.DataFrame", path: str) -> None:
    """Write a table of vectors atomically, in the format given by the file's extension."""
    VECTOR_WRITERS[Path(path).suffix.lower()](frame, path)


def write_file(method: str) -> Callable[["pl.DataFrame", str], None]:
    """Return what writes a file by a method of a polars frame."""

    def write(frame: "pl.DataFrame", path: str) -> None:
        from seqrec.interactions.whole_files import whole_file  # here, as it imports polars

        with whole_file(path) as part:
            getattr(frame, method)(part)

    return write


def write_lance(frame: "pl.DataFrame", path: str) -> None:
    """Write a Lance data set, which is a folder."""
    try:
        with tempfile.TemporaryDirectory(prefix=".part-", dir=Path(path).resolve().parent) as aside:
            part = os.path.join(aside, "part.lance")
            import_module("lance").write_dataset(frame.to_arrow(), part)
            shutil.move(part, path)
    except OSError as error:
        raise InputError(f"'{path}' could not be written: {one_line(error)}.") from error


VECTOR_WRITERS: dict[str, Callable[["pl.DataFrame", str], None]] = {
    ".parquet": write_file("write_parquet"),
    ".arrow": write_file("write_ipc"),
    LANCE: write_lance,
}
VECTOR_ENDINGS = tuple(VECTOR_WRITERS)

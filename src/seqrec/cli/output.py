"""Output of commands: checked before any work, and written completely or not at all."""

import os
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from seqrec.errors import InputError
from seqrec.interactions.one_line import one_line

if TYPE_CHECKING:
    import polars as pl

__all__ = ["WRITERS", "require_folder", "require_new_folder", "require_output", "require_output_file", "write_frame"]

# For each ending, the method of a polars frame that writes it.
WRITERS = {".csv": "write_csv", ".parquet": "write_parquet", ".jsonl": "write_ndjson"}


def write_frame(frame: "pl.DataFrame", path: str) -> None:
    """Write a table atomically, in the format given by the file's extension."""
    from seqrec.interactions.whole_files import whole_file  # here, as it imports polars

    with whole_file(path) as part:
        getattr(frame, WRITERS[Path(path).suffix.lower()])(part)


def require_output(path: str, *, model: str, sources: Mapping[str, str | None]) -> None:
    """Raise an `InputError` unless lists can be written: to a file, or to a folder; see `require_output_file`."""
    is_folder = os.path.isdir(path) and Path(path).suffix.lower() not in WRITERS
    if not path.endswith(("/", os.sep)) and not is_folder:
        require_output_file(path, model=model, sources=sources, or_folder=True)
        return
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_dir():
        raise InputError(f"--output {path!r} is a file. Leave out the '/' to replace it.")
    if not target.parent.is_dir():
        raise InputError(f"--output {path!r} is in a folder that does not exist. Create '{target.parent}' first.")
    for given, source in {**sources, "--model": model}.items():
        if source is not None and is_same(target, Path(source)):
            raise InputError(f"--output {path!r} would add to {given} {source!r}. Give another folder.")
    require_writable(target if target.exists() else target.parent, f"--output {path!r}")


def require_output_file(
    path: str,
    *,
    model: str,
    sources: Mapping[str, str | None],
    flag: str = "--output",
    endings: Collection[str] = WRITERS,
    or_folder: bool = False,
) -> None:
    """Raise an `InputError` unless a file can be written here without replacing its source or a file of the model.

    Args:
        path: The file to write.
        model: The model's folder or repository.
        sources: The inputs by their flags: files, or folders of files; None for those not given.
        flag: The flag that gave the path.
        endings: What the file's name may end in.
        or_folder: Whether a name that ends in "/" would be a folder, for the message.
    """
    output = Path(path)
    if output.suffix.lower() not in endings:
        one_of = "one of " if len(endings) > 1 else ""
        folder = ", or in '/' for a folder" if or_folder else ""
        raise InputError(f"{flag} {path!r} must end in {one_of}{', '.join(endings)}{folder}.")
    target = Path(os.path.realpath(output))  # writing follows links too
    if target.is_dir():
        raise InputError(f"{flag} {path!r} is a folder. Give the name of a file.")
    if not target.parent.is_dir():
        raise InputError(f"{flag} {path!r} is in a folder that does not exist. Create '{target.parent}' first.")
    for given, source in sources.items():
        if source is not None and (is_same(target, Path(source)) or is_same(target.parent, Path(source))):
            raise InputError(f"{flag} {path!r} would replace or add to {given} {source!r}. Give another file.")
    if Path(model).is_dir() and any(is_same(target, file) for file in Path(model).iterdir()):
        raise InputError(f"{flag} {path!r} would replace a file of the model. Give another file.")
    if target.exists() and not os.access(target, os.W_OK):
        raise InputError(f"{flag} {path!r} already exists and is not writable. Give another file.")
    require_writable(target.parent, f"{flag} {path!r}")


def require_new_folder(path: str) -> None:
    """Raise an `InputError` if a folder is not empty, or cannot be created or written to."""
    require_folder(path)
    if Path(path).is_dir() and any(Path(path).iterdir()):
        raise InputError(f"--output_dir {path!r} already exists and is not empty. Choose another folder.")


def require_folder(path: str) -> None:
    """Raise an `InputError` if a folder cannot be created or written to."""
    what = f"--output_dir {path!r}"
    if not path.strip():
        raise InputError("--output_dir is empty. Give a folder.")
    folder = Path(os.path.realpath(path))
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{what} is a file. Choose another folder.")
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not existing.is_dir():
        raise InputError(f"{what} cannot be created: '{existing}' is a file. Choose another folder.")
    require_writable(existing, what)


def require_writable(folder: Path, what: str) -> None:
    """Raise an `InputError` unless something can be created in a folder, which only trying can show."""
    try:
        os.rmdir(tempfile.mkdtemp(prefix=".part-", dir=folder))
    except OSError as error:
        raise InputError(f"{what} cannot be written to '{folder}': {one_line(error)}. Choose another.") from error


def is_same(one: Path, other: Path) -> bool:
    """Return whether two paths, or links, lead to the same file or folder."""
    try:
        return one.samefile(other)
    except OSError:  # one does not exist, or is not a valid path
        return False

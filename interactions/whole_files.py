"""Write files and folders atomically: complete or not at all.

Content is written under a hidden name and renamed when complete. Until then, any earlier file stays in place.
"""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from seqrec.errors import InputError, SeqrecError
from seqrec.interactions.one_line import one_line

__all__ = ["PART_PREFIX", "explained_failure", "whole_file", "whole_folder", "write_text_whole"]

PART_PREFIX = ".part-"  # marks files still being written, or left by a process that was killed


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Write a file atomically.

    ```python
    with whole_file("table.csv") as part:
        table.write_csv(part)
    ```

    If the block raises, the part is removed and `path` is unchanged. Links are followed. Anything but a regular file (a
    pipe, a device) cannot be replaced and is written to directly.

    Args:
        path: The file. Its folder must exist.

    Yields:
        An empty file to write to, in the same folder and with the same extension.

    Raises:
        InputError: If the file cannot be written: no such folder, no permission, a full disk.
    """
    target = Path(os.path.realpath(path))
    with explained_failure(path):
        if target.is_dir():
            raise IsADirectoryError("it is a folder")
        if target.exists() and not target.is_file():
            yield target
            return
        part = part_beside(target)
        try:
            part.touch(exist_ok=False)
            if target.exists():
                shutil.copymode(target, part)
            yield part
            flush_to_disk(part)
            os.replace(part, target)
        finally:
            part.unlink(missing_ok=True)


def write_text_whole(path: str | Path, text: str) -> None:
    """Write a UTF-8 text file atomically; raises the same errors as `whole_file`."""
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8")


@contextmanager
def whole_folder(folder: str | Path, *, last: str) -> Iterator[Path]:
    """Write a new folder atomically, creating its parents.

    Args:
        folder: Must be empty or not exist. An existing folder is kept, since it may be mounted or the working
            directory: files are moved into it at the end.
        last: Name of the file to move last. Its presence shows that all others are in place.

    Yields:
        A folder to write into.

    Raises:
        InputError: If the folder is not empty or cannot be written.
    """
    target = Path(os.path.realpath(folder))
    with explained_failure(folder):
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise InputError(f"'{folder}' already exists and is not empty. Choose another folder.")
        is_new = not target.exists()
        part = part_beside(target) if is_new else part_beside(target / last)
        try:
            part.mkdir(parents=True)
            yield part
            for path in part.rglob("*"):
                if path.is_file():
                    flush_to_disk(path)
            if is_new:
                os.rename(part, target)
            else:
                for path in sorted(part.iterdir(), key=lambda path: path.name == last):
                    os.rename(path, target / path.name)
        finally:
            shutil.rmtree(part, ignore_errors=True)


@contextmanager
def explained_failure(path: str | Path) -> Iterator[None]:
    """Turn write errors of the system or of polars into an `InputError` that names the path."""
    try:
        yield
    except SeqrecError:  # explained already; a lost connection is an OSError too
        raise
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InputError(f"'{path}' could not be written: {one_line(error)}.") from error


def part_beside(target: Path) -> Path:
    """Return an unused name in the same folder, with the same extension."""
    return target.with_name(f"{PART_PREFIX}{secrets.token_hex(4)}-{target.name[-50:]}")


def flush_to_disk(path: Path) -> None:
    """Wait until a file's content is on disk, so that a power failure after the rename does not leave it empty."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())

"""Write files and folders so that they are there whole or not at all.

All is written aside, under a hidden name, and renamed when it is complete. Until then what was there before stays.
"""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from seqrec.errors import InputError
from seqrec.interactions.one_line import one_line

PART_PREFIX = ".part-"  # of what is still being written, or was when its process was killed


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Write a file whole or not at all.

    ```python
    with whole_file("table.csv") as part:
        table.write_csv(part)
    ```

    If the block raises, the part is removed and `path` is as it was. A link is followed; what is no regular file (a
    pipe, a device) cannot be replaced, and is written to directly.

    Args:
        path: The file. Its folder must exist.

    Yields:
        Where to write: an empty file in the same folder, with the same ending.

    Raises:
        ValueError: If it cannot be written: no such folder, no right to, a full disk.
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
    """Write a text file in UTF-8, whole or not at all; raises as `whole_file` does."""
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8")


@contextmanager
def whole_folder(folder: str | Path, *, last: str) -> Iterator[Path]:
    """Write a new folder whole or not at all; its parents are made too.

    Args:
        folder: It must not exist, or be empty. One that is there stays the same folder (it may be mounted, or the
            working directory): the files are moved into it at the end.
        last: Name of the file that moves into it last, and so tells that all others are there.

    Yields:
        A folder to write into.

    Raises:
        ValueError: If the folder holds anything, or cannot be written.
    """
    target = Path(os.path.realpath(folder))
    with explained_failure(folder):
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise InputError(f"'{folder}' is there already, and not empty. Choose another folder.")
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
    """Turn a failure of the system, or of polars, to write into a `ValueError` that names the path."""
    try:
        yield
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InputError(f"'{path}' could not be written: {one_line(error)}.") from error


def part_beside(target: Path) -> Path:
    """Make up a name in the same folder, of the same ending, that nothing has."""
    return target.with_name(f"{PART_PREFIX}{secrets.token_hex(4)}-{target.name[-50:]}")


def flush_to_disk(path: Path) -> None:
    """Wait until a file's content is on the disk, so that a power cut after the rename does not leave it empty."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())

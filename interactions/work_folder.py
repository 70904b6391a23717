"""The folder of a long job: what is done of it, so that the same job, started again, goes on where it was stopped."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from seqrec.errors import InputError
from seqrec.interactions.whole_files import write_text_whole

__all__ = ["Work", "require_space", "stamp", "work_folder"]

PLAN, LOCK = "plan.json", ".lock"


class Work:
    """A folder with the results of the steps of a job that are done.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, name: str) -> Path:
        """Return the path of a file in the folder."""
        return self.folder / name

    @property
    def has_results(self) -> bool:
        """Whether a step is done."""
        return any(path.name != PLAN for path in self.folder.glob("*.json"))

    def read(self, step: str) -> Any:
        """Return the result of a step that is done; None if it is not."""
        path = self.path(f"{step}.json")
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    def write(self, step: str, result: Any) -> None:
        """Say that a step is done; files that it has written must be complete."""
        write_text_whole(self.path(f"{step}.json"), json.dumps(result))


@contextmanager
def work_folder(folder: Path, plan: Mapping[str, Any]) -> Iterator[Work]:
    """Open the folder of a job, new or left by the same job; remove it when the block is done, but not on errors.

    Args:
        folder: The folder.
        plan: What determines the results of the job.

    Raises:
        InputError: If the folder holds another job, or another process works on it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise InputError(f"Another process is working in '{folder}'. Wait for it, or choose another output.") from error
    try:
        work = Work(folder)
        if work.read("plan") not in (None, json.loads(json.dumps(plan))) and work.has_results:
            raise InputError(
                f"'{folder}' holds the work of a call with other data or options. Repeat that call to finish it, or "
                "remove the folder."
            )
        write_text_whole(folder / PLAN, json.dumps(plan))
        yield work
        shutil.rmtree(folder)
    finally:
        lock.release()


def stamp(path: Path) -> list[Any]:
    """Return a file's name, size and time of change, to notice that it has changed."""
    return [str(path), path.stat().st_size, path.stat().st_mtime_ns]


def require_space(folder: Path, needed: int) -> None:
    """Refuse a job for which the disk has too little space.

    Args:
        folder: A folder on the disk; the nearest one that exists counts.
        needed: Bytes.

    Raises:
        InputError: If there are fewer.
    """
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise InputError(
            f"Dividing the table takes about {needed / 2**30:,.1f} GB on the disk of '{folder}', which has "
            f"{free / 2**30:,.1f} GB. Free some, or choose an output folder on another disk."
        )

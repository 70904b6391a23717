"""Protect existing files from being overwritten, and find where an interrupted training can resume."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from seqrec.errors import InputError, SavedFolderError
from seqrec.hub.product_files import COMPANIONS
from seqrec.hub.remote_code import flatten_classes
from seqrec.hub.staging import remove_leftovers
from seqrec.modeling.modeling_auto import ARCHITECTURES
from seqrec.modeling.weight_files import INDEX, SINGLE
from seqrec.training.checkpoints import checkpoints_in, complete_checkpoints, is_ours, what_is_missing

__all__ = ["claimed", "find_checkpoint", "remove_checkpoints", "resume_point"]

NEWEST = ("true", "last", "newest")
LOCK = ".training.lock"
PRODUCT = (*COMPANIONS, SINGLE, INDEX)


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Lock a job's output folder, creating it if needed, so that no second training writes into it.

    Raises:
        InputError: If another training holds the lock, or the folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK, timeout=0)
        lock.acquire()
    except Timeout:
        raise InputError(
            f"Another training is writing into {folder}. Wait until it ends, or choose another `output_dir`."
        ) from None
    except OSError as error:
        existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
        reason = error.strerror or error if existing.is_dir() else f"{existing} is a file"
        raise InputError(
            f"The output folder {folder} cannot be written to ({reason}). Choose another `output_dir`."
        ) from error
    remove_leftovers(folder, older_than=0)
    try:
        yield
    finally:
        with suppress(OSError):  # Windows deletes no open file; there, releasing the lock deletes it
            (folder / LOCK).unlink()
        lock.release()


def resume_point(folder: Path, resume_from_checkpoint: str | bool | None, *, overwrite: bool) -> str | None:
    """Decide where training starts, given the content of the output folder.

    A training that `torchrun --max-restarts` starts again, after one of its processes failed, resumes from its newest
    complete checkpoint.

    Args:
        folder: The job's output folder.
        resume_from_checkpoint: Path of a checkpoint, "true" for the newest one in `folder`, or None.
        overwrite: Whether a model or checkpoints in `folder` may be deleted.

    Returns:
        The checkpoint to resume from, or None to start from the beginning.

    Raises:
        InputError: If the folder holds a model or checkpoints and neither flag says what to do, or if it holds other
            people's files that a model would replace.
        SavedFolderError: If there is no complete checkpoint to resume from.
    """
    require_no_foreign_files(folder)
    if is_restarted():
        resume_from_checkpoint, overwrite = newest_of_restart(folder, resume_from_checkpoint), True
    if resume_from_checkpoint:
        return find_checkpoint(folder, str(resume_from_checkpoint))
    has_checkpoints = bool(complete_checkpoints(folder))
    if not overwrite and (has_checkpoints or (folder / "config.json").exists()):
        held = "the checkpoints of an earlier training" if has_checkpoints else "a model"
        raise InputError(
            f"{folder} already holds {held}. Choose another `output_dir`, "
            f"{'resume with resume_from_checkpoint=True, ' if has_checkpoints else ''}"
            "or replace the old files with overwrite=True."
        )
    remove_checkpoints(folder)
    return None


def is_restarted() -> bool:
    """Return whether torchrun has started the processes of this training again."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0


def newest_of_restart(folder: Path, wanted: str | bool | None) -> str | bool | None:
    """Return the newest complete checkpoint in a folder; what was wanted at first if there is none."""
    complete = complete_checkpoints(folder)
    newest = str(wanted).lower() in NEWEST
    return str(complete[-1]) if complete else None if newest else wanted


def require_no_foreign_files(folder: Path) -> None:
    """Refuse a folder with files that training would replace, unless a training of seqrec wrote them."""
    checkpoints = checkpoints_in(folder)
    foreign = [path.name for path in checkpoints if any(path.iterdir()) and not is_ours(path)]
    have_trained_here = is_ours(folder) or len(foreign) < len(checkpoints)
    if not have_trained_here:
        foreign += [name for name in (*PRODUCT, *code_files()) if (folder / name).exists()]
    if foreign:
        raise InputError(
            f"{folder} holds {', '.join(foreign[:3])}{', …' if len(foreign) > 3 else ''}, which training would "
            "replace, but no training of seqrec wrote. Choose another `output_dir`."
        )


def code_files() -> list[str]:
    """Return the names of the Python files that are saved with the weights."""
    classes = [class_ for classes in ARCHITECTURES for class_ in classes]
    own = [class_ for class_ in classes if class_.__module__.startswith("seqrec.")]
    others = {f"{class_.__module__.rpartition('.')[2]}.py" for class_ in classes if class_ not in own}
    return [*flatten_classes(own), *sorted(others)]


def remove_checkpoints(folder: Path) -> None:
    """Delete the checkpoints in a job's output folder: they contain pickles, which must not be shared with a model."""
    for checkpoint in checkpoints_in(folder):
        shutil.rmtree(checkpoint, ignore_errors=True)  # another process may be deleting it too


def find_checkpoint(folder: Path, wanted: str) -> str:
    """Find the named checkpoint, or the newest complete one."""
    if wanted.lower() not in NEWEST:
        missing = what_is_missing(Path(wanted))
        if missing is not None:
            raise SavedFolderError(
                f"{wanted} is not a complete checkpoint: {missing} is missing or incomplete. "
                "Resume from another one, or start a new training."
            )
        return wanted
    complete = complete_checkpoints(folder)
    if not complete:
        raise SavedFolderError(
            f"There is no complete checkpoint in {folder} to resume from; a finished training leaves none. "
            "Leave out `resume_from_checkpoint` to start from the beginning."
        )
    return str(complete[-1])

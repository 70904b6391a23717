"""Never write over somebody's files, and find where an interrupted training can go on."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from seqrec.errors import InputError, SavedFolderError
from seqrec.hub.product_files import COMPANIONS
from seqrec.hub.remote_code import flatten_classes
from seqrec.hub.staging import remove_leftovers
from seqrec.modeling.modeling_auto import ARCHITECTURES
from seqrec.modeling.weight_files import INDEX, SINGLE
from seqrec.training.checkpoints import checkpoints_in, is_ours, what_is_missing

NEWEST = ("true", "last", "newest")
LOCK = ".training.lock"
PRODUCT = (*COMPANIONS, SINGLE, INDEX)


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Hold a job's output folder, which is made if it is not there, so that no second training writes into it.

    Raises:
        InputError: If another training holds it, or it cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK, timeout=0)
        lock.acquire()
    except Timeout:
        raise InputError(
            f"Another training is writing into {folder}. Wait for its end, or choose another --output_dir."
        ) from None
    except OSError as error:
        existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
        reason = error.strerror or error if existing.is_dir() else f"{existing} is a file"
        raise InputError(
            f"The output folder {folder} cannot be written to ({reason}). Choose another --output_dir."
        ) from error
    remove_leftovers(folder, older_than=0)
    try:
        yield
    finally:
        (folder / LOCK).unlink(missing_ok=True)
        lock.release()


def resume_point(folder: Path, resume_from_checkpoint: str | bool | None, *, overwrite: bool) -> str | None:
    """Decide where training starts, given what the output folder holds.

    Args:
        folder: The job's output folder.
        resume_from_checkpoint: A checkpoint's path, or "true" for the newest one in `folder`, or None.
        overwrite: Whether a model or checkpoints in `folder` may be deleted.

    Returns:
        The checkpoint to go on from, or None to start afresh.

    Raises:
        InputError: If the folder holds a model or checkpoints and neither flag says what to do, or files of others
            that a model would replace.
        SavedFolderError: If there is no complete checkpoint to resume from.
    """
    require_no_foreign_files(folder)
    if resume_from_checkpoint:
        return find_checkpoint(folder, str(resume_from_checkpoint))
    has_checkpoints = any(what_is_missing(checkpoint) is None for checkpoint in checkpoints_in(folder))
    if not overwrite and (has_checkpoints or (folder / "config.json").exists()):
        held = "the checkpoints of an earlier training" if has_checkpoints else "a model"
        raise InputError(
            f"{folder} already holds {held}. Choose another --output_dir, pass --overwrite to replace what is there"
            f"{', or --resume_from_checkpoint true to go on from the newest checkpoint' if has_checkpoints else ''}."
        )
    remove_checkpoints(folder)
    return None


def require_no_foreign_files(folder: Path) -> None:
    """Raise a `ValueError` if a folder holds files that training would replace and that no training of ours wrote."""
    checkpoints = checkpoints_in(folder)
    foreign = [path.name for path in checkpoints if any(path.iterdir()) and not is_ours(path)]
    have_trained_here = is_ours(folder) or len(foreign) < len(checkpoints)
    if not have_trained_here:
        foreign += [name for name in (*PRODUCT, *code_files()) if (folder / name).exists()]
    if foreign:
        raise InputError(
            f"{folder} holds {', '.join(foreign[:3])}{', …' if len(foreign) > 3 else ''}, which no training of seqrec "
            "wrote there and which training would replace. Choose another --output_dir."
        )


def code_files() -> list[str]:
    """Name the Python files that are saved beside the models' weights."""
    own = [class_ for classes in ARCHITECTURES for class_ in classes if class_.__module__.startswith("seqrec.")]
    return list(flatten_classes(own))


def remove_checkpoints(folder: Path) -> None:
    """Delete the checkpoints in a job's output folder: they hold pickles, which no model is shared with."""
    for checkpoint in checkpoints_in(folder):
        shutil.rmtree(checkpoint, ignore_errors=True)  # another process may be at it too


def find_checkpoint(folder: Path, wanted: str) -> str:
    """Find the named checkpoint, or the newest one that was written to its end."""
    if wanted.lower() not in NEWEST:
        missing = what_is_missing(Path(wanted))
        if missing is not None:
            raise SavedFolderError(
                f"{wanted} is no complete checkpoint: {missing} is missing there, or was not written to its end. "
                "Resume from another one, or start a new training."
            )
        return wanted
    complete = [path for path in checkpoints_in(folder) if what_is_missing(path) is None]
    if not complete:
        raise SavedFolderError(
            f"There is no complete checkpoint in {folder} to resume from; a training that came to its end leaves none. "
            "Leave out --resume_from_checkpoint to start anew."
        )
    return str(complete[-1])

"""Never write over somebody's model, and find where an interrupted training can go on."""

import shutil
from pathlib import Path

from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

NEWEST = ("true", "last", "newest")


def resume_point(folder: Path, resume_from_checkpoint: str | bool | None, *, overwrite: bool) -> str | None:
    """Decide where training starts, given what the output folder holds.

    Args:
        folder: The job's output folder.
        resume_from_checkpoint: A checkpoint's path, or "true" for the newest one in `folder`, or None.
        overwrite: Whether a model or checkpoints in `folder` may be deleted.

    Returns:
        The checkpoint to go on from, or None to start afresh.

    Raises:
        ValueError: If the folder holds a model or checkpoints and neither flag says what to do, or there is no
            checkpoint to resume from.
    """
    if resume_from_checkpoint:
        return find_checkpoint(folder, str(resume_from_checkpoint))
    checkpoints = sorted(folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*"))
    if not checkpoints and not (folder / "config.json").exists():
        return None
    if not overwrite:
        held = "the checkpoints of an earlier training" if checkpoints else "a model"
        raise ValueError(
            f"{folder} already holds {held}. Choose another --output_dir, pass --overwrite to replace what is there"
            f"{', or --resume_from_checkpoint true to go on from the newest checkpoint' if checkpoints else ''}."
        )
    remove_checkpoints(folder)
    return None


def remove_checkpoints(folder: Path) -> None:
    """Delete the checkpoints in a job's output folder: they hold pickles, which no model is shared with."""
    for checkpoint in folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*"):
        shutil.rmtree(checkpoint, ignore_errors=True)  # another process may be at it too


def find_checkpoint(folder: Path, wanted: str) -> str:
    """Find the named checkpoint, or the newest one that was written to its end."""
    if wanted.lower() not in NEWEST:
        if not Path(wanted, TRAINER_STATE_NAME).is_file():
            raise ValueError(f"{wanted} is no checkpoint: it holds no {TRAINER_STATE_NAME}.")
        return wanted
    # The state is the last file of a checkpoint: one without it was cut off while being written.
    complete = [path.parent for path in folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*/{TRAINER_STATE_NAME}")]
    if not complete:
        raise ValueError(
            f"There is no checkpoint in {folder} to resume from; a training that came to its end leaves none. "
            "Leave out --resume_from_checkpoint."
        )
    return str(max(complete, key=lambda path: int(path.name.rsplit("-", 1)[1])))

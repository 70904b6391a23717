"""Save a model atomically: write to a temporary folder, then move into place, `config.json` last."""

import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

from seqrec.errors import InputError

__all__ = ["STAGE", "remove_leftovers", "staged"]

CONFIG = "config.json"  # nothing loads without it
# They describe one model only, so they are removed with it.
RECORD = (
    *("metrics.json", "training_curve.png", "slices.png", "reliability.png", "item_map.png"),
    "item_features.json",
)
WEIGHTS = (
    *("model.safetensors", "model.safetensors.index.json", "model-*-of-*.safetensors"),
    *("adapter_config.json", "adapter_model.safetensors"),
)
STAGE = ".saving-"
DAY = 24 * 3600


@contextmanager
def staged(folder: str | Path) -> Iterator[Path]:
    """Provide a folder to save a model to, and move its files into place once all are written.

    A half-replaced model never loads: an earlier model in `folder` loses its `config.json` before any other file is
    replaced, and the new `config.json` is moved last. The earlier model's weights, metrics, pictures and item features
    are deleted even if the new model has none; other files stay unless the new model has a file of the same name. If
    the block raises, `folder` is unchanged.

    Args:
        folder: Final place of the model; created if it does not exist.

    Yields:
        An empty folder with the same name, inside `folder`.

    Raises:
        InputError: If `folder` is a file.
    """
    folder = Path(folder)
    is_new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise InputError(f"{folder} cannot be a model's folder: {error.filename} is a file. Give a folder.") from error
    remove_leftovers(folder)
    try:
        with TemporaryDirectory(prefix=STAGE, dir=folder) as aside:
            stage = Path(aside, folder.resolve().name or "model")
            stage.mkdir()
            yield stage
            move_into_place(stage, folder)
    finally:
        if is_new:
            with suppress(OSError):  # not empty if the model was saved
                folder.rmdir()


def move_into_place(stage: Path, folder: Path) -> None:
    """Replace the model in a folder by a staged one. At any moment, the folder holds a complete model or none."""
    if (folder / CONFIG).exists():  # without it, files of these names belong to no model
        remove(folder / name for name in RECORD)
        remove([folder / CONFIG])
    remove(chain.from_iterable(folder.glob(pattern) for pattern in WEIGHTS))
    files = [path.relative_to(stage) for path in stage.rglob("*") if not path.is_dir()]
    for name in sorted(files, key=lambda name: name == Path(CONFIG)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        os.replace(stage / name, folder / name)


def remove(paths: Iterable[Path]) -> None:
    """Delete files if they exist."""
    for path in paths:
        path.unlink(missing_ok=True)


def remove_leftovers(folder: Path, *, older_than: float = DAY) -> None:
    """Delete leftovers of killed saves older than this many seconds; newer ones may still be in progress."""
    for stage in folder.glob(f"{STAGE}*"):
        with suppress(FileNotFoundError):
            if time.time() - stage.stat().st_mtime >= older_than:
                shutil.rmtree(stage, ignore_errors=True)

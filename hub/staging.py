"""Save a model as a whole or not at all: write aside, then move into place, `config.json` last."""

import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

from seqrec.errors import InputError

CONFIG = "config.json"  # nothing loads without it
RECORD = ("metrics.json", "training_curve.png")  # of the model that lies there, and of no other
WEIGHTS = (
    *("model.safetensors", "model.safetensors.index.json", "model-*-of-*.safetensors"),
    *("adapter_config.json", "adapter_model.safetensors"),
)
STAGE = ".saving-"
DAY = 24 * 3600


@contextmanager
def staged(folder: str | Path) -> Iterator[Path]:
    """Give a folder to save a model to, and move what was saved into place when all of it is written.

    Nobody meets half a model: an earlier one in `folder` loses its `config.json`, without which it does not load,
    before anything else of it is replaced, and the new `config.json` comes last. Weights, metrics and training curve
    of the earlier model go, even where the new one has none; other files stay unless the new model has a file of that
    name. If the block raises, `folder` stays as it was.

    Args:
        folder: Where the model shall lie; made if it is not there.

    Yields:
        An empty folder of the same name, inside `folder`.

    Raises:
        ValueError: If `folder` is a file.
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
            with suppress(OSError):  # it is not empty: the model lies there
                folder.rmdir()


def move_into_place(stage: Path, folder: Path) -> None:
    """Replace the model in a folder by a staged one, so that what is there at any moment is a whole one or none."""
    if (folder / CONFIG).exists():  # else a file of these names is nobody's record
        remove(folder / name for name in RECORD)
        remove([folder / CONFIG])
    remove(chain.from_iterable(folder.glob(pattern) for pattern in WEIGHTS))
    files = [path.relative_to(stage) for path in stage.rglob("*") if not path.is_dir()]
    for name in sorted(files, key=lambda name: name == Path(CONFIG)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        os.replace(stage / name, folder / name)


def remove(paths: Iterable[Path]) -> None:
    """Delete files that may be there."""
    for path in paths:
        path.unlink(missing_ok=True)


def remove_leftovers(folder: Path, *, older_than: float = DAY) -> None:
    """Delete what saves that were killed left behind, so many seconds ago: a younger one may still be under way."""
    for stage in folder.glob(f"{STAGE}*"):
        with suppress(FileNotFoundError):
            if time.time() - stage.stat().st_mtime >= older_than:
                shutil.rmtree(stage, ignore_errors=True)

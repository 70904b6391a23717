"""Write what an inference endpoint of the Hub needs into the folder of a model: `handler.py` and `requirements.txt`."""

import inspect
import re
import sys
from importlib.metadata import requires
from pathlib import Path

from seqrec.errors import InputError, SavedFolderError
from seqrec.hub.endpoint_handler import EndpointHandler
from seqrec.hub.json_objects import read_json_object
from seqrec.hub.product_files import HANDLER, REQUIREMENTS, is_our_handler
from seqrec.interactions.locations import similar
from seqrec.interactions.whole_files import write_text_whole
from seqrec.modeling.pipeline_next_item import TASK

__all__ = ["write_endpoint_files"]

# The packages that the code next to a model imports.
NEEDED = ("transformers", "torch", "tokenizers", "safetensors", "numpy", "pyarrow")


def write_endpoint_files(folder: str | Path) -> list[Path]:
    """Make a saved model ready for an inference endpoint of the Hub.

    The endpoint then answers by the model's pipeline, without seqrec; see `EndpointHandler`. `push_folder` shares both
    files with the model.

    Args:
        folder: Written by `seqrec train` or `save_pretrained`.

    Returns:
        The files written: `handler.py` and `requirements.txt`.

    Raises:
        InputError: If the folder does not exist, or holds another `handler.py`.
        SavedFolderError: If the folder holds no model, or no code of a pipeline.
    """
    path = Path(folder)
    if not path.is_dir():
        raise InputError(f"There is no folder '{folder}'.{similar(path)}")
    require_pipeline(path)
    handler, requirements = path / HANDLER, path / REQUIREMENTS
    if handler.exists() and not is_our_handler(handler):
        raise InputError(f"{handler} already exists, and was not written by seqrec. Move it away.")
    write_text_whole(handler, inspect.getsource(sys.modules[EndpointHandler.__module__]))
    write_text_whole(requirements, "".join(f"{line}\n" for line in requirement_lines()))
    return [handler, requirements]


def require_pipeline(folder: Path) -> None:
    """Raise a `SavedFolderError` unless a folder holds the code of the pipeline that answers."""
    config_file = folder / "config.json"
    if not config_file.is_file():
        raise SavedFolderError(f"{folder} holds no model (config.json). Give a folder written by `seqrec train`.")
    if TASK not in (read_json_object(str(config_file)).get("custom_pipelines") or {}):
        raise SavedFolderError(
            f"{folder} holds no code of a pipeline, which endpoints run. Load the model with Recommender, and save it "
            "with save_pretrained."
        )


def requirement_lines() -> list[str]:
    """Return the packages that the model's code needs, in the versions that seqrec requires."""
    lines = {re.split(r"[^\w-]", line)[0]: line for line in reversed(requires("seqrec") or []) if ";" not in line}
    return [lines[name] for name in NEEDED]

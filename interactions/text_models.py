"""Models of sentence-transformers, which turn texts into vectors.

Shape suffixes: N texts, W width of a vector.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from seqrec.errors import InputError
from seqrec.interactions.hub_errors import explain
from seqrec.interactions.locations import local_path
from seqrec.interactions.one_line import one_line

__all__ = ["encode_anew", "folder_of", "require_model", "shown_name"]

PATH_STARTS = (".", "/", "~")
TEXTS_AT_ONCE = 256  # between two steps of the progress bar

Encoder = Callable[[list[str]], np.ndarray]


def encode_anew(name: str, texts: list[str], model: str) -> np.ndarray:
    """Encode distinct texts with a progress bar, those of similar length together."""
    encode = load_encoder(name, model)
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    parts = []
    with tqdm(total=len(texts), desc=f"Encoding {name}", unit="text") as bar:
        for start in range(0, len(order), TEXTS_AT_ONCE):
            chosen = [texts[row] for row in order[start : start + TEXTS_AT_ONCE]]
            parts.append(np.asarray(encode(chosen), dtype=np.float32))
            bar.update(len(chosen))
    sorted_NW = np.concatenate(parts)
    if sorted_NW.ndim != 2 or not np.isfinite(sorted_NW).all():
        raise InputError(f"The text model '{model}' gives no vectors of finite numbers for {name}. Choose another one.")
    vectors_NW = np.empty_like(sorted_NW)
    vectors_NW[order] = sorted_NW
    return vectors_NW


def load_encoder(name: str, model: str) -> Encoder:
    """Load a model, and return the function that encodes a list of texts."""
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise InputError(
            f"The text feature {name} needs sentence-transformers ({one_line(error)}). Install it: "
            'pip install "seqrec[text]". Or give vectors, as a list column or as a matrix.'
        ) from error
    try:
        encoder: Any = SentenceTransformer(str(folder_of(model) or model))
    except Exception as error:  # the library lets anything through
        trouble = explain(error)
        if trouble is not None:
            raise trouble.kind(f"The text model '{model}' could not be loaded: {trouble.reason}") from error
        raise InputError(
            f"The text model '{model}' could not be loaded: {one_line(error).rstrip('.')}. Give the id or the folder "
            "of a sentence-transformers model (--item_text_model)."
        ) from error
    return lambda texts: encoder.encode(texts, show_progress_bar=False, convert_to_numpy=True)


def require_model(name: str, model: str) -> None:
    """Refuse a folder that does not exist or holds no model."""
    folder = folder_of(model)
    if folder is None and model.startswith(PATH_STARTS):
        raise InputError(
            f"There is no folder '{model}' here, which held the text model of {name}. Give the folder or the id of "
            "this model (--item_text_model)."
        )
    if folder is not None and not (folder / "config.json").is_file():
        raise InputError(f"The folder '{model}' holds no text model (config.json). Give the id or folder of one.")


def folder_of(model: str) -> Path | None:
    """Return the folder of a model; None for an id on the Hub."""
    path = local_path(model)
    return path if os.path.isdir(path) else None


def shown_name(model: str) -> str:
    """Return a model's id, or the name of its folder as `./name`: the path means nothing on other machines."""
    folder = folder_of(model)
    return model if folder is None else f"./{folder.resolve().name}"

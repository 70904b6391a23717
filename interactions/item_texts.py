"""Turn texts of items into vectors, by a model of sentence-transformers.

Vectors are cached in `seqrec/text` in the user's cache folder (XDG_CACHE_HOME, or ~/.cache), under the SHA-256 of the
model and the texts.

Shape suffixes: N texts, W width of a vector.
"""

import hashlib
import logging
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from tqdm.auto import tqdm

from seqrec.errors import InputError
from seqrec.interactions.hub_errors import explain
from seqrec.interactions.locations import local_path
from seqrec.interactions.one_line import one_line
from seqrec.interactions.whole_files import whole_file

__all__ = ["DEFAULT_TEXT_MODEL", "encode_texts", "shown_name"]

DEFAULT_TEXT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
PATH_STARTS = (".", "/", "~")
TEXTS_AT_ONCE = 256  # between two steps of the progress bar

logger = logging.getLogger(__name__)
Encoder = Callable[[list[str]], np.ndarray]


def encode_texts(name: str, texts: pl.Series, model: str) -> np.ndarray:
    """Return the vectors of texts, from the cache or by the model.

    Args:
        name: The column, for messages.
        texts: N texts, possibly with repeats, none of them null.
        model: Id or folder of a model of sentence-transformers.

    Returns:
        Vectors, float32 (N, W).

    Raises:
        InputError: If sentence-transformers is not installed, the model cannot be loaded, or it gives no finite
            vectors.
        HubError: If the Hub has no such model, or refuses access.
        HubConnectionError: If the Hub cannot be reached, or fails.
    """
    require_model(name, model)
    distinct = texts.unique().sort()
    path = cache_folder() / f"{hash_of(model, distinct)}.npy"
    vectors = read_cached(path, len(distinct))
    if vectors is None:
        vectors = encode_anew(name, distinct.to_list(), model)
        keep(path, vectors)
    return vectors[distinct.search_sorted(texts).to_numpy()]


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


def cache_folder() -> Path:
    """Return the folder of cached vectors."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "seqrec" / "text"


def hash_of(model: str, texts: pl.Series) -> str:
    """Return the SHA-256 of a model and texts; a folder also counts by its files' sizes and times."""
    folder = folder_of(model)
    found = hashlib.sha256()
    for part in [*([model] if folder is None else files_of(folder)), *texts]:
        raw = part.encode()
        found.update(len(raw).to_bytes(8, "little") + raw)
    return found.hexdigest()


def files_of(folder: Path) -> Iterable[str]:
    """Describe the path of a folder and its files."""
    yield str(folder.resolve())
    for path in sorted(folder.rglob("*")):
        status = path.stat()
        yield f"{path.relative_to(folder)} {status.st_size} {status.st_mtime_ns}"


def read_cached(path: Path, num_texts: int) -> np.ndarray | None:
    """Read cached vectors; None if there are none, or the file is damaged."""
    try:
        vectors = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    fits = vectors.dtype == np.float32 and vectors.ndim == 2 and len(vectors) == num_texts
    return vectors if fits else None


def keep(path: Path, vectors: np.ndarray) -> None:
    """Write vectors to the cache; if that is impossible, say so and go on."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as part:
            np.save(part, vectors)
    except (OSError, InputError) as error:
        logger.warning("The vectors of texts were not cached: %s", one_line(error))

"""Turn texts of items into vectors, by a model of sentence-transformers.

Vectors are cached in `seqrec/text` in the user's cache folder (XDG_CACHE_HOME, or ~/.cache), under the SHA-256 of the
model and the texts.

Shape suffixes: N texts, W width of a vector.
"""

import hashlib
import logging
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import polars as pl

from seqrec.errors import InputError
from seqrec.interactions.one_line import one_line
from seqrec.interactions.text_models import encode_anew, folder_of, require_model
from seqrec.interactions.whole_files import whole_file

__all__ = ["DEFAULT_TEXT_MODEL", "encode_texts"]

DEFAULT_TEXT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"

logger = logging.getLogger(__name__)


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

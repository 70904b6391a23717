"""Read the catalogue that is saved next to a model: counts, titles, and which items are hidden.

`items.parquet` is the catalogue. `items.json` repeats these columns for environments without pyarrow.

Shape suffixes: I items, H hidden items, V vocabulary.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PreTrainedModel
from transformers.utils import cached_file

from seqrec.interactions.item_rows import by_row, by_token, rows_of, token_ids_of

__all__ = ["ITEMS", "ITEMS_JSON", "SavedItems", "find_items", "items_as_json", "read_items", "save_items"]

ITEMS = "items.parquet"
ITEMS_JSON = "items.json"


@dataclass(frozen=True)
class SavedItems:
    """Counts and titles of a catalogue, and which of its items are hidden.

    Attributes:
        counts_V: Number of training interactions of each token id; 0 for special tokens.
        titles: Titles (I) in token order, or None if no item has one.
        hidden_H: Token ids of items that are never recommended.
    """

    counts_V: np.ndarray
    titles: list[str | None] | None
    hidden_H: np.ndarray


def read_items(model: PreTrainedModel, item_ids: Sequence[str]) -> SavedItems | None:
    """Read counts, titles and hidden items from the folder or repository that a model was loaded from.

    Args:
        model: A model loaded from a folder or from the Hub.
        item_ids: The raw ids of its items, in token order.

    Returns:
        The items of `items.parquet`, or of `items.json` if pyarrow is not installed; None if the file is missing,
        unreadable or of other items.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        path = find_items(model, ITEMS_JSON)
        return None if path is None else from_json(path, item_ids)
    path = find_items(model, ITEMS)
    if path is None:
        return None
    try:
        file = pq.ParquetFile(path)
        names = [name for name in ("item_id", "count", "title", "hidden") if name in file.schema_arrow.names]
        table = file.read(columns=names, use_threads=False)
    except (pa.ArrowException, OSError):
        return None
    columns = dict(zip(table.column_names, table.columns, strict=True))
    if not {"item_id", "count"} <= columns.keys() or columns["item_id"].to_pylist() != list(item_ids):
        return None
    titles = columns["title"].to_pylist() if "title" in columns else None
    if "hidden" in columns and not pa.types.is_boolean(columns["hidden"].type):
        return None
    hidden = columns["hidden"].to_numpy().nonzero()[0].tolist() if "hidden" in columns else []
    return checked(columns["count"].to_numpy(), titles, hidden)


def from_json(path: str, item_ids: Sequence[str]) -> SavedItems | None:
    """Read an `items.json`; None if it is broken or of other items."""
    try:
        content = json.loads(Path(path).read_bytes())
        if content["item_ids_sha256"] != hash_of(item_ids) or len(content["count"]) != len(item_ids):
            return None
        return checked(np.asarray(content["count"]), content.get("title"), content.get("hidden", []))
    except (OSError, ValueError, RecursionError, TypeError, KeyError):  # unreadable, or not of this layout
        return None


def checked(counts_I: np.ndarray, titles: Any, hidden: Any) -> SavedItems | None:
    """Return counts, titles and hidden items (rows of the catalogue), or None if they are not valid for it."""
    if not np.issubdtype(counts_I.dtype, np.integer) or counts_I.ndim != 1 or (counts_I < 0).any():
        return None
    if titles is not None:
        is_list = isinstance(titles, list) and len(titles) == len(counts_I)
        if not is_list or not all(title is None or isinstance(title, str) for title in titles):
            return None
        titles = None if all(title is None for title in titles) else titles
    if not (isinstance(hidden, list) and all(type(row) is int and 0 <= row < len(counts_I) for row in hidden)):
        return None
    return SavedItems(by_token(counts_I.astype(np.int64)), titles, token_ids_of(np.array(hidden, dtype=np.int64)))


def items_as_json(
    item_ids: Sequence[str], counts: Sequence[int], titles: Sequence[str | None], hidden: Sequence[int] = ()
) -> str:
    """Format the content of `items.json`.

    Args:
        item_ids: Raw ids in token order, of which a hash is kept.
        counts: Their training interactions.
        titles: Their titles.
        hidden: Rows of the items that are never recommended.
    """
    content = {"item_ids_sha256": hash_of(item_ids), "count": list(counts)}
    if any(title is not None for title in titles):
        content["title"] = list(titles)
    if hidden:
        content["hidden"] = list(hidden)
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n"


def save_items(
    folder: str | os.PathLike[str],
    item_ids: Sequence[str],
    counts_V: np.ndarray,
    titles: Sequence[str | None] | None,
    hidden_H: np.ndarray,
) -> None:
    """Write `items.json` and, if pyarrow is installed, `items.parquet`; for arguments, see `SavedItems`."""
    counts, titles = by_row(counts_V).tolist(), titles or [None] * len(item_ids)
    hidden = rows_of(hidden_H).tolist()
    Path(folder, ITEMS_JSON).write_text(items_as_json(item_ids, counts, titles, hidden), encoding="utf-8")
    Path(folder, ITEMS).unlink(missing_ok=True)
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        return
    columns = {"item_id": item_ids, "count": counts, "title": pa.array(titles, pa.string())}
    columns |= {"hidden": np.isin(np.arange(len(item_ids)), hidden)} if hidden else {}
    pq.write_table(pa.table(columns), Path(folder, ITEMS), compression="zstd")


def hash_of(item_ids: Sequence[str]) -> str:
    """Return the SHA-256 of raw ids in token order, as 64 hexadecimal digits."""
    return sha256(json.dumps(list(item_ids)).encode()).hexdigest()


def find_items(model: PreTrainedModel, file_name: str) -> str | None:
    """Find a file where the model was loaded from: its folder, or the same commit of its repository."""
    name, commit = model.name_or_path, getattr(model.config, "_commit_hash", None)
    if not name or not (os.path.isdir(name) or commit):
        return None
    try:
        return cached_file(name, file_name, revision=commit)
    except OSError:
        return None

"""Read how often each item occurs in training interactions from a saved model's catalogue.

Shape suffixes: I items, V vocabulary.
"""

import os
from collections.abc import Sequence

import numpy as np
from transformers import PreTrainedModel
from transformers.utils import cached_file

from seqrec.interactions.item_rows import by_token

__all__ = ["read_counts"]

ITEMS = "items.parquet"


def read_counts(model: PreTrainedModel, item_ids: Sequence[str]) -> np.ndarray | None:
    """Read the number of training interactions of each token id from the catalogue saved with a model.

    Args:
        model: A model loaded from a folder or from the Hub.
        item_ids: The raw ids of its items, in token order.

    Returns:
        `counts_V`, 0 for special tokens; None if the catalogue is missing, unreadable or of other items, or if pyarrow
        is not installed.
    """
    path = find_items(model)
    if path is None:
        return None
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        return None
    try:
        table = pq.ParquetFile(path).read(columns=["item_id", "count"], use_threads=False)
    except (pa.ArrowException, OSError):
        return None
    if set(table.column_names) != {"item_id", "count"} or table["item_id"].to_pylist() != list(item_ids):
        return None
    counts_I = table["count"].to_numpy()
    is_counts = np.issubdtype(counts_I.dtype, np.integer) and (counts_I >= 0).all()
    return by_token(counts_I.astype(np.int64)) if is_counts else None


def find_items(model: PreTrainedModel) -> str | None:
    """Find the catalogue where the model was loaded from: its folder, or the same commit of its repository."""
    name, commit = model.name_or_path, getattr(model.config, "_commit_hash", None)
    if not name or not (os.path.isdir(name) or commit):
        return None
    try:
        return cached_file(name, ITEMS, revision=commit)
    except OSError:
        return None

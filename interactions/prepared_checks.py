"""Check that the files of a prepared set fit each other."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from seqrec.errors import SavedFolderError
from seqrec.interactions.arrow_columns import NUMBER_TYPES
from seqrec.interactions.catalogue import Catalogue
from seqrec.interactions.histories import Histories
from seqrec.interactions.label_names import target_key
from seqrec.interactions.special_tokens import UNK_ID
from seqrec.interactions.tokenization_items import ItemTokenizer

__all__ = ["require_catalogue", "require_events", "require_protocol", "require_views"]

# Targets of the rows of training; others also have `target_timestamp`.
TARGETS: dict[str, tuple[str, ...]] = {"train": (), "train_impressions": ("target",)}

# Entries that every protocol has, and their types.
PROTOCOL_TYPES = {"split_method": str, "split_sha256": str, "num_users": int, "num_items": int}


def require_protocol(protocol: Any) -> None:
    """Refuse a protocol without the entries that every protocol has.

    Raises:
        SavedFolderError: If an entry is missing or has the wrong type.
    """
    if not isinstance(protocol, dict):
        raise SavedFolderError("protocol.json is not a JSON object.")
    named = {"dataset": str} if "dataset" in protocol else {}  # data from a frame have no name
    for name, kind in {**PROTOCOL_TYPES, **named}.items():
        if not isinstance(protocol.get(name), kind):
            raise SavedFolderError(
                f"protocol.json must hold {name} as {kind.__name__}, but has {protocol.get(name)!r}."
            )


def require_catalogue(items: Catalogue, tokenizer: ItemTokenizer) -> None:
    """Refuse a catalogue whose items differ from the tokenizer's."""
    if not items.frame["item_id"].to_arrow().equals(tokenizer.item_series.to_arrow()):
        raise SavedFolderError(
            f"items.parquet has {len(items):,} items, other than the {tokenizer.num_items:,} of the vocabulary."
        )
    if (items.counts < 0).any():
        raise SavedFolderError("items.parquet has negative counts.")


def require_events(table: pa.Table, vocabulary_size: int, name: str = "histories.parquet") -> None:
    """Refuse histories of a file whose events are of the wrong type, missing, or outside the vocabulary."""
    kinds = {field.name: field.type for field in table.schema}
    fits = (
        all(pa.types.is_list(kind) and str(kind.value_type) in NUMBER_TYPES for kind in kinds.values())
        and {"input_ids", "timestamps"} <= set(kinds)
        and pa.types.is_int32(kinds["input_ids"].value_type)
        and is_time(kinds["timestamps"].value_type)
    )
    if not fits:
        raise SavedFolderError(f"{name} has other columns or types than input_ids, timestamps and lists of numbers.")
    lengths = [pc.list_value_length(column) for column in table.columns]
    if lengths[0].null_count or any(not others.equals(lengths[0]) for others in lengths):
        raise SavedFolderError(f"{name} has histories whose columns differ in length.")
    if table.num_rows and pc.min(lengths[0]).as_py() < 1:
        raise SavedFolderError(f"{name} has empty histories.")
    if any(pc.list_flatten(column).null_count for column in table.columns):
        raise SavedFolderError(f"{name} has missing values.")
    require_token_ids(name, pc.list_flatten(table["input_ids"]), vocabulary_size)


def require_views(part: str, table: pa.Table, log: Histories, vocabulary_size: int, name: str | None = None) -> None:
    """Refuse rows of a part that have wrong types, missing values, unknown token ids or no history.

    Args:
        part: Name of the part.
        table: The rows.
        log: The histories of all users.
        vocabulary_size: V, the number of token ids.
        name: Name of the file in errors, if it is not that of the part.
    """
    name = name or f"{part}.parquet"
    wanted = ["history", "length", *TARGETS.get(part, ("target", "target_timestamp"))]
    kinds = {field.name: field.type for field in table.schema}
    labels = {target_key(name) for name in log.columns if part not in TARGETS} - {*wanted}
    fits = (
        set(wanted) <= set(kinds) <= {*wanted, *labels}
        and all(pa.types.is_float32(kinds[name]) for name in labels & set(kinds))
        and all(pa.types.is_int64(kinds[name]) for name in wanted[:2])
        and ("target" not in wanted or pa.types.is_int32(kinds["target"]))
        and ("target_timestamp" not in wanted or is_time(kinds["target_timestamp"]))
    )
    if not fits:
        raise SavedFolderError(f"{name} has other columns or types than {', '.join(wanted)}.")
    if any(column.null_count for column in table.columns):
        raise SavedFolderError(f"{name} has missing values.")
    history_R, length_R = (table[name].to_numpy() for name in wanted[:2])
    if ((history_R < 0) | (history_R >= len(log))).any():
        raise SavedFolderError(f"{name} refers to histories beyond the {len(log):,} of histories.parquet.")
    if ((length_R < 1) | (length_R > log.lengths_R[history_R])).any():
        raise SavedFolderError(f"{name} has rows that are empty, or longer than their histories.")
    if "target" in wanted:
        require_token_ids(name, table["target"], vocabulary_size)


def require_token_ids(file: str, token_ids: pa.ChunkedArray, vocabulary_size: int) -> None:
    """Refuse token ids that are neither items nor `<|unk|>`."""
    if len(token_ids) == 0:
        return
    least, most = pc.min_max(token_ids).as_py().values()
    if least < UNK_ID or most >= vocabulary_size:
        raise SavedFolderError(
            f"{file} holds token ids from {least} to {most}, but the vocabulary ends at {vocabulary_size - 1}."
        )


def is_time(kind: pa.DataType) -> bool:
    """Return whether an Arrow type is one that timestamps may have."""
    return pa.types.is_int64(kind) or pa.types.is_float64(kind)

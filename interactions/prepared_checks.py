"""Do the files of a prepared set fit each other?"""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset

from seqrec.errors import InputError
from seqrec.interactions.catalogue import Catalogue
from seqrec.interactions.special_tokens import UNK_ID
from seqrec.interactions.tokenization_items import ItemTokenizer

# What a protocol tells in any case, and of which type.
PROTOCOL_TYPES = {"dataset": str, "split_method": str, "split_sha256": str, "num_users": int, "num_items": int}


def require_fitting(
    sequences: Mapping[str, Dataset], tokenizer: ItemTokenizer, items: Catalogue, protocol: Any
) -> None:
    """Refuse a prepared set whose parts are of other columns than were written, or of another vocabulary.

    Raises:
        ValueError: On the first thing that is wrong.
    """
    if not isinstance(protocol, dict):
        raise InputError("protocol.json holds no object.")
    for name, kind in PROTOCOL_TYPES.items():
        if not isinstance(protocol.get(name), kind):
            raise InputError(f"protocol.json holds no {name}, or {protocol.get(name)!r}.")
    require_catalogue(items, tokenizer)
    for part, rows in sequences.items():
        require_rows(part, rows.data.table, len(tokenizer))


def require_catalogue(items: Catalogue, tokenizer: ItemTokenizer) -> None:
    """Refuse a catalogue that is not that of the tokenizer."""
    if items.item_ids != tokenizer.item_ids:
        raise InputError(
            f"items.parquet has {len(items):,} items, others than the {tokenizer.num_items:,} of the vocabulary."
        )
    if (items.counts < 0).any():
        raise InputError("items.parquet has negative counts.")


def require_rows(part: str, table: pa.Table, vocabulary_size: int) -> None:
    """Refuse histories, times or targets that are of the wrong type, missing, or beyond the vocabulary."""
    wanted = ["input_ids", "timestamps", *([] if part == "train" else ["target"])]
    kinds = {name: table.schema.field(name).type for name in table.column_names}
    numbers = (pa.types.is_int64, pa.types.is_float64)
    fits = (
        set(wanted) == set(kinds)
        and all(pa.types.is_list(kinds[name]) for name in wanted[:2])
        and pa.types.is_int32(kinds["input_ids"].value_type)
        and any(is_kind(kinds["timestamps"].value_type) for is_kind in numbers)
        and (part == "train" or pa.types.is_int32(kinds["target"]))
    )
    if not fits:
        raise InputError(f"{part}.parquet has other columns than {', '.join(wanted)}, or of other types.")
    if table.num_rows == 0:
        return
    lengths = [pc.list_value_length(table[name]) for name in wanted[:2]]
    if not lengths[0].equals(lengths[1]) or lengths[0].null_count or pc.min(lengths[0]).as_py() < 1:
        raise InputError(f"{part}.parquet has histories that are empty, or whose timestamps are fewer or more.")
    columns = [pc.list_flatten(table["input_ids"]), *([] if part == "train" else [table["target"]])]
    if pc.list_flatten(table["timestamps"]).null_count or any(column.null_count for column in columns):
        raise InputError(f"{part}.parquet has gaps.")
    least = min(pc.min(column).as_py() for column in columns)
    most = max(pc.max(column).as_py() for column in columns)
    if least < UNK_ID or most >= vocabulary_size:
        raise InputError(
            f"{part}.parquet holds token ids from {least} to {most}; the vocabulary ends at {vocabulary_size - 1}."
        )

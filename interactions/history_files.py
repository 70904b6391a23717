"""Parquet files of a prepared set's histories: all events are stored once, and the parts are views on the events.

`histories.parquet` has one row per user, with the event columns as lists. In the file of a part, each row has
`history`, the index of a row of `histories.parquet` (from 0), `length`, the number of that history's first events that
belong to it, and single values such as `target`. If the data have impressions, there is also such a file for the
impressions of each part, with one row per impression.

Large sets have several shards of each file, such as `histories-00000-of-00016.parquet`. All rows of a user are in the
shards of one number; `history` counts the histories of all shards.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset

from seqrec.errors import InputError, SavedFolderError
from seqrec.interactions.histories import Histories
from seqrec.interactions.impressions import IMPRESSION_PARTS, impressions_of, with_impressions
from seqrec.interactions.mapped_histories import map_sequences
from seqrec.interactions.prepared_checks import require_events, require_views
from seqrec.interactions.splitting import PARTS

__all__ = [
    "HISTORIES",
    "IMPRESSION_FILES",
    "PART_FILES",
    "read_sequences",
    "shard_name",
    "shards_of",
    "write_sequences",
]

HISTORIES = "histories.parquet"
EVENTS_IN_MEMORY = 2**24  # more than these are mapped into memory
ROW_GROUP = 2**17  # rows
PART_FILES = tuple(f"{part}.parquet" for part in PARTS)
IMPRESSION_FILES = tuple(f"{part}.parquet" for part in IMPRESSION_PARTS)


def shard_name(file: str, shard: int, num_shards: int) -> str:
    """Return the name of a shard of a file: the file's own name if it is the only one.

    >>> shard_name("train.parquet", 3, 16)
    'train-00003-of-00016.parquet'
    """
    return file if num_shards == 1 else file.replace(".", f"-{shard:05d}-of-{num_shards:05d}.")


def write_sequences(
    sequences: Mapping[str, Histories], folder: Path, *, shard: int = 0, num_shards: int = 1, first_history: int = 0
) -> None:
    """Write the parts of a split, without user ids, or one shard of them.

    Args:
        sequences: The parts by name, all views on the same event columns.
        folder: An existing folder.
        shard: Index of the shard, which has all rows of its users.
        num_shards: Number of shards.
        first_history: Number of histories in the shards before it.
    """
    parts = [sequences[part] for part in PARTS]
    columns = parts[0].columns
    whole = whole_histories(parts)
    write_table(whole.to_dataset(), folder / shard_name(HISTORIES, shard, num_shards))
    views = dict(zip(PART_FILES, parts, strict=True))
    if parts[0].impressions is not None:
        held_out = [sequences[part] for part in IMPRESSION_PARTS[1:]]
        views |= zip(IMPRESSION_FILES, [train_impressions(parts[0]), *held_out], strict=True)
    for file, part in views.items():
        assert part.columns is columns
        history_R = np.searchsorted(whole.starts_R, part.starts_R) + first_history
        rows = {name: values for name, values in part.rows.items() if name != "user_id"}
        table = Dataset(pa.table({"history": history_R, "length": part.lengths_R, **rows}))
        write_table(table, folder / shard_name(file, shard, num_shards))


def write_table(dataset: Dataset, path: Path) -> None:
    """Write a data set as a Parquet file, as its own method does, without a progress bar."""
    table = dataset.with_format("arrow")[:]
    pq.write_table(
        table.replace_schema_metadata(dataset.features.arrow_schema.metadata), path, row_group_size=ROW_GROUP
    )


def train_impressions(train: Histories) -> Histories:
    """Return the impressions of training histories as rows of their own: the events before each, and `target`."""
    row_M, before_M, item_M = impressions_of(train)
    return Histories(train.columns, train.starts_R[row_M], before_M.astype(np.int64), {"target": item_M})


def whole_histories(parts: Sequence[Histories]) -> Histories:
    """Return the complete histories of all users, held-out events included, in the order of their events."""
    columns = parts[0].columns
    num_events = len(columns["input_ids"])
    starts_R = np.concatenate([part.starts_R for part in parts])
    # The event after a held-out row is its target.
    stops_R = starts_R + np.concatenate([part.lengths_R + ("target" in part.rows) for part in parts])
    begun = np.bincount(starts_R, minlength=num_events + 1)
    ended = np.bincount(stops_R.clip(max=num_events), minlength=num_events + 1)
    is_alone_N = (begun - ended).cumsum()[:-1] == 0  # held out, and its user has no other event
    starts_H = np.union1d(starts_R, np.flatnonzero(is_alone_N))
    return Histories(columns, starts_H, np.diff(starts_H, append=num_events))


def shards_of(folder: Path, file: str) -> list[Path]:
    """Return the shards of a file, or the file itself if it is in one piece; nothing if there is none.

    Raises:
        SavedFolderError: If a shard is missing.
    """
    if (folder / file).exists():
        return [folder / file]
    found = sorted(folder.glob(file.replace(".", "-[0-9]*-of-[0-9]*.")))
    if not found:
        return []
    num_shards = int(found[0].stem.rpartition("-")[2])
    expected = [folder / shard_name(file, shard, num_shards) for shard in range(num_shards)]
    for path in expected:
        if path not in found:
            raise SavedFolderError(f"{path.name} is missing, one of {num_shards} shards.")
    return expected


def read_sequences(folder: Path, vocabulary_size: int) -> dict[str, Histories]:
    """Read files written by `write_sequences`; those of large sets are mapped into memory, see `map_sequences`.

    Raises:
        InputError: If the files were written by an earlier version.
        SavedFolderError: If they do not fit each other or the vocabulary.
    """
    require_present_layout(folder)
    shards = shards_of(folder, HISTORIES)
    if len(shards) > 1 or num_events_of(shards) > EVENTS_IN_MEMORY:
        files = (*PART_FILES, *(IMPRESSION_FILES if shards_of(folder, IMPRESSION_FILES[0]) else ()))
        log, views = map_sequences(
            folder, shards, {file.removesuffix(".parquet"): shards_of(folder, file) for file in files}, vocabulary_size
        )
        return together(log, views)
    table = pq.read_table(folder / HISTORIES)
    require_events(table, vocabulary_size)
    log = Histories.from_dataset(Dataset(table))
    views = {}
    has_impressions = (folder / IMPRESSION_FILES[0]).exists()
    for part in (*PARTS, *(IMPRESSION_PARTS if has_impressions else ())):
        table = pq.read_table(folder / f"{part}.parquet")
        require_views(part, table, log, vocabulary_size)
        rows = {name: table[name].to_numpy() for name in table.column_names}
        views[part] = {"start": log.starts_R[rows.pop("history")], **rows}
    return together(log, views)


def num_events_of(shards: Sequence[Path]) -> int:
    """Return the number of events in the shards of histories, which their metadata tell."""
    files = [pq.ParquetFile(path).metadata for path in shards]
    return sum(file.row_group(group).column(0).num_values for file in files for group in range(file.num_row_groups))


def together(log: Histories, views: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, Histories]:
    """Return the parts of a split.

    Args:
        log: The histories of all users.
        views: The columns of each part; instead of `history`, `start`, the place of the row's first event.
    """
    sequences = {}
    for part, columns in views.items():
        rows = dict(columns)
        sequences[part] = Histories(log.columns, rows.pop("start"), rows.pop("length"), rows)
    if IMPRESSION_PARTS[0] in sequences:
        shown = sequences.pop(IMPRESSION_PARTS[0])
        row_M = rows_that_begin_at(shown.starts_R, sequences["train"])
        sequences["train"] = with_impressions(sequences["train"], row_M, shown.lengths_R, shown.rows["target"])
    return sequences


def rows_that_begin_at(starts_M: np.ndarray, histories: Histories) -> np.ndarray:
    """Return the rows of histories with the given starts.

    Raises:
        SavedFolderError: If there are none.
    """
    order = np.argsort(histories.starts_R)
    place_M = np.searchsorted(histories.starts_R, starts_M, sorter=order)
    row_M = order[np.minimum(place_M, len(order) - 1)]
    if (histories.starts_R[row_M] != starts_M).any():
        raise SavedFolderError(f"{IMPRESSION_FILES[0]} refers to histories that are not among the training ones.")
    return row_M


def require_present_layout(folder: Path) -> None:
    """Refuse a set written by version 0.1, in which each row has its own copy of its history."""
    if not shards_of(folder, HISTORIES) and "input_ids" in pq.read_schema(folder / PART_FILES[0]).names:
        raise InputError(f"It was written by an earlier version of seqrec, without {HISTORIES}.")

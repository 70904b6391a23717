"""Parquet files of a prepared set's histories: all events are stored once, and the parts are views on the events.

`histories.parquet` has one row per user, with the event columns as lists. In the file of a part, each row has
`history`, the index of a row of `histories.parquet` (from 0), `length`, the number of that history's first events that
belong to it, and single values such as `target`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset

from seqrec.errors import InputError
from seqrec.interactions.histories import Histories
from seqrec.interactions.prepared_checks import require_events, require_views
from seqrec.interactions.splitting import PARTS

__all__ = ["HISTORIES", "PART_FILES", "read_sequences", "write_sequences"]

HISTORIES = "histories.parquet"
PART_FILES = tuple(f"{part}.parquet" for part in PARTS)


def write_sequences(sequences: Mapping[str, Histories], folder: Path) -> None:
    """Write the parts of a split, without user ids.

    Args:
        sequences: The parts by name, all views on the same event columns.
        folder: An existing folder.
    """
    parts = [sequences[part] for part in PARTS]
    columns = parts[0].columns
    assert all(part.columns is columns for part in parts)
    whole = whole_histories(parts)
    whole.to_dataset().to_parquet(folder / HISTORIES)
    history_R = np.searchsorted(whole.starts_R, np.concatenate([part.starts_R for part in parts]))
    last_rows = np.cumsum([len(part) for part in parts])[:-1]
    for file, part, history_P in zip(PART_FILES, parts, np.split(history_R, last_rows), strict=True):
        rows = {name: values for name, values in part.rows.items() if name != "user_id"}
        Dataset(pa.table({"history": history_P, "length": part.lengths_R, **rows})).to_parquet(folder / file)


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


def read_sequences(folder: Path, vocabulary_size: int) -> dict[str, Histories]:
    """Read files written by `write_sequences`.

    Raises:
        InputError: If the files were written by an earlier version.
        SavedFolderError: If they do not fit each other or the vocabulary.
    """
    require_present_layout(folder)
    table = pq.read_table(folder / HISTORIES)
    require_events(table, vocabulary_size)
    log = Histories.from_dataset(Dataset(table))
    sequences = {}
    for part, file in zip(PARTS, PART_FILES, strict=True):
        table = pq.read_table(folder / file)
        require_views(part, table, log, vocabulary_size)
        rows = {name: table[name].to_numpy() for name in table.column_names}
        starts_R = log.starts_R[rows.pop("history")]
        sequences[part] = Histories(log.columns, starts_R, rows.pop("length"), rows)
    return sequences


def require_present_layout(folder: Path) -> None:
    """Refuse a set written by version 0.1, in which each row has its own copy of its history."""
    if not (folder / HISTORIES).exists() and "input_ids" in pq.read_schema(folder / PART_FILES[0]).names:
        raise InputError(f"It was written by an earlier version of seqrec, without {HISTORIES}.")

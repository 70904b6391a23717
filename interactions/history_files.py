"""Parquet files of a prepared set's histories: all events are stored once, and the parts are views on the events.

`histories.parquet` has one row per user, with the event columns as lists. In the file of a part, each row has
`history`, the index of a row of `histories.parquet` (from 0), `length`, the number of that history's first events that
belong to it, and single values such as `target`. If the data have impressions, there is also such a file for the
impressions of each part, with one row per impression.
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
from seqrec.interactions.prepared_checks import require_events, require_views
from seqrec.interactions.splitting import PARTS

__all__ = ["HISTORIES", "IMPRESSION_FILES", "PART_FILES", "read_sequences", "write_sequences"]

HISTORIES = "histories.parquet"
PART_FILES = tuple(f"{part}.parquet" for part in PARTS)
IMPRESSION_FILES = tuple(f"{part}.parquet" for part in IMPRESSION_PARTS)


def write_sequences(sequences: Mapping[str, Histories], folder: Path) -> None:
    """Write the parts of a split, without user ids.

    Args:
        sequences: The parts by name, all views on the same event columns.
        folder: An existing folder.
    """
    parts = [sequences[part] for part in PARTS]
    columns = parts[0].columns
    whole = whole_histories(parts)
    whole.to_dataset().to_parquet(folder / HISTORIES)
    views = dict(zip(PART_FILES, parts, strict=True))
    if parts[0].impressions is not None:
        held_out = [sequences[part] for part in IMPRESSION_PARTS[1:]]
        views |= zip(IMPRESSION_FILES, [train_impressions(parts[0]), *held_out], strict=True)
    for file, part in views.items():
        assert part.columns is columns
        history_R = np.searchsorted(whole.starts_R, part.starts_R)
        rows = {name: values for name, values in part.rows.items() if name != "user_id"}
        Dataset(pa.table({"history": history_R, "length": part.lengths_R, **rows})).to_parquet(folder / file)


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
    has_impressions = (folder / IMPRESSION_FILES[0]).exists()
    for part in (*PARTS, *(IMPRESSION_PARTS if has_impressions else ())):
        table = pq.read_table(folder / f"{part}.parquet")
        require_views(part, table, log, vocabulary_size)
        rows = {name: table[name].to_numpy() for name in table.column_names}
        starts_R = log.starts_R[rows.pop("history")]
        sequences[part] = Histories(log.columns, starts_R, rows.pop("length"), rows)
    if has_impressions:
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
    if not (folder / HISTORIES).exists() and "input_ids" in pq.read_schema(folder / PART_FILES[0]).names:
        raise InputError(f"It was written by an earlier version of seqrec, without {HISTORIES}.")

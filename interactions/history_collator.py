"""Batches of histories for encoding, ranking and recommending.

Shape suffixes: B histories, L length, S longest full history.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seqrec.interactions.batch_layout import BatchLayout
from seqrec.interactions.events import SOURCES, EventColumn, event_columns
from seqrec.interactions.histories import Histories, as_histories
from seqrec.interactions.special_tokens import PAD_ID

__all__ = ["HistoryCollator", "batches_of_like_length", "encoder_inputs", "pad_items"]


@dataclass(frozen=True)
class HistoryCollator:
    """Make batches of histories for encoding, ranking and recommending.

    Args:
        max_length: Number of newest events that the model reads.
        columns: Event columns that the model reads, including `input_ids`.

    Returns:
        The columns (B, L), padded on the right; `attention_mask` (B, L) if there is padding; `seen_ids` (B, S), the
        items of the full histories, padded; and `targets` (B,) if the rows have a `target`.
    """

    max_length: int
    columns: Sequence[str] = ("input_ids",)

    @cached_property
    def event_columns(self) -> tuple[EventColumn, ...]:
        """The columns, looked up by name."""
        return event_columns(self.columns)

    @cached_property
    def computed_columns(self) -> tuple[EventColumn, ...]:
        """Those columns that are not stored."""
        return tuple(column for column in self.event_columns if column.name in SOURCES)

    def __call__(self, rows: Histories | Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Collate histories, or a list of their rows, oldest event first, optionally with a `target`."""
        if not isinstance(rows, Histories):
            has_targets = len(rows) > 0 and "target" in rows[0]
            rows = as_histories(rows, [*self.columns, *(["target"] if has_targets else [])])
        is_single = len(rows) == 1 and rows.lengths_R[0] > 0
        batch = self.collate_single(rows) if is_single else self.collate(rows)
        if "target" in rows.rows:
            batch["targets"] = torch.from_numpy(rows.rows["target"].astype(np.int64))
        return batch

    def collate(self, histories: Histories) -> dict[str, Tensor]:
        """Collate any number of histories."""
        newest = histories.newest(self.max_length)
        events, lengths_B = newest.compact(self.columns)
        layout = BatchLayout.padded(lengths_B)
        batch = layout.lay_out_events(self.event_columns, events)
        if len(lengths_B) and lengths_B.min() < lengths_B.max():  # models are faster without a mask to check
            batch["attention_mask"] = layout.lay_out(np.ones(len(layout.places_N), dtype=np.int64))
        is_cut = histories.lengths_R.max(initial=0) > self.max_length
        batch["seen_ids"] = pad_items(histories) if is_cut else batch["input_ids"]
        return batch

    def collate_single(self, histories: Histories) -> dict[str, Tensor]:
        """Collate one history that is not empty, in fewer steps: many requests hold just one."""
        start, length = int(histories.starts_R[0]), int(histories.lengths_R[0])
        end = start + length
        newest = slice(end - min(length, self.max_length), end)
        batch = {
            column.name: torch.from_numpy(histories.columns[column.name][None, newest].astype(column.dtype))
            for column in self.event_columns
            if column.name not in SOURCES
        }
        for column in self.computed_columns:
            events, _ = histories.newest(self.max_length).compact([column.name])
            batch[column.name] = torch.from_numpy(events[column.name][None].astype(column.dtype))
        ids = batch["input_ids"]
        if length > self.max_length:
            ids = torch.from_numpy(histories.columns["input_ids"][None, start:end].astype(np.int64))
        batch["seen_ids"] = ids
        return batch


def encoder_inputs(batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a `HistoryCollator`'s batch that encoders read: event columns, and the mask if any."""
    return {name: tensor for name, tensor in batch.items() if name not in ("seen_ids", "targets")}


def pad_items(histories: Histories) -> Tensor:
    """Return the items of each history as a row, padded on the right (B, S)."""
    events, lengths_B = histories.compact(["input_ids"])
    return BatchLayout.padded(lengths_B).lay_out(events["input_ids"], fill=PAD_ID)


def batches_of_like_length(lengths: np.ndarray, max_rows: int, max_tokens: int = 2**13) -> Iterator[np.ndarray]:
    """Group rows of similar length into batches with little padding, longest rows first.

    Args:
        lengths: Length of each row.
        max_rows: Maximum number of rows per batch.
        max_tokens: Maximum number of tokens per batch, including padding; the default suits a processor's cache.

    Yields:
        The indices of the rows of each batch.
    """
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        num_rows = max(1, min(max_rows, max_tokens // max(1, int(lengths[order[start]]))))
        yield order[start : start + num_rows]
        start += num_rows

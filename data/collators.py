"""From rows of sequences to batches of tensors: packed or padded for training, padded for ranking.

Shape suffixes: B sequences (or windows of them), L length, R packed rows, W their width, S longest full history.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from seqrec.data.special_tokens import IGNORED_LABEL

Row = Mapping[str, Any]


@dataclass(frozen=True)
class NextItemCollator:
    """Make training batches whose labels are aligned: `labels[t]` is the item that follows position t.

    A sequence of n items has n − 1 to predict. One longer than `max_length` is cut into windows, counted back
    from its newest item, so that each of them is predicted exactly once an epoch, whatever the length. A single
    item has nothing to predict and adds nothing.

    With `packing`, windows share rows (best fit, longest first) and `position_ids` restart at 0 with each:
    almost nothing is padding. Without, each window has a row, padded on the right. Loss and gradients are the
    same.

    Args:
        tokenizer: Its special tokens are never labels; its pad token fills rows.
        max_length: Longest input, in items; the model's `max_position_embeddings`.
        packing: Whether windows share rows.

    Returns:
        `input_ids` and `labels`, with `position_ids` (R, W) when packing, or `attention_mask` (B, L).
    """

    tokenizer: PreTrainedTokenizerBase
    max_length: int = 200
    packing: bool = True

    def __call__(self, rows: Sequence[Row]) -> dict[str, Tensor]:
        """Collate rows that have `input_ids`, oldest first."""
        windows = [window for row in rows for window in cut_windows(row["input_ids"], self.max_length)]
        inputs = [window[:-1] for window in windows]
        labels = [self.label(window[1:]) for window in windows]
        pad_id = self.tokenizer.pad_token_id
        if self.packing:
            return pack(inputs, labels, width=self.max_length, pad_id=pad_id)
        batch = pad(inputs, pad_id)
        return {**batch, "labels": pad(labels, IGNORED_LABEL)["input_ids"]}

    def label(self, items: np.ndarray) -> np.ndarray:
        """Leave special tokens (an unknown item, say) out of what is to be predicted."""
        return np.where(np.isin(items, self.tokenizer.all_special_ids), IGNORED_LABEL, items)


@dataclass(frozen=True)
class HistoryCollator:
    """Make batches of histories to encode, rank and recommend for.

    Args:
        max_length: Newest items that the model reads.
        pad_id: Token id of `<|pad|>`.

    Returns:
        `input_ids` and `attention_mask` (B, L), padded on the right; `seen_ids` (B, S), the full histories,
        padded; and `targets` (B,) where the rows have a `target`.
    """

    max_length: int
    pad_id: int = 0

    def __call__(self, rows: Sequence[Row]) -> dict[str, Tensor]:
        """Collate rows that have `input_ids`, oldest first, and perhaps a `target`."""
        histories = [np.asarray(row["input_ids"], dtype=np.int64) for row in rows]
        batch = pad([history[-self.max_length :] for history in histories], self.pad_id)
        batch["seen_ids"] = pad(histories, self.pad_id)["input_ids"]
        if "target" in rows[0]:
            batch["targets"] = torch.tensor([int(row["target"]) for row in rows])
        return batch


def cut_windows(input_ids: Sequence[int] | np.ndarray, max_length: int) -> Iterator[np.ndarray]:
    """Cut a sequence, from its end, into windows of up to `max_length` + 1 items that overlap by one."""
    items = np.asarray(input_ids, dtype=np.int64)
    for end in range(len(items), 1, -max_length):
        yield items[max(0, end - max_length - 1) : end]


def pad(sequences: Sequence[np.ndarray], fill: int) -> dict[str, Tensor]:
    """Give each sequence a row, filled up on the right, and mark what is real in `attention_mask`."""
    lengths = np.array([len(sequence) for sequence in sequences], dtype=np.int64)
    real_BL = np.arange(max(1, lengths.max(initial=0))) < lengths[:, None]
    values_BL = np.full(real_BL.shape, fill, dtype=np.int64)
    values_BL[real_BL] = np.concatenate([*sequences, np.empty(0, dtype=np.int64)])
    return {
        "input_ids": torch.from_numpy(values_BL),
        "attention_mask": torch.from_numpy(real_BL.astype(np.int64)),
    }


def pack(inputs: Sequence[np.ndarray], labels: Sequence[np.ndarray], *, width: int, pad_id: int) -> dict[str, Tensor]:
    """Lay sequences end to end into as few rows as best fit finds.

    Args:
        inputs: Token ids of each sequence, none longer than `width`.
        labels: Labels of each, as long as its inputs.
        width: Width of the rows; less where all tokens together need less.
        pad_id: What fills the rest of a row. Each such position is a sequence of its own, without a label.

    Returns:
        `input_ids`, `position_ids` and `labels`, each (R, W).
    """
    lengths = np.array([len(sequence) for sequence in inputs], dtype=np.int64)
    width = max(1, min(width, int(lengths.sum())))
    rows, columns, num_rows = best_fit(lengths, width)
    within = np.arange(lengths.sum()) - np.repeat(lengths.cumsum() - lengths, lengths)
    cells = np.repeat(rows * width + columns, lengths) + within
    batch = {}
    for name, values, fill in (
        ("input_ids", inputs, pad_id),
        ("position_ids", [within], 0),
        ("labels", labels, IGNORED_LABEL),
    ):
        flat = np.full(num_rows * width, fill, dtype=np.int64)
        flat[cells] = np.concatenate([*values, np.empty(0, dtype=np.int64)])
        batch[name] = torch.from_numpy(flat.reshape(num_rows, width))
    return batch


def best_fit(lengths: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Assign each length a row and a column in it: longest first, into the fullest row that still has room.

    Returns:
        Row and column of each length, and the number of rows (at least 1).
    """
    rows, columns = np.zeros(len(lengths), dtype=np.int64), np.zeros(len(lengths), dtype=np.int64)
    room: list[tuple[int, int]] = []  # (free cells, row), sorted
    num_rows = 0
    for index in np.argsort(-lengths, kind="stable"):
        length = int(lengths[index])
        fit = bisect_left(room, (length, -1))
        if fit == len(room):
            free, row = width, num_rows
            num_rows += 1
        else:
            free, row = room.pop(fit)
        rows[index], columns[index] = row, width - free
        insort(room, (free - length, row))
    return rows, columns, max(1, num_rows)

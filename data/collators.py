"""From rows of sequences to batches of tensors: packed or padded for training, padded for ranking.

Shape suffixes: B sequences (or windows of them), L length, R packed rows, W their width, S longest full history.
Where many sequences lie end to end in one array, `lengths` tells them apart.
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
    almost nothing is padding. What fills a row's rest is a sequence of its own at each position, without a label.
    Without, each window has a row, padded on the right. Loss and gradients are the
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
        sequences = [np.asarray(row["input_ids"], dtype=np.int64) for row in rows]
        items = np.concatenate([*sequences, np.empty(0, dtype=np.int64)])
        starts, lengths = cut_windows(np.array([len(sequence) for sequence in sequences]), self.max_length)
        within = count_within(lengths)
        cells = np.repeat(starts, lengths) + within
        following = items[cells + 1]
        labels = np.where(np.isin(following, self.tokenizer.all_special_ids), IGNORED_LABEL, following)
        if self.packing:
            position_of, shape = pack(lengths, self.max_length)
            companion = {"position_ids": lay_out(within, position_of, shape, 0)}
        else:
            position_of, shape = pad_right(lengths)
            companion = {"attention_mask": lay_out(np.ones_like(within), position_of, shape, 0)}
        return {
            "input_ids": lay_out(items[cells], position_of, shape, self.tokenizer.pad_token_id),
            **companion,
            "labels": lay_out(labels, position_of, shape, IGNORED_LABEL),
        }


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


def batches_of_like_length(lengths: np.ndarray, max_rows: int, max_tokens: int = 2**13) -> Iterator[np.ndarray]:
    """Share rows out among batches that hold little padding, the longest rows first.

    Args:
        lengths: Length of each row.
        max_rows: Rows of a batch.
        max_tokens: Tokens of a batch, padding included; by default what a processor's cache can still serve.

    Yields:
        The numbers of the rows of each batch.
    """
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        num_rows = max(1, min(max_rows, max_tokens // max(1, int(lengths[order[start]]))))
        yield order[start : start + num_rows]
        start += num_rows


def cut_windows(lengths: np.ndarray, max_length: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut sequences that lie end to end into windows of up to `max_length` inputs, each with its next item.

    The oldest window of a sequence is the one that may be shorter.

    Args:
        lengths: Items of each sequence.
        max_length: Longest window.

    Returns:
        Where each window starts, and how many inputs it has.
    """
    num_targets = np.maximum(lengths - 1, 0)
    num_windows = -(-num_targets // max_length)
    number = count_within(num_windows)  # 0 is the oldest window
    shortened = np.repeat(num_windows * max_length - num_targets, num_windows)  # of the oldest
    starts = np.repeat(lengths.cumsum() - lengths, num_windows) + np.maximum(number * max_length - shortened, 0)
    return starts, np.where(number == 0, max_length - shortened, max_length)


def count_within(lengths: np.ndarray) -> np.ndarray:
    """Count 0, 1, … within each of several runs that lie end to end."""
    return np.arange(lengths.sum()) - np.repeat(lengths.cumsum() - lengths, lengths)


def lay_out(values: np.ndarray, position_of: np.ndarray, shape: tuple[int, int], fill: int) -> Tensor:
    """Put values in their positions in an otherwise filled matrix."""
    flat = np.full(shape[0] * shape[1], fill, dtype=np.int64)
    flat[position_of] = values
    return torch.from_numpy(flat.reshape(shape))


def pad_right(lengths: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
    """Give each sequence a row: where each token goes, and the matrix's shape."""
    width = max(1, int(lengths.max(initial=0)))
    return np.repeat(np.arange(len(lengths)) * width, lengths) + count_within(lengths), (len(lengths), width)


def pad(sequences: Sequence[np.ndarray], fill: int) -> dict[str, Tensor]:
    """Give each sequence a row, filled up on the right, and mark what is real in `attention_mask`."""
    position_of, shape = pad_right(np.array([len(sequence) for sequence in sequences], dtype=np.int64))
    values = np.concatenate([*sequences, np.empty(0, dtype=np.int64)])
    return {
        "input_ids": lay_out(values, position_of, shape, fill),
        "attention_mask": lay_out(np.ones_like(values), position_of, shape, 0),
    }


def pack(lengths: np.ndarray, width: int) -> tuple[np.ndarray, tuple[int, int]]:
    """Lay sequences end to end into as few rows as best fit finds.

    Args:
        lengths: Length of each sequence, none more than `width`.
        width: Width of the rows; less where as many narrower rows hold everything.

    Returns:
        Where each token goes in the flattened matrix, and the matrix's shape.
    """
    rows, columns, num_rows = best_fit(lengths, width)
    narrow = max(1, int(lengths.max(initial=0)), -(-int(lengths.sum()) // num_rows))
    if narrow < width and (fit := best_fit(lengths, narrow))[2] == num_rows:
        (rows, columns, _), width = fit, narrow
    return np.repeat(rows * width + columns, lengths) + count_within(lengths), (num_rows, width)


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

"""From rows of sequences to batches of tensors: packed or padded for training, padded for ranking.

Shape suffixes: B sequences (or windows of them), L length, R packed rows, W their width, S longest full history.
Where many sequences lie end to end in one array, `lengths` tells them apart.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from seqrec.interactions.special_tokens import IGNORED_LABEL

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
        items, lengths_B = concatenate([row["input_ids"] for row in rows])
        starts, lengths = cut_windows(lengths_B, self.max_length, overlap=1)
        cells = np.repeat(starts, lengths - 1) + count_within(lengths - 1)
        following = items[cells + 1]
        labels = np.where(np.isin(following, self.tokenizer.all_special_ids), IGNORED_LABEL, following)
        return assemble(
            items[cells], labels, lengths - 1, self.max_length, self.tokenizer.pad_token_id, packing=self.packing
        )


@dataclass
class MaskedItemCollator:
    """Make training batches of histories in which items are hidden behind `<|mask|>`, to be predicted.

    The cloze task of BERT4Rec (Sun et al. 2019, section 3.6). Long sequences are cut into windows, counted back from
    the newest item, so that each item is read exactly once an epoch. In each window each item is hidden with
    `masking_probability`, and at least one is; or, in a share of the windows, the last alone. Packing, and what comes
    back, are as of `NextItemCollator`.

    With a `seed`, what is hidden follows from the seed, the epoch (`set_epoch`) and the histories of the batch, so that
    a training that is resumed within an epoch hides the same items, although its batches are made ahead of their use.
    Without one, the masks come from torch's global random numbers.

    Args:
        tokenizer: Its special tokens are never hidden; its mask token hides items.
        max_length: Longest window, in items; the model's `max_position_embeddings`.
        masking_probability: How probably an item is hidden.
        last_item_share: Share of the windows in which only the last item is.
        packing: Whether windows share rows.
        seed: Seed of the masks; None for torch's global random numbers.
    """

    tokenizer: PreTrainedTokenizerBase
    max_length: int = 200
    masking_probability: float = 0.2
    last_item_share: float = 0.1
    packing: bool = True
    seed: int | None = None
    epoch: int = field(default=0, init=False)

    def set_epoch(self, epoch: int) -> None:
        """Begin an epoch, counted from 0: with a `seed`, each epoch hides other items."""
        self.epoch = epoch

    def __call__(self, rows: Sequence[Row]) -> dict[str, Tensor]:
        """Collate rows that have `input_ids`, oldest first."""
        items, lengths_B = concatenate([row["input_ids"] for row in rows])
        starts, lengths = cut_windows(lengths_B, self.max_length, overlap=0)
        inputs = items[np.repeat(starts, lengths) + count_within(lengths)]
        is_hidden = self.choose(lengths, self.generator(items)) & ~np.isin(inputs, self.tokenizer.all_special_ids)
        labels = np.where(is_hidden, inputs, IGNORED_LABEL)
        inputs = np.where(is_hidden, self.tokenizer.mask_token_id, inputs)
        return assemble(inputs, labels, lengths, self.max_length, self.tokenizer.pad_token_id, packing=self.packing)

    def generator(self, items: np.ndarray) -> torch.Generator | None:
        """Make the random numbers of a batch, given its items; None for torch's global ones."""
        if self.seed is None:
            return None
        key = np.array([self.seed, self.epoch], dtype=np.int64)
        digest = blake2b(items.tobytes(), digest_size=8, key=key.tobytes()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest, "little", signed=True))

    def choose(self, lengths: np.ndarray, generator: torch.Generator | None = None) -> np.ndarray:
        """Choose what to hide in windows that lie end to end."""
        chance = torch.rand(int(lengths.sum()), generator=generator).numpy()
        window = np.repeat(np.arange(len(lengths)), lengths)
        lowest = np.full(len(lengths), np.inf)
        np.minimum.at(lowest, window, chance)
        is_hidden = (chance < self.masking_probability) | (chance == lowest[window])
        only_last = torch.rand(len(lengths), generator=generator).numpy() < self.last_item_share
        is_last = count_within(lengths) == np.repeat(lengths, lengths) - 1
        return np.where(only_last[window], is_last, is_hidden)


@dataclass(frozen=True)
class HistoryCollator:
    """Make batches of histories to encode, rank and recommend for.

    Args:
        max_length: Newest items that the model reads.
        pad_id: Token id of `<|pad|>`.

    Returns:
        `input_ids` (B, L), padded on the right; `attention_mask` (B, L) where anything is padding; `seen_ids` (B, S),
        the full histories, padded; and `targets` (B,) where the rows have a `target`.
    """

    max_length: int
    pad_id: int = 0

    def __call__(self, rows: Sequence[Row]) -> dict[str, Tensor]:
        """Collate rows that have `input_ids`, oldest first, and perhaps a `target`."""
        histories = [np.asarray(row["input_ids"], dtype=np.int64) for row in rows]
        newest = [history[-self.max_length :] for history in histories]
        batch = pad(newest, self.pad_id)
        if len({len(history) for history in newest}) == 1:
            del batch["attention_mask"]  # models are quicker where they need not look for padding
        is_cut = max(map(len, histories)) > self.max_length
        batch["seen_ids"] = pad(histories, self.pad_id)["input_ids"] if is_cut else batch["input_ids"]
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


def concatenate(sequences: Sequence[Sequence[int] | np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Lay sequences end to end; return their items and each one's length."""
    arrays = [np.asarray(sequence, dtype=np.int64) for sequence in sequences]
    return np.concatenate([*arrays, np.empty(0, dtype=np.int64)]), np.array([len(array) for array in arrays])


def cut_windows(lengths: np.ndarray, max_length: int, *, overlap: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut sequences that lie end to end into windows of up to `max_length` items, and `overlap` that the next repeats.

    The oldest window of a sequence is the one that may be shorter. What is no longer than the overlap is no window.

    Args:
        lengths: Items of each sequence.
        max_length: Items by which a window goes on.
        overlap: Items that follow in a window, and begin the next.

    Returns:
        Where each window starts, and how many items it has, the overlap included.
    """
    num_own = np.maximum(lengths - overlap, 0)
    num_windows = -(-num_own // max_length)
    number = count_within(num_windows)  # 0 is the oldest window
    shortened = np.repeat(num_windows * max_length - num_own, num_windows)  # of the oldest
    starts = np.repeat(lengths.cumsum() - lengths, num_windows) + np.maximum(number * max_length - shortened, 0)
    return starts, np.where(number == 0, max_length - shortened, max_length) + overlap


def count_within(lengths: np.ndarray) -> np.ndarray:
    """Count 0, 1, … within each of several runs that lie end to end."""
    return np.arange(lengths.sum()) - np.repeat(lengths.cumsum() - lengths, lengths)


def assemble(
    inputs: np.ndarray, labels: np.ndarray, lengths: np.ndarray, max_length: int, pad_id: int, *, packing: bool
) -> dict[str, Tensor]:
    """Make a training batch of windows that lie end to end, packed or padded.

    A batch without any window has one row, of a single pad token without a label.
    """
    if len(lengths) == 0:
        inputs, labels, lengths = np.array([pad_id]), np.array([IGNORED_LABEL]), np.array([1])
    within = count_within(lengths)
    if packing:
        position_of, shape = pack(lengths, max_length)
        companion = {"position_ids": lay_out(within, position_of, shape, 0)}
    else:
        position_of, shape = pad_right(lengths)
        companion = {"attention_mask": lay_out(np.ones_like(within), position_of, shape, 0)}
    return {
        "input_ids": lay_out(inputs, position_of, shape, pad_id),
        **companion,
        "labels": lay_out(labels, position_of, shape, IGNORED_LABEL),
    }


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
    values, lengths = concatenate(sequences)
    position_of, shape = pad_right(lengths)
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
    narrowest = max(1, int(lengths.max(initial=0)), -(-int(lengths.sum()) // num_rows))
    for narrower in range(narrowest, width):
        if (fit := best_fit(lengths, narrower))[2] == num_rows:
            (rows, columns, _), width = fit, narrower
            break
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

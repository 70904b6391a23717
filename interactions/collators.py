"""Training batches: which events are read, and which items are to be predicted.

Shape suffixes: B sequences (or windows of them), L length, R packed rows, W their width, N events that are read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from seqrec.interactions.batch_layout import BatchLayout
from seqrec.interactions.events import event_columns
from seqrec.interactions.histories import Histories, as_histories
from seqrec.interactions.special_tokens import IGNORED_LABEL
from seqrec.interactions.windows import count_within, cut_windows

Rows = Histories | Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class NextItemCollator:
    """Make training batches whose labels are aligned: `labels[t]` is the item that follows position t.

    A sequence of n items has n − 1 to predict. One longer than `max_length` is cut into windows, counted back
    from its newest item, so that each of them is predicted exactly once an epoch, whatever the length. A single
    item has nothing to predict and adds nothing.

    With `packing`, windows share rows (best fit, longest first) and `position_ids` restart at 0 with each:
    almost nothing is padding. Filler positions form one-token sequences without labels. Without packing, each window
    has a row, padded on the right. Loss and gradients are the same.

    Args:
        tokenizer: Its special tokens are never labels.
        max_length: Longest input, in items; the model's `max_position_embeddings`.
        packing: Whether windows share rows.
        columns: The event columns that the model reads, `input_ids` among them.

    Returns:
        The columns and `labels`, with `position_ids` (R, W) when packing, or `attention_mask` (B, L).
    """

    tokenizer: PreTrainedTokenizerBase
    max_length: int = 200
    packing: bool = True
    columns: Sequence[str] = ("input_ids",)

    def __call__(self, rows: Rows) -> dict[str, Tensor]:
        """Collate histories, or a list of their rows, oldest event first."""
        events, lengths_B = as_histories(rows, self.columns).compact(self.columns)
        starts, lengths = cut_windows(lengths_B, self.max_length, overlap=1)
        lengths = lengths - 1
        places_N = np.repeat(starts, lengths) + count_within(lengths)
        following_N = events["input_ids"][places_N + 1]
        labels_N = np.where(np.isin(following_N, self.tokenizer.all_special_ids), IGNORED_LABEL, following_N)
        inputs = {name: values[places_N] for name, values in events.items()}
        return assemble(inputs, labels_N, lengths, self.max_length, packing=self.packing)


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
        columns: The event columns that the model reads, `input_ids` among them; where an item is hidden, the event's
            other values stay.
    """

    tokenizer: PreTrainedTokenizerBase
    max_length: int = 200
    masking_probability: float = 0.2
    last_item_share: float = 0.1
    packing: bool = True
    seed: int | None = None
    columns: Sequence[str] = ("input_ids",)
    epoch: int = field(default=0, init=False)

    def set_epoch(self, epoch: int) -> None:
        """Begin an epoch, counted from 0: with a `seed`, each epoch hides other items."""
        self.epoch = epoch

    def __call__(self, rows: Rows) -> dict[str, Tensor]:
        """Collate histories, or a list of their rows, oldest event first."""
        events, lengths_B = as_histories(rows, self.columns).compact(self.columns)
        starts, lengths = cut_windows(lengths_B, self.max_length, overlap=0)
        places_N = np.repeat(starts, lengths) + count_within(lengths)
        inputs = {name: values[places_N] for name, values in events.items()}
        items_N = inputs["input_ids"]
        is_special_N = np.isin(items_N, self.tokenizer.all_special_ids)
        is_hidden_N = self.choose(lengths, self.generator(events["input_ids"])) & ~is_special_N
        inputs["input_ids"] = np.where(is_hidden_N, self.tokenizer.mask_token_id, items_N)
        labels_N = np.where(is_hidden_N, items_N, IGNORED_LABEL)
        return assemble(inputs, labels_N, lengths, self.max_length, packing=self.packing)

    def generator(self, items: np.ndarray) -> torch.Generator | None:
        """Make the random numbers of a batch, given its items; None for torch's global ones."""
        if self.seed is None:
            return None
        key = np.array([self.seed, self.epoch], dtype=np.int64)
        digest = blake2b(items.astype(np.int64, copy=False).tobytes(), digest_size=8, key=key.tobytes()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest, "little", signed=True))

    def choose(self, lengths: np.ndarray, generator: torch.Generator | None = None) -> np.ndarray:
        """Choose what to hide in windows that lie end to end."""
        chance = torch.rand(int(lengths.sum()), generator=generator).numpy()
        window = np.repeat(np.arange(len(lengths)), lengths)
        lowest = np.minimum.reduceat(chance, lengths.cumsum() - lengths)
        is_hidden = (chance < self.masking_probability) | (chance == lowest[window])
        only_last = torch.rand(len(lengths), generator=generator).numpy() < self.last_item_share
        is_last = count_within(lengths) == np.repeat(lengths, lengths) - 1
        return np.where(only_last[window], is_last, is_hidden)


def assemble(
    inputs: dict[str, np.ndarray], labels_N: np.ndarray, lengths: np.ndarray, max_length: int, *, packing: bool
) -> dict[str, Tensor]:
    """Make a training batch of windows that lie end to end, packed or padded.

    A batch without any window has one row, of a single filler event without a label.

    Args:
        inputs: Values (N,) of each event column.
        labels_N: The items to be predicted.
        lengths: The length of each window.
        max_length: Width of packed rows.
        packing: Whether windows share rows.
    """
    columns = event_columns(inputs)
    if len(lengths) == 0:
        inputs = {column.name: np.array([column.fill]) for column in columns}
        labels_N, lengths = np.array([IGNORED_LABEL]), np.array([1])
    if packing:
        layout = BatchLayout.packed(lengths, max_length)
        companion = {"position_ids": layout.lay_out(count_within(lengths))}
    else:
        layout = BatchLayout.padded(lengths)
        companion = {"attention_mask": layout.lay_out(np.ones(len(labels_N), dtype=np.int64))}
    return {
        **layout.lay_out_events(columns, inputs),
        **companion,
        "labels": layout.lay_out(labels_N, fill=IGNORED_LABEL),
    }

"""Training batches: the events that a model reads, and the items that it learns to predict.

Shape suffixes: B sequences (or windows of them), L length, R packed rows, W their width, N events read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from seqrec.interactions.batch_layout import BatchLayout
from seqrec.interactions.events import event_columns
from seqrec.interactions.histories import Histories, as_histories
from seqrec.interactions.impression_batches import ShownItems, shown_items
from seqrec.interactions.label_columns import label_names
from seqrec.interactions.label_names import CLICK, labels_key
from seqrec.interactions.special_tokens import IGNORED_LABEL
from seqrec.interactions.windows import count_within, cut_windows

__all__ = ["MaskedItemCollator", "NextItemCollator"]

Rows = Histories | Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class NextItemCollator:
    """Make training batches whose labels are aligned: `labels[t]` is the item that follows position t.

    A sequence of n items has n − 1 items to predict. A sequence longer than `max_length` is cut into windows, starting
    from its newest item, so that each of them is predicted exactly once per epoch. Single items are left out.

    With `packing`, windows share rows (best fit, longest first) and `position_ids` restart at 0 in each window, which
    leaves almost no padding. Filler positions form one-token sequences without labels. Without packing, each window has
    a row of its own, padded on the right. Loss and gradients are the same.

    Args:
        tokenizer: Its special tokens are never labels.
        max_length: Longest input, in items; the model's `max_position_embeddings`.
        packing: Whether windows share rows.
        columns: Event columns that the model reads, including `input_ids`.
        label_columns: Label columns that the model learns to predict.

    Returns:
        The columns and `labels`, with `position_ids` (R, W) when packing, else with `attention_mask` (B, L). For each
        label column, also `<name>_labels` (float32): the label of the item in `labels`, NaN where there is none.
        With `click` among them, and histories with impressions, also `impression_ids` (R, C), padded with 0, and
        `impression_positions` (R, C): the position in the row of the last event before each impression.
    """

    tokenizer: PreTrainedTokenizerBase
    max_length: int = 200
    packing: bool = True
    columns: Sequence[str] = ("input_ids",)
    label_columns: Sequence[str] = ()

    @property
    def data_columns(self) -> list[str]:
        """The columns that rows must have."""
        return without_duplicates(self.columns, self.label_columns)

    def __call__(self, rows: Rows) -> dict[str, Tensor]:
        """Collate histories, or a list of their rows, oldest event first."""
        histories = as_histories(rows, self.data_columns)
        events, lengths_B = histories.compact(self.data_columns)
        starts, lengths = cut_windows(lengths_B, self.max_length, overlap=1)
        lengths = lengths - 1
        places_N = np.repeat(starts, lengths) + count_within(lengths)
        following_N = events["input_ids"][places_N + 1]
        labels_N = np.where(np.isin(following_N, self.tokenizer.all_special_ids), IGNORED_LABEL, following_N)
        inputs = {name: events[name][places_N] for name in self.columns}
        outcomes = Outcomes({name: events[name][places_N + 1] for name in self.label_columns})
        if CLICK in self.label_columns and histories.impressions is not None:
            outcomes = replace(outcomes, shown=shown_items(histories, places_N + 1))
        return assemble(inputs, labels_N, lengths, self.max_length, packing=self.packing, outcomes=outcomes)


@dataclass
class MaskedItemCollator:
    """Make training batches in which some items are replaced by `<|mask|>` and have to be predicted.

    The cloze task of BERT4Rec (Sun et al. 2019, section 3.6). Long sequences are cut into windows, starting from
    the newest item, so that each item is read exactly once per epoch. In each window, each item is hidden with
    probability `masking_probability`, and at least one item is; in a share of the windows (`last_item_share`), only the
    last item is hidden instead. For packing and the returned batch, see `NextItemCollator`.

    With a `seed`, the masks depend only on the seed, the epoch (`set_epoch`) and the histories of the batch. A training
    resumed within an epoch then hides the same items, although batches are made ahead of their use. Without a seed, the
    masks come from torch's global random number generator.

    Args:
        tokenizer: Its special tokens are never hidden; its mask token replaces hidden items.
        max_length: Longest window, in items; the model's `max_position_embeddings`.
        masking_probability: Probability that an item is hidden.
        last_item_share: Share of the windows in which only the last item is hidden.
        packing: Whether windows share rows.
        seed: Seed of the masks; None for torch's global random number generator.
        columns: Event columns that the model reads, including `input_ids`. If an item is hidden, the event's other
            values are kept, except for its times, which are those of a mask token in a request: with `request_times`,
            both are the event's own time; without, `timestamps` is that of the last event before it that is not hidden.
            Labels are hidden with their item: each is known only after its event.
        label_columns: Label columns that the model learns to predict. The position of an impression is that of the
            event after it; impressions before an event that is not hidden are left out.
    """

    tokenizer: PreTrainedTokenizerBase
    max_length: int = 200
    masking_probability: float = 0.2
    last_item_share: float = 0.1
    packing: bool = True
    seed: int | None = None
    columns: Sequence[str] = ("input_ids",)
    label_columns: Sequence[str] = ()
    epoch: int = field(default=0, init=False)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, counted from 0. With a `seed`, each epoch hides different items."""
        self.epoch = epoch

    @property
    def data_columns(self) -> list[str]:
        """The columns that rows must have."""
        return without_duplicates(self.columns, self.label_columns)

    def __call__(self, rows: Rows) -> dict[str, Tensor]:
        """Collate histories, or a list of their rows, oldest event first."""
        histories = as_histories(rows, self.data_columns)
        events, lengths_B = histories.compact(self.data_columns)
        starts, lengths = cut_windows(lengths_B, self.max_length, overlap=0)
        places_N = np.repeat(starts, lengths) + count_within(lengths)
        inputs = {name: events[name][places_N] for name in self.columns}
        items_N = inputs["input_ids"]
        is_special_N = np.isin(items_N, self.tokenizer.all_special_ids)
        is_hidden_N = self.choose(lengths, self.generator(events["input_ids"])) & ~is_special_N
        inputs["input_ids"] = np.where(is_hidden_N, self.tokenizer.mask_token_id, items_N)
        if "request_times" in inputs:
            inputs["request_times"] = np.where(is_hidden_N, inputs["timestamps"], inputs["request_times"])
        elif "timestamps" in inputs:
            inputs["timestamps"] = events["timestamps"][told_places(places_N, is_hidden_N, lengths, lengths_B)]
        for name in label_names(self.columns):
            inputs[name] = np.where(is_hidden_N, np.float32(np.nan), inputs[name])
        labels_N = np.where(is_hidden_N, items_N, IGNORED_LABEL)
        outcomes = Outcomes({name: events[name][places_N] for name in self.label_columns})
        if CLICK in self.label_columns and histories.impressions is not None:
            outcomes = replace(outcomes, shown=shown_items(histories, places_N, is_hidden_N))
        return assemble(inputs, labels_N, lengths, self.max_length, packing=self.packing, outcomes=outcomes)

    def generator(self, items: np.ndarray) -> torch.Generator | None:
        """Return the random number generator of a batch with these items; None for torch's global one."""
        if self.seed is None:
            return None
        key = np.array([self.seed, self.epoch], dtype=np.int64)
        digest = blake2b(items.astype(np.int64, copy=False).tobytes(), digest_size=8, key=key.tobytes()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest, "little", signed=True))

    def choose(self, lengths: np.ndarray, generator: torch.Generator | None = None) -> np.ndarray:
        """Choose the items to hide in concatenated windows."""
        chance = torch.rand(int(lengths.sum()), generator=generator).numpy()
        window = np.repeat(np.arange(len(lengths)), lengths)
        lowest = np.minimum.reduceat(chance, lengths.cumsum() - lengths)
        is_hidden = (chance < self.masking_probability) | (chance == lowest[window])
        only_last = torch.rand(len(lengths), generator=generator).numpy() < self.last_item_share
        is_last = count_within(lengths) == np.repeat(lengths, lengths) - 1
        return np.where(only_last[window], is_last, is_hidden)


def told_places(
    places_N: np.ndarray, is_hidden_N: np.ndarray, lengths: np.ndarray, lengths_B: np.ndarray
) -> np.ndarray:
    """Return, for each event of concatenated windows, the place of the event whose time the model is told instead.

    It is the event itself, unless it is hidden: then the last visible one before it in its window, else the one before
    the window in its history, else the first visible one of the window, else itself.

    Args:
        places_N: Place of each event in the concatenated histories.
        is_hidden_N: Which events are hidden.
        lengths: Length of each window.
        lengths_B: Length of each history.
    """
    starts = lengths.cumsum() - lengths
    begins_history = np.isin(places_N[starts], lengths_B.cumsum() - lengths_B)
    index_N = np.arange(len(places_N))
    visible_N = np.where(is_hidden_N, len(index_N), index_N)
    first_visible = np.minimum.reduceat(visible_N, starts) if len(starts) else starts
    first_visible = np.where(first_visible < len(index_N), first_visible, starts)
    before = np.where(begins_history, places_N[first_visible], places_N[starts] - 1)
    last_visible_N = np.maximum.accumulate(np.where(is_hidden_N, -1, index_N))
    is_within_N = last_visible_N >= np.repeat(starts, lengths)
    return np.where(is_within_N, places_N[last_visible_N], np.repeat(before, lengths))


@dataclass(frozen=True)
class Outcomes:
    """Outcomes that a model learns to predict in addition to items.

    Attributes:
        labels: Values (N,) of each label column for the items to predict; those without an item do not count.
        shown: Impressions; None if there is no such task, or the data have none.
    """

    labels: Mapping[str, np.ndarray]
    shown: ShownItems | None = None


def without_duplicates(*names: Sequence[str]) -> list[str]:
    """Return the names of several lists, each once, in their order."""
    return list(dict.fromkeys(name for some in names for name in some))


def assemble(
    inputs: dict[str, np.ndarray],
    labels_N: np.ndarray,
    lengths: np.ndarray,
    max_length: int,
    *,
    packing: bool,
    outcomes: Outcomes,
) -> dict[str, Tensor]:
    """Make a training batch from concatenated windows, packed or padded.

    A batch without windows has one row with a single filler event and no label.

    Args:
        inputs: Values (N,) of each event column.
        labels_N: Items to predict, `IGNORED_LABEL` elsewhere.
        lengths: Length of each window.
        max_length: Width of packed rows.
        packing: Whether windows share rows.
        outcomes: The labels of the items in `labels_N`, and impressions.
    """
    columns = event_columns(inputs)
    if len(lengths) == 0:
        inputs = {column.name: np.array([column.fill]) for column in columns}
        labels_N, lengths = np.array([IGNORED_LABEL]), np.array([1])
        outcomes = replace(outcomes, labels={name: np.array([np.nan]) for name in outcomes.labels})
    if packing:
        layout = BatchLayout.packed(lengths, max_length)
        companion = {"position_ids": layout.lay_out(count_within(lengths))}
    else:
        layout = BatchLayout.padded(lengths)
        companion = {"attention_mask": layout.lay_out(np.ones(len(labels_N), dtype=np.int64))}
    is_label_N = labels_N != IGNORED_LABEL
    return {
        **layout.lay_out_events(columns, inputs),
        **companion,
        "labels": layout.lay_out(labels_N, fill=IGNORED_LABEL),
        **{
            labels_key(name): layout.lay_out(np.where(is_label_N, values_N, np.nan), fill=np.nan, dtype="float32")
            for name, values_N in outcomes.labels.items()
        },
        **({} if outcomes.shown is None else outcomes.shown.lay_out(layout)),
    }

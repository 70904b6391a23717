"""Training histories that arrive one by one, such as those of a `datasets.IterableDataset`."""

from collections.abc import Sequence, Sized
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import IterableDataset
from transformers import TrainingArguments
from transformers.trainer_utils import has_length

from seqrec.evaluation.targets import require_token_ids
from seqrec.interactions.collators import MaskedItemCollator, NextItemCollator
from seqrec.interactions.histories import Histories, as_histories
from seqrec.interactions.label_names import RATING
from seqrec.interactions.required_labels import require_scale
from seqrec.interactions.required_times import require_seconds
from seqrec.interactions.special_tokens import PAD_ID

__all__ = ["CheckedCollator", "TrainRows", "as_train_rows", "num_histories", "read_in_each_process"]

TrainRows = Histories | IterableDataset


def as_train_rows(rows: Any, columns: Sequence[str]) -> TrainRows | None:
    """Convert training rows to `Histories`; leave streams, which are read during training, and None as they are.

    Raises:
        InputError: If a column is missing, timestamps that the model reads are no times, or the rows are of another
            type.
    """
    if rows is None or isinstance(rows, IterableDataset):  # those of `datasets` are torch's too
        return rows
    histories = as_histories(rows, columns)
    require_seconds(histories, columns)
    return histories


def num_histories(rows: TrainRows) -> int | None:
    """Return the number of training rows; None if a stream does not tell it."""
    return len(rows) if isinstance(rows, Sized) and has_length(rows) else None


def read_in_each_process(rows: Any, arguments: TrainingArguments) -> None:
    """Let each process read a stream itself and take its share of the rows, unless the arguments say otherwise.

    By default, the first process would collate for all others, which fails where batches differ in width.
    """
    if isinstance(rows, IterableDataset) and arguments.accelerator_config.dispatch_batches is None:
        arguments.accelerator_config.dispatch_batches = False


@dataclass(frozen=True)
class CheckedCollator:
    """Collate histories of a stream, whose token ids cannot be checked before training.

    Args:
        collator: Makes the batches.
        vocab_size: V, the number of token ids of the model.
        rating_scale: Lowest and highest rating, for a model that predicts ratings.

    Raises:
        InputError: When called, if the histories hold token ids outside the vocabulary, lack a column, have timestamps
            that are no times though the model reads them, or ratings outside the scale.
    """

    collator: NextItemCollator | MaskedItemCollator
    vocab_size: int
    rating_scale: Sequence[float] | None = None

    def __call__(self, rows: Any) -> dict[str, Tensor]:
        """Collate a list of rows, oldest event first."""
        histories = as_histories(rows, self.collator.data_columns)
        held = histories.columns["input_ids"]
        require_token_ids("input_ids", np.asarray(held), self.vocab_size, lowest=PAD_ID)
        require_seconds(histories, self.collator.columns)
        if RATING in self.collator.label_columns:
            require_scale(histories, self.rating_scale)
        return self.collator(histories)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, for a collator that draws random numbers."""
        if isinstance(self.collator, MaskedItemCollator):
            self.collator.set_epoch(epoch)

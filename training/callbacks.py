"""Callbacks of the trainer."""

from typing import Any

from transformers import EarlyStoppingCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

__all__ = ["EarlyStopping", "EpochOfCollator"]


class EarlyStopping(EarlyStoppingCallback):
    """Early stopping that survives resuming: a training that ran out of patience does not continue."""

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Stop before the first step if the training had already stopped early at this checkpoint."""
        super().on_train_begin(args, state, control, **kwargs)
        if state.global_step == 0:  # the same trainer may train again
            self.early_stopping_patience_counter = 0
        if self.early_stopping_patience_counter >= self.early_stopping_patience:
            control.should_training_stop = True


class EpochOfCollator(TrainerCallback):
    """Passes the current epoch to a collator that draws random numbers."""

    def __init__(self, collator: Any) -> None:
        self.collator = collator
        self.next_epoch = 0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Begin with the epoch of the checkpoint, counted from 0; `state.epoch` is fractional within an epoch."""
        self.next_epoch = int(state.epoch or 0)

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Set the epoch. It is counted here, because `state.epoch` lags behind in streams of unknown length."""
        self.collator.set_epoch(self.next_epoch)
        self.next_epoch += 1

"""What happens between a trainer's steps."""

from typing import Any

from transformers import EarlyStoppingCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class EarlyStopping(EarlyStoppingCallback):
    """Early stopping that a resumed training remembers: where patience had run out, nothing more is trained."""

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Stop before the first step if the checkpoint was the last one of a training that had stopped."""
        super().on_train_begin(args, state, control, **kwargs)
        if self.early_stopping_patience_counter >= self.early_stopping_patience:
            control.should_training_stop = True


class EpochOfCollator(TrainerCallback):
    """Tells a collator that draws random numbers which epoch begins."""

    def __init__(self, collator: Any) -> None:
        self.collator = collator

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Set the epoch, counted from 0; within an epoch, `state.epoch` holds a fraction."""
        self.collator.set_epoch(int(state.epoch or 0))

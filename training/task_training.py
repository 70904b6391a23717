"""Training of several tasks: each loss is divided by its own labels in a whole step, and logged apart."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers.trainer_utils import TrainOutput

from seqrec.modeling.task_losses import count_labels
from seqrec.training.bare_model import BareModel

__all__ = ["TaskTraining"]


class TaskTraining(BareModel):
    """A `Trainer` for models with several tasks.

    With accumulation or several processes, each task's loss is divided by the number of its labels in the whole step.
    `Trainer` alone knows that of the next item only; see `totals_of`. In addition to `loss`, the mean loss of each task
    over the labels since the last entry of the log is logged, such as `loss_rating`.
    """

    task_sums: dict[str, Tensor]

    def train(self, *args: Any, **kwargs: Any) -> TrainOutput:
        """Train as `Trainer.train` does."""
        self.task_sums = {}
        return super().train(*args, **kwargs)

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], Tensor | int | None]:
        """Take the batches of one step, and tell each the number of labels of all."""
        batches, num_items = super().get_batch_samples(epoch_iterator, num_batches, device)
        tasks = self.bare_model.config.label_tasks
        if tasks and batches:
            counts = {task: count.to(device) for task, count in count_labels(batches, tasks).items()}
            if self.args.average_tokens_across_devices:
                counts = self.accelerator.reduce(counts)
            batches = [{**batch, "num_items_by_task": counts} for batch in batches]
        return batches, num_items

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """Compute the loss as `Trainer` does, and collect the losses of several tasks."""
        loss, outputs = super().compute_loss(model, inputs, True, num_items_in_batch)
        if model.training and self.bare_model.config.label_tasks:
            self.collect(outputs["losses"], outputs["num_labels"])
        return (loss, outputs) if return_outputs else loss

    def collect(self, losses: Mapping[str, Tensor], num_labels: Mapping[str, Tensor]) -> None:
        """Add the mean losses of a batch to the sums, each with its number of labels."""
        for task, mean in losses.items():
            count = num_labels[task].to(mean)
            found = torch.stack([mean * count, count])
            self.task_sums[task] = self.task_sums[task] + found if task in self.task_sums else found

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Log, and add the mean loss of each task to an entry with the loss of training."""
        if "loss" in logs and self.task_sums:
            sums = self.accelerator.reduce(self.task_sums)
            logs |= {f"loss_{task}": float(total / count) for task, (total, count) in sums.items() if count}
            self.task_sums = {}
        super().log(logs, *args, **kwargs)

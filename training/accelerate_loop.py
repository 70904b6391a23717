"""The same training as a bare Accelerate loop, to copy and change.

It trains the same model to the same losses as `SequentialTrainer`, in one process or several, but without checkpoints,
early stopping and logging. `Recommender(model, tokenizer, items, features=features).save_pretrained(folder)` saves the
model with its vocabulary, catalogue and item features.
"""

from collections.abc import Callable
from contextlib import nullcontext
from itertools import islice
from math import ceil
from typing import Any

import torch
from accelerate import Accelerator
from datasets import Dataset
from torch.utils.data import DataLoader
from tqdm.auto import tqdm
from transformers import get_scheduler, set_seed

from seqrec.configuration.task_entries import NEXT_ITEM_TASK
from seqrec.interactions.collators import MaskedItemCollator, NextItemCollator
from seqrec.interactions.histories import Histories, as_histories
from seqrec.interactions.required_labels import require_labels
from seqrec.interactions.required_times import require_seconds
from seqrec.modeling.modeling_next_item import NextItemHead
from seqrec.modeling.task_losses import count_labels
from seqrec.search.finite import require_finite_weights
from seqrec.training.terminal import can_show_bars
from seqrec.training.training_events import set_training_events
from seqrec.training.weight_average import WeightAverage

__all__ = ["train_with_accelerate"]

MAX_GRADIENT_NORM = 1.0  # as in transformers.TrainingArguments


def train_with_accelerate(
    model: NextItemHead,
    train_dataset: Histories | Dataset,
    collator: NextItemCollator | MaskedItemCollator,
    *,
    num_epochs: int = 50,
    batch_size: int = 64,
    learning_rate: float = 1e-3,
    gradient_accumulation_steps: int = 1,
    ema_decay: float = 0.0,
    seed: int = 42,
    accelerator: Accelerator | None = None,
    after_epoch: Callable[[int, float], None] | None = None,
) -> NextItemHead:
    """Train a model in place.

    Args:
        model: Any `seqrec` model with its head.
        train_dataset: Training histories, oldest event first, with the columns that the collator reads.
        collator: Makes the batches.
        num_epochs: Passes over the histories.
        batch_size: Histories per batch and process.
        learning_rate: Initial learning rate of AdamW; it decays linearly to 0.
        gradient_accumulation_steps: Batches per optimizer step.
        ema_decay: Decay of the average of the weights that is left in the model, and in it during `after_epoch`; 0 for
            the weights themselves.
        seed: Seed of the order of the histories, and of dropout.
        accelerator: Devices and precision; the default one if None.
        after_epoch: Called with the epoch (from 1) and its mean loss, to validate or to save.

    Returns:
        The model, unwrapped.

    Raises:
        InputError: If the histories lack a column, or the model reads times and the timestamps are none.
        NonFiniteError: If the loss or a weight becomes infinite or NaN.
    """
    set_seed(seed)
    accelerator = accelerator or Accelerator()
    rows: Any = as_histories(train_dataset, collator.data_columns)
    require_labels(rows, model.config.label_tasks, model.config.rating_scale)
    require_seconds(rows, collator.columns)
    set_training_events(model, rows)
    loader = DataLoader(
        rows, batch_size, shuffle=True, collate_fn=collator, generator=torch.Generator().manual_seed(seed)
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.0)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    average = WeightAverage(accelerator.unwrap_model(model), ema_decay) if ema_decay else None
    num_steps = num_epochs * ceil(len(loader) / gradient_accumulation_steps)
    scheduler = get_scheduler("linear", optimizer, num_warmup_steps=0, num_training_steps=num_steps)
    is_shown = accelerator.is_main_process and can_show_bars()
    for epoch in tqdm(range(1, num_epochs + 1), desc="Training", disable=not is_shown, dynamic_ncols=True, leave=False):
        if isinstance(collator, MaskedItemCollator):
            collator.set_epoch(epoch - 1)
        mean_loss = train_epoch(accelerator, model, loader, optimizer, scheduler, gradient_accumulation_steps, average)
        require_finite_weights(accelerator.unwrap_model(model).named_parameters())
        if after_epoch is not None:
            with average.applied() if average else nullcontext():
                after_epoch(epoch, mean_loss)
    if average:
        average.apply()
    return accelerator.unwrap_model(model)


def train_epoch(
    accelerator: Accelerator,
    model: torch.nn.Module,
    loader: DataLoader,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
    gradient_accumulation_steps: int,
    average: WeightAverage | None = None,
) -> float:
    """Train for one epoch; return the mean loss of the steps that have labels."""
    model.train()
    label_tasks = accelerator.unwrap_model(model).config.label_tasks
    losses = []
    batches = iter(loader)
    while group := list(islice(batches, gradient_accumulation_steps)):
        # Each task's loss is divided by the number of its labels in the whole step, over all batches and processes.
        num_labels = {task: accelerator.reduce(n) for task, n in count_labels(group, label_tasks).items()}
        step_loss = 0.0
        for number, batch in enumerate(group, start=1):
            with nullcontext() if number == len(group) else accelerator.no_sync(model):
                totals = {"num_items_in_batch": num_labels[NEXT_ITEM_TASK], "num_items_by_task": num_labels}
                loss = model(**batch, **totals).loss
                accelerator.backward(loss * accelerator.num_processes)  # gradients are averaged over processes
            step_loss += accelerator.reduce(loss.detach()).item()
        accelerator.clip_grad_norm_(model.parameters(), MAX_GRADIENT_NORM)
        has_labels = any(num_labels.values())
        if not has_labels:
            optimizer.zero_grad()  # without gradients, not even the optimizer's momentum changes a weight
        optimizer.step()
        if average:
            average.update()
        scheduler.step()
        optimizer.zero_grad()
        if has_labels:
            losses.append(step_loss)
    return sum(losses) / max(1, len(losses))

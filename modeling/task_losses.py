"""The losses of several tasks, each averaged over its own labels.

Shape suffixes: B batch, L length, D hidden size, N events with a label, I impressions, K impressions per row.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from seqrec.configuration.task_entries import NEXT_ITEM_TASK
from seqrec.errors import InputError
from seqrec.interactions.label_names import CLICK, RATING, labels_key
from seqrec.interactions.special_tokens import IGNORED_LABEL, PAD_ID
from seqrec.modeling.losses import must_reach_every_weight
from seqrec.modeling.task_heads import TaskHead, TaskHeads

__all__ = [
    "IMPRESSION_IDS",
    "IMPRESSION_POSITIONS",
    "TaskLoss",
    "count_labels",
    "impressions_of",
    "label_losses",
    "labels_of",
    "totals_of",
    "weighted_sum",
]

IMPRESSION_IDS = "impression_ids"
IMPRESSION_POSITIONS = "impression_positions"


class TaskLoss(NamedTuple):
    """The loss of one task, summed over its labels, and their number."""

    summed: Tensor
    num_labels: Tensor

    def mean(self) -> Tensor:
        """Average the loss, detached from the graph; 0 without labels."""
        return self.summed.detach() / self.num_labels.clamp(min=1)


class Events(NamedTuple):
    """Items, and the state of their users before them."""

    users_ND: Tensor
    items_ND: Tensor
    ids_N: Tensor

    def where(self, is_chosen_N: Tensor) -> "Events":
        """Select some of the events."""
        return self if is_chosen_N.all() else Events(*(values[is_chosen_N] for values in self))


def count_labels(batches: Iterable[Mapping[str, Tensor]], label_tasks: Iterable[str]) -> dict[str, Tensor]:
    """Count the labels of each task in the batches of one step, for `num_items_by_task` of `NextItemHead.forward`.

    Args:
        batches: Training batches.
        label_tasks: The tasks other than the next item.
    """
    batches = list(batches)
    counts = {NEXT_ITEM_TASK: sum_of((batch["labels"] != IGNORED_LABEL).sum() for batch in batches)}
    for task in label_tasks:
        counts[task] = sum_of((~required_labels(batch, task).isnan()).sum() for batch in batches)
        if task == CLICK:
            shown = [(batch[IMPRESSION_IDS] != PAD_ID).sum() for batch in batches if IMPRESSION_IDS in batch]
            counts[task] = sum_of([counts[task], *shown])
    return counts


def sum_of(counts: Iterable[Tensor]) -> Tensor:
    """Sum numbers."""
    return torch.stack([*counts]).sum()


def labels_of(columns: dict[str, Any], label_tasks: Iterable[str]) -> dict[str, Tensor]:
    """Take the labels of all tasks out of the arguments of a model.

    Raises:
        InputError: If some are missing.
    """
    found = {task: required_labels(columns, task) for task in label_tasks}
    for task in found:
        del columns[labels_key(task)]
    return found


def required_labels(batch: Mapping[str, Any], task: str) -> Tensor:
    """Return the labels of a task in a batch.

    Raises:
        InputError: If they are missing.
    """
    name = labels_key(task)
    if batch.get(name) is None:
        raise InputError(
            f"The model predicts {task!r}, but its labels were not given. Pass {name}=, a tensor (B, L) with NaN for "
            "none; training_collator(model, tokenizer) makes it."
        )
    return batch[name]


def impressions_of(columns: dict[str, Any]) -> tuple[Tensor, Tensor] | None:
    """Take impressions, if any, out of the arguments of a model; see `label_losses`."""
    ids_BK, positions_BK = columns.pop(IMPRESSION_IDS, None), columns.pop(IMPRESSION_POSITIONS, None)
    return None if ids_BK is None or positions_BK is None else (ids_BK, positions_BK)


def label_losses(
    heads: TaskHeads,
    backbone: Any,
    hidden_BLD: Tensor,
    labels_BL: Tensor,
    outcomes: Mapping[str, Tensor],
    impressions: tuple[Tensor, Tensor] | None = None,
) -> dict[str, TaskLoss]:
    """Compute the loss of each task but the next item, at positions that have a label only.

    Args:
        heads: The heads.
        backbone: The backbone, whose item vectors the heads read.
        hidden_BLD: Hidden states before the events.
        labels_BL: The events' items.
        outcomes: The events' labels (B, L) of each task; NaN for none.
        impressions: Token ids (B, K) of items that were shown and not clicked, `PAD_ID` for none, and the positions in
            the row of their users' states.
    """
    is_item_BL = labels_BL != IGNORED_LABEL
    known = {task: ~labels_BL.isnan() & is_item_BL for task, labels_BL in outcomes.items()}
    is_any_BL = torch.stack([*known.values()]).any(dim=0)
    events = events_of(backbone, hidden_BLD[is_any_BL], labels_BL[is_any_BL])
    found = {}
    for task, head in heads.items():
        chosen = events.where(known[task][is_any_BL])
        labels_N = heads.share_of(task, outcomes[task][known[task]].float())
        if task == CLICK and impressions is not None:
            chosen, labels_N = with_impressions(backbone, hidden_BLD, chosen, labels_N, *impressions)
        if len(labels_N):
            summed = summed_loss(task, head(*chosen), labels_N)
        else:
            summed = loss_of_nothing(head, backbone, hidden_BLD)
        found[task] = TaskLoss(summed, torch.tensor(len(labels_N), device=summed.device))
    return found


def events_of(backbone: Any, hidden_ND: Tensor, ids_N: Tensor) -> Events:
    """Return events whose users have these hidden states."""
    users_ND, _ = backbone.split_users(backbone.as_users(hidden_ND))
    return Events(users_ND, backbone.item_vectors(ids_N), ids_N)


def with_impressions(
    backbone: Any, hidden_BLD: Tensor, clicks: Events, labels_N: Tensor, ids_BK: Tensor, positions_BK: Tensor
) -> tuple[Events, Tensor]:
    """Add impressions, with the label 0, to events and their labels."""
    rows_I, places_I = (ids_BK != PAD_ID).nonzero(as_tuple=True)
    hidden_ID = hidden_BLD[rows_I, positions_BK[rows_I, places_I]]
    shown = events_of(backbone, hidden_ID, ids_BK[rows_I, places_I])
    events = Events(*(torch.cat(values) for values in zip(clicks, shown, strict=True)))
    return events, nn.functional.pad(labels_N, (0, len(rows_I)))


def summed_loss(task: str, logits_N: Tensor, labels_N: Tensor) -> Tensor:
    """Sum the squared error of ratings on a scale from 0 to 1, or the cross-entropy of a binary outcome."""
    if task == RATING:
        return nn.functional.mse_loss(logits_N.sigmoid(), labels_N, reduction="sum")
    return nn.functional.binary_cross_entropy_with_logits(logits_N, labels_N, reduction="sum")


def loss_of_nothing(head: TaskHead, backbone: Any, hidden_BLD: Tensor) -> Tensor:
    """Return the loss of a task without labels: 0, which gives no weight a gradient unless every weight needs one."""
    if not must_reach_every_weight(hidden_BLD.device.type):
        return hidden_BLD.new_zeros((), dtype=torch.float32)
    some_id_1 = torch.full((1,), PAD_ID, device=hidden_BLD.device)
    return (head(*events_of(backbone, hidden_BLD[0, :1], some_id_1)) * 0).sum()


def totals_of(
    losses: Mapping[str, TaskLoss],
    num_items_in_batch: Tensor | int | None,
    num_items_by_task: Mapping[str, Tensor] | None,
) -> Mapping[str, Any]:
    """Return the numbers by which the summed losses are divided.

    If only the number of next items in the whole step is known, as in `transformers.Trainer`, each task's mean loss of
    this batch counts in proportion to the next items of the batch.

    Args:
        losses: The losses of this batch.
        num_items_in_batch: Number of next items to predict in the whole accumulated or distributed batch, if known.
        num_items_by_task: Number of labels of each task in it, if known.
    """
    if num_items_by_task is not None:
        return num_items_by_task
    if num_items_in_batch is None:
        return {task: loss.num_labels for task, loss in losses.items()}
    batches = num_items_in_batch / losses[NEXT_ITEM_TASK].num_labels.clamp(min=1)
    return {task: loss.num_labels * batches for task, loss in losses.items()}


def weighted_sum(heads: TaskHeads, config: Any, losses: Mapping[str, TaskLoss], totals: Mapping[str, Any]) -> Tensor:
    """Weight and sum the mean losses of all tasks; tasks without labels do not count.

    A task's loss l is multiplied by its weight or, if weights are learned, has the term exp(−s) l + s / 2 with its
    log-variance s; that of ratings, exp(−s) l / 2 + s / 2 (Kendall et al. 2018, equations 7 and 10).

    Args:
        heads: The heads.
        config: The model's configuration.
        losses: The losses of this batch.
        totals: See `totals_of`.
    """
    is_learned = config.task_weighting == "learned"
    terms = []
    for place, task in enumerate(config.tasks):
        loss = losses[task]
        if not loss.num_labels:
            terms.append(loss.summed)
            continue
        mean = loss.summed / totals[task]
        if is_learned:
            log_variance = heads.log_variances_T[place]
            factor = 0.5 if task == RATING else 1.0
            share = loss.num_labels / totals[task]  # of this batch in the step
            terms.append(factor * torch.exp(-log_variance) * mean + 0.5 * log_variance * share)
        else:
            terms.append(config.task_weights.get(task, 1.0) * mean)
    if is_learned and must_reach_every_weight(heads.log_variances_T.device.type):
        terms.append((heads.log_variances_T * 0).sum())
    return torch.stack(terms).sum()

"""Heads that predict outcomes of events, such as ratings and clicks, for users and candidate items.

Shape suffixes: D hidden size, T tasks; … any shape of users and items.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import initialization

from seqrec.errors import InputError
from seqrec.interactions.label_names import RATING

__all__ = ["TaskHead", "TaskHeads"]

EPSILON = 1e-5  # of the scaling of vectors
MOST_EXTREME = 1e-4  # distance of initial means from the ends of their range


class TaskHead(nn.Module):
    """Predict one outcome from a user's state before an event, and the event's item.

    With user vector u and item vector v, each scaled to a root mean square of 1, and with the item's id i,

        logit = w · gelu(U u + V v + P (u ⊙ v) + c) + a · u + b · v + bias_i + bias

    A binary outcome has the probability σ(slope · logit + shift), where slope and shift are 1 and 0 until
    `TaskHeads.set_calibration` is called; a rating is low + (high − low) · σ(logit).

    Attributes:
        calibration: The slope and the shift.
    """

    calibration: Tensor

    def __init__(self, config: Any) -> None:
        super().__init__()
        size, inner = config.hidden_size, max(1, config.hidden_size // 2)
        self.dropout = nn.Dropout(config.hidden_dropout)
        self.user = nn.Linear(size, inner)
        self.item = nn.Linear(size, inner, bias=False)
        self.product = nn.Linear(size, inner, bias=False)
        self.output = nn.Linear(inner, 1)
        self.user_bias = nn.Linear(size, 1, bias=False)
        self.item_bias = nn.Linear(size, 1, bias=False)
        self.id_bias = nn.Embedding(config.vocab_size, 1)
        self.register_buffer("calibration", torch.tensor([1.0, 0.0]))

    def reset_parameters(self) -> None:
        """Set the initial weights: all predictions are equal."""
        for module in (self.output, self.user_bias, self.item_bias, self.id_bias):
            initialization.zeros_(module.weight)

    def forward(self, users: Tensor, items: Tensor, ids: Tensor) -> Tensor:
        """Return logits (…), float32, of users (…, D) and items (…, D) with token ids (…).

        Users may have fewer rows than items, and are then broadcast.
        """
        users, items = scaled(users), scaled(items)
        users, items = self.dropout(users), self.dropout(items)
        inner = self.user(users) + self.item(items) + self.product(users * items)
        inner = self.dropout(nn.functional.gelu(inner))
        logits = self.output(inner) + self.user_bias(users) + self.item_bias(items)
        return (logits + self.id_bias(ids)).squeeze(-1).float()

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return calibrated probabilities."""
        slope, shift = self.calibration.float()
        return torch.sigmoid(slope * logits + shift)

    @torch.no_grad()
    def resize(self, vocab_size: int) -> None:
        """Change the number of token ids; new ones come last, with a bias of 0."""
        old = self.id_bias
        if vocab_size == old.num_embeddings:
            return
        kept = old.weight[:vocab_size]
        weight = nn.functional.pad(kept, (0, 0, 0, vocab_size - len(kept)))
        self.id_bias = nn.Embedding(vocab_size, 1, _weight=weight, sparse=old.sparse)


class TaskHeads(nn.Module):
    """The heads of all tasks but the next item.

    Attributes:
        scale: The lowest and the highest rating, if there are ratings.
        heads: The heads by task.
        log_variances_T: The learned uncertainty of each task, in the order of `config.tasks`; see `weighted_sum`.

    Raises:
        InputError: If ratings have no scale, or a task has a name that a module cannot have.
    """

    log_variances_T: Tensor

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.scale: tuple[float, float] | None = None
        if RATING in config.label_tasks:
            if config.rating_scale is None:
                raise InputError("The task 'rating' needs a scale. Set rating_scale, such as [1, 5].")
            self.scale = (config.rating_scale[0], config.rating_scale[1])
        for task in config.label_tasks:
            if hasattr(nn.ModuleDict, task):
                raise InputError(f"A task cannot be called {task!r}. Rename its column.")
        self.heads = nn.ModuleDict({task: TaskHead(config) for task in config.label_tasks})
        log_variances_T = torch.zeros(len(config.tasks))
        if config.task_weighting == "learned":
            self.log_variances_T = nn.Parameter(log_variances_T)
        else:  # kept, as fine-tuning may weight the tasks in the other way
            self.register_buffer("log_variances_T", log_variances_T)

    def items(self) -> Iterator[tuple[str, TaskHead]]:
        """List the tasks and their heads."""
        for task, head in self.heads.items():
            assert isinstance(head, TaskHead)
            yield task, head

    def resize(self, vocab_size: int) -> None:
        """Change the number of token ids; new ones come last."""
        for _, head in self.items():
            head.resize(vocab_size)

    def binary_head(self, task: str) -> TaskHead:
        """Return the head of a binary task.

        Raises:
            InputError: If there is none.
        """
        binary = {name: head for name, head in self.items() if name != RATING}
        if task not in binary:
            raise InputError(f"{task!r} is not a binary task of the model, which has {', '.join(binary) or 'none'}.")
        return binary[task]

    @torch.no_grad()
    def set_label_means(self, means: Mapping[str, float], item_means: Mapping[str, np.ndarray]) -> None:
        """Let untrained heads predict the mean of each task's labels, or of each item's (V,).

        Raises:
            InputError: If the model lacks a task.
        """
        heads = dict(self.items())
        for task, mean in means.items():
            if task not in heads:
                raise InputError(f"The model does not predict {task!r}, only {', '.join(heads)}.")
            bias = self.logit_of(task, torch.tensor(mean))
            heads[task].output.bias.copy_(bias)
            if task in item_means:
                weight = heads[task].id_bias.weight
                weight[:, 0] = (self.logit_of(task, torch.as_tensor(item_means[task])) - bias).to(weight)

    def logit_of(self, task: str, labels: Tensor) -> Tensor:
        """Return the logits that mean labels have."""
        return self.share_of(task, labels).clamp(MOST_EXTREME, 1 - MOST_EXTREME).logit()

    def share_of(self, task: str, labels: Any) -> Any:
        """Return labels as numbers from 0 to 1."""
        if task != RATING:
            return labels
        assert self.scale is not None
        low, high = self.scale
        return (labels - low) / (high - low)

    def logits(self, users: Tensor, items: Tensor, ids: Tensor) -> dict[str, Tensor]:
        """Return the logits of each task; for arguments, see `TaskHead.forward`."""
        return {task: head(users, items, ids) for task, head in self.items()}

    def predictions(self, logits: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Turn logits into ratings on their scale, and calibrated probabilities."""
        found = {}
        for task, head in self.items():
            if task == RATING:
                assert self.scale is not None
                low, high = self.scale
                found[task] = (low + (high - low) * torch.sigmoid(logits[task])).clamp(low, high)
            else:
                found[task] = head.probabilities(logits[task])
        return found


def scaled(vectors: Tensor) -> Tensor:
    """Scale vectors (…, D) to a root mean square of 1."""
    return nn.functional.rms_norm(vectors, vectors.shape[-1:], eps=EPSILON)

"""A callback that pauses `transformers.Trainer` between turns and counts its targets."""

import tempfile
from typing import Any

import torch
from protocol import Gate
from torch import nn
from transformers import TrainerCallback

# Nothing but training: no evaluation, no checkpoints, no logging.
ONLY_TRAINING = {
    "max_steps": 10**6,
    "learning_rate": 1e-3,
    "eval_strategy": "no",
    "save_strategy": "no",
    "logging_strategy": "no",
    "report_to": "none",
    "disable_tqdm": True,
    "seed": 42,
}


def output_folder() -> str:
    """Return a folder for a Trainer that requires one; nothing is written to it."""
    return tempfile.gettempdir()


class GateCallback(TrainerCallback):
    """Ends a turn when its steps are done.

    Args:
        gate: Where turns come from.
        model: The model in training.
        shifted: Whether the model itself shifts the labels, so that a row's first label is never a target.
    """

    def __init__(self, gate: Gate, model: nn.Module, *, shifted: bool = False) -> None:
        self.gate = gate
        self.first_target = 1 if shifted else 0
        self.num_targets = 0
        model.register_forward_pre_hook(self.count, with_kwargs=True)

    def count(self, model: nn.Module, args: tuple, kwargs: dict[str, torch.Tensor]) -> None:
        """Count a batch's labels, except padding."""
        self.num_targets = int((kwargs["labels"][:, self.first_target :] != -100).sum())

    def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
        """Hold before the first step."""
        self.gate.open()

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        """Count the step."""
        self.gate.pass_step(self.num_targets)

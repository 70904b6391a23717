"""An exponential moving average of the weights, which is validated and saved in their place."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from seqrec.errors import SavedFolderError

__all__ = ["AveragedWeights", "WeightAverage"]

RAW_WEIGHTS = "raw_weights.safetensors"  # in a checkpoint, whose model has the averages
NUM_UPDATES = "num_updates"


class WeightAverage:
    r"""The average $a_t = d_t a_{t-1} + (1 - d_t) w_t$ of a model's weights over the steps t, from 0.

    The decay $d_t = \min(d, (1 + t) / (10 + t))$ is low at first (as in TensorFlow's `ExponentialMovingAverage`), so
    that the initial weights are soon forgotten. Averages are in float32 at least.

    Args:
        model: The model, whose trainable weights are averaged.
        decay: The decay d, from 0 to 1.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay, self.num_updates = decay, 0
        self.parameters = {name: one for name, one in model.named_parameters() if one.requires_grad}
        self.averages = [
            one.detach().clone().to(torch.promote_types(one.dtype, torch.float32)) for one in self.parameters.values()
        ]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights after a step."""
        decay = min(self.decay, (1 + self.num_updates) / (10 + self.num_updates))
        self.num_updates += 1
        weights = [
            one.detach().to(average.dtype) for one, average in zip(self.parameters.values(), self.averages, strict=True)
        ]
        torch._foreach_lerp_(self.averages, weights, 1 - decay)

    @torch.no_grad()
    def apply(self) -> None:
        """Give the averages to the model."""
        torch._foreach_copy_(list(self.parameters.values()), self.averages)

    @contextmanager
    def applied(self) -> Iterator[dict[str, Tensor]]:
        """Give the averages to the model for a while; yield the weights, which it then gets back."""
        weights = {name: one.detach().clone() for name, one in self.parameters.items()}
        self.apply()
        try:
            yield weights
        finally:
            with torch.no_grad():
                torch._foreach_copy_(list(self.parameters.values()), list(weights.values()))

    @torch.no_grad()
    def resume(self, checkpoint: Path) -> None:
        """Continue from a checkpoint, given a model with the weights in it, which are the averages.

        Raises:
            SavedFolderError: If the checkpoint lacks the weights themselves.
        """
        path = checkpoint / RAW_WEIGHTS
        if not path.is_file():
            raise SavedFolderError(
                f"{checkpoint} is not complete: {RAW_WEIGHTS} is missing. Resume from another checkpoint, or start "
                "a new training."
            )
        torch._foreach_copy_(self.averages, [one.detach() for one in self.parameters.values()])
        with safe_open(path, framework="pt") as file:
            self.num_updates = int(file.metadata()[NUM_UPDATES])
            for name, one in self.parameters.items():
                one.copy_(file.get_tensor(name))


class AveragedWeights(TrainerCallback):
    """Averages the weights of a training.

    Attributes:
        average: The average; None outside a training.
        resumed: The checkpoint that the training resumes from, if any.
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self.resumed: Path | None = None
        self.average: WeightAverage | None = None
        self.weights: dict[str, Tensor] | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Begin with the weights of the model, or those of the checkpoint."""
        self.average = WeightAverage(kwargs["model"], self.decay)
        if self.resumed is not None:
            self.average.resume(self.resumed)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Take in the weights of a step."""
        assert self.average is not None
        self.average.update()

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Leave the averages in the model, unless that has the best checkpoint's, which are averages too."""
        assert self.average is not None
        if not args.load_best_model_at_end or state.best_model_checkpoint is None:
            self.average.apply()
        self.average = None

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Give the averages to the model while it is evaluated and saved."""
        if self.average is None:
            yield
            return
        with self.average.applied() as self.weights:
            yield
        self.weights = None

    def save(self, checkpoint: Path) -> None:
        """Save the weights, for resuming, into a checkpoint of the averages."""
        if self.average is not None and self.weights is not None:
            weights = {name: one.contiguous() for name, one in self.weights.items()}
            save_file(weights, checkpoint / RAW_WEIGHTS, metadata={NUM_UPDATES: str(self.average.num_updates)})

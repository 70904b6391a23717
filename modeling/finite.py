"""Refuse numbers that are not finite, where they would be trained on or saved in silence."""

from collections.abc import Iterable

import torch
from torch import Tensor


class NonFiniteError(ValueError):
    """A loss or a weight is infinite or not a number."""


def require_finite_loss(loss: Tensor) -> None:
    """Raise a `NonFiniteError` for a loss that is infinite or not a number."""
    if torch.compiler.is_compiling() or bool(loss.isfinite()):
        return
    raise NonFiniteError(
        f"The loss is {loss.item()}: the training has diverged. Use a lower learning rate, or a smaller max_grad_norm."
    )


def require_finite_weights(named_weights: Iterable[tuple[str, Tensor]]) -> None:
    """Raise a `NonFiniteError` if a weight is infinite or not a number."""
    for name, weight in named_weights:
        if weight.is_floating_point() and not weight.is_meta and not bool(weight.isfinite().all()):
            count = int((~weight.isfinite()).sum())
            raise NonFiniteError(
                f"{count} of {weight.numel()} numbers in the weight {name} are infinite or not a number. Train the "
                "model again with a lower learning rate, or go back to weights that were saved before."
            )

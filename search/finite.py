"""Refuse numbers that are not finite, before they are silently used in training, saved or served."""

from collections.abc import Iterable

import torch
from torch import Tensor

from seqrec.errors import NonFiniteError

__all__ = ["require_finite", "require_finite_loss", "require_finite_weights"]


def is_finite(numbers: Tensor) -> bool:
    """Return whether all numbers are finite, in one pass without allocation: NaN and infinity survive min and max."""
    return not numbers.numel() or bool(torch.stack(numbers.aminmax()).isfinite().all())


def require_finite_loss(loss: Tensor) -> None:
    """Raise a `NonFiniteError` if a loss is infinite or NaN."""
    if not torch.compiler.is_compiling() and not is_finite(loss):
        raise NonFiniteError(
            f"The loss is {loss.item()}: training has diverged. Use a lower learning rate or a smaller max_grad_norm."
        )


def require_finite_weights(named_weights: Iterable[tuple[str, Tensor]], *, where: str = "the model") -> None:
    """Raise a `NonFiniteError` that names the first weight with NaN or infinite numbers.

    Args:
        named_weights: Names and weights, such as `state_dict().items()`.
        where: Owner of the weights, for the message.
    """
    for name, weight in named_weights:
        if weight.is_floating_point() and not weight.is_meta and not is_finite(weight.detach()):
            raise NonFiniteError(
                f"The weight {name} of {where} holds NaN or infinite numbers. Its training diverged or the weights "
                "were damaged: train with a lower learning rate, or use an earlier checkpoint."
            )


def require_finite(vectors: Tensor, *, what: str) -> Tensor:
    """Return the vectors if all their numbers are finite.

    Args:
        vectors: Numbers of any shape.
        what: Name of the vectors, for the message: "Scores", …

    Raises:
        NonFiniteError: If a number is NaN or infinite.
    """
    if not is_finite(vectors):
        raise NonFiniteError(
            f"{what} of the model hold NaN or infinite numbers, so it cannot recommend. Its training diverged or its "
            "weights were damaged: train it again, or load an earlier checkpoint."
        )
    return vectors

"""AdamW that updates only those rows of an embedding that a step touched."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn


class LazyAdamW(torch.optim.AdamW):
    """`torch.optim.AdamW` that also takes sparse gradients, as an `Embedding(sparse=True)` gives them.

    Of a parameter with a sparse gradient only the touched rows are updated: their moments, their decay, their
    values. A step then costs what it touched, not what the catalogue holds. It is the lazy variant of Adam that
    `torch.optim.SparseAdam` has, with decoupled weight decay, and in one optimizer with the dense parameters.
    The bias correction counts all steps, not those of a row.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """Update all parameters that have a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None and parameter.grad.is_sparse:
                    update_rows(parameter, self.state[parameter], group)
                    parameter.grad = None  # the dense update passes it by
        return super().step(closure)


def update_rows(parameter: Tensor, state: dict[str, Tensor], group: dict[str, Any]) -> None:
    """Take one step of AdamW (Loshchilov & Hutter 2019, algorithm 2) on the rows that have a gradient."""
    if not state:
        state["step"] = torch.zeros((), dtype=torch.float32)
        state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
    state["step"] += 1
    step, learning_rate, (beta1, beta2) = state["step"].item(), float(group["lr"]), group["betas"]
    gradient = parameter.grad.coalesce()  # type: ignore[union-attr]  # the caller has looked
    rows, values = gradient.indices()[0], gradient.values()
    average = state["exp_avg"][rows].lerp_(values, 1 - beta1)
    square = state["exp_avg_sq"][rows].mul_(beta2).addcmul_(values, values, value=1 - beta2)
    state["exp_avg"][rows], state["exp_avg_sq"][rows] = average, square
    scale = (square / (1 - beta2**step)).sqrt_().add_(group["eps"])
    decayed = parameter[rows] * (1 - learning_rate * group["weight_decay"])
    parameter[rows] = decayed.addcdiv_(average, scale, value=-learning_rate / (1 - beta1**step))


@torch.no_grad()
def clip_grad_norm(parameters: Iterable[nn.Parameter], max_norm: float) -> Tensor:
    """Scale all gradients, sparse ones too, so that their norm together is at most `max_norm`.

    Returns:
        The norm as it was.
    """
    gradients = []
    for parameter in parameters:
        if parameter.grad is not None and parameter.grad.is_sparse:
            parameter.grad = parameter.grad.coalesce()  # a row that was touched twice has one gradient
            gradients.append(parameter.grad.values())
        elif parameter.grad is not None:
            gradients.append(parameter.grad)
    norm = nn.utils.get_total_norm(gradients)
    scale = (max_norm / (norm + 1e-6)).clamp(max=1)
    for gradient in gradients:
        gradient.mul_(scale)
    return norm

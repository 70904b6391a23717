"""AdamW that updates only the embedding rows used in a step."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from seqrec.search.row_shards import RowShards

__all__ = ["LazyAdamW", "clip_grad_norm"]


class LazyAdamW(torch.optim.AdamW):
    """`torch.optim.AdamW` that also accepts sparse gradients, such as those of `Embedding(sparse=True)`.

    For a parameter with a sparse gradient, only rows that have a gradient are updated: their moments, weight decay and
    values. The cost of a step then depends on the rows used, not on the size of the catalogue. This is the lazy variant
    of Adam in `torch.optim.SparseAdam`, plus decoupled weight decay and support for dense parameters in the same
    optimizer. The bias correction counts all steps, not only those that updated a row.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """Update all parameters with a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None and parameter.grad.is_sparse:
                    update_rows(parameter, self.state[parameter], group)
                    parameter.grad = None  # so that the dense update skips it
        return super().step(closure)


def update_rows(parameter: Tensor, state: dict[str, Tensor], group: dict[str, Any]) -> None:
    """Take one step of AdamW (Loshchilov & Hutter 2019, algorithm 2) on the rows that have a gradient."""
    if not state:
        state["step"] = torch.zeros((), dtype=torch.float32)
        state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
    state["step"] += 1
    step, learning_rate, (beta1, beta2) = state["step"].item(), float(group["lr"]), group["betas"]
    gradient = parameter.grad.coalesce()  # type: ignore[union-attr]  # checked by the caller
    rows, values = gradient.indices()[0], gradient.values()
    average = state["exp_avg"][rows].lerp_(values, 1 - beta1)
    square = state["exp_avg_sq"][rows].mul_(beta2).addcmul_(values, values, value=1 - beta2)
    state["exp_avg"][rows], state["exp_avg_sq"][rows] = average, square
    scale = (square / (1 - beta2**step)).sqrt_().add_(group["eps"])
    decayed = parameter[rows] * (1 - learning_rate * group["weight_decay"])
    parameter[rows] = decayed.addcdiv_(average, scale, value=-learning_rate / (1 - beta1**step))


@torch.no_grad()
def clip_grad_norm(
    parameters: Iterable[nn.Parameter],
    max_norm: float,
    table: nn.Parameter | None = None,
    shards: RowShards | None = None,
) -> Tensor:
    """Scale all gradients, including sparse ones, so that their joint norm is at most `max_norm`.

    Args:
        parameters: The parameters.
        max_norm: Largest norm allowed.
        table: The one of them of which this process holds only some rows, if any.
        shards: Which process holds which of its rows.

    Returns:
        The norm before scaling.
    """
    gradients: list[Tensor] = []
    of_table: list[Tensor] = []
    for parameter in parameters:
        if parameter.grad is None:
            continue
        if parameter.grad.is_sparse:
            parameter.grad = parameter.grad.coalesce()  # sums the gradients of a row used twice
        values = parameter.grad.values() if parameter.grad.is_sparse else parameter.grad
        (of_table if parameter is table else gradients).append(values)
    norm = nn.utils.get_total_norm(gradients)
    if shards is not None:
        squares = nn.utils.get_total_norm(of_table).to(norm).square()
        norm = (norm.square() + shards.reduce(squares)).sqrt()
    scale = (max_norm / (norm + 1e-6)).clamp(max=1)
    for gradient in gradients + of_table:
        gradient.mul_(scale)
    return norm

"""Row-wise Adagrad for the item table, which keeps one number per item instead of AdamW's two per weight.

Shape suffixes: R rows of the table that this process holds, N rows that are updated at once, D width.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from seqrec.training.lazy_adamw import LazyAdamW

__all__ = ["ROW_WISE", "RowWiseAdagrad", "move_to_own_group", "rounded_at_random"]

ROW_WISE = "is_row_wise"  # marks the group of parameters that Adagrad updates
BLOCK_NUMBERS = 2**22  # of a dense gradient that are updated at once


class RowWiseAdagrad(LazyAdamW):
    r"""`LazyAdamW` that updates a table by row-wise Adagrad, in a group with the entry `is_row_wise=True`.

    $$s_i \leftarrow s_i + \tfrac{1}{D}\lVert g_i\rVert^2 \qquad
      w_i \leftarrow (1 - \eta\lambda)\,w_i - \frac{\eta\,g_i}{\sqrt{s_i} + \epsilon}$$

    for each row i with learning rate η and weight decay λ: Adagrad with one accumulator per row, as in DLRM (Naumov et
    al. 2019) and FBGEMM (`EXACT_ROWWISE_ADAGRAD`). If the gradient is sparse, only rows that have a gradient decay.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """Update all parameters with a gradient."""
        for group in self.param_groups:
            for parameter in group["params"] if group.get(ROW_WISE) else ():
                if parameter.grad is not None:
                    update_row_wise(parameter, self.state[parameter], group)
                    parameter.grad = None  # so that AdamW skips it
        return super().step(closure)


def update_row_wise(parameter: Tensor, state: dict[str, Tensor], group: dict[str, Any]) -> None:
    """Take one step of row-wise Adagrad; see `RowWiseAdagrad`. The gradient is overwritten."""
    if not state:
        state["step"] = torch.zeros((), dtype=torch.float32)  # which AdamW expects of states that it loads
        state["row_sums"] = torch.zeros(len(parameter), dtype=torch.float32, device=parameter.device)
    state["step"] += 1
    sums_R, gradient = state["row_sums"], parameter.grad
    assert gradient is not None
    if gradient.is_sparse:
        gradient = gradient.coalesce()
        rows, values_ND = gradient.indices()[0], gradient.values()
        own_ND, sums_N = parameter[rows], sums_R[rows]
        update_block(own_ND, sums_N, values_ND, group)
        parameter[rows], sums_R[rows] = own_ND, sums_N
        return
    size = max(1, BLOCK_NUMBERS // parameter.shape[1])
    for block in zip(parameter.split(size), sums_R.split(size), gradient.split(size), strict=True):
        update_block(*block, group)


def update_block(own_ND: Tensor, sums_N: Tensor, gradient_ND: Tensor, group: dict[str, Any]) -> None:
    """Update rows and their sums in place; rows in bfloat16 are rounded up or down at random."""
    gradient_ND, rows_ND = gradient_ND.float(), own_ND.float()
    learning_rate = float(group["lr"])
    sums_N += gradient_ND.square().mean(dim=1)
    rows_ND.mul_(1 - learning_rate * group["weight_decay"])
    rows_ND.addcdiv_(gradient_ND, (sums_N.sqrt() + group["eps"])[:, None], value=-learning_rate)
    if own_ND.dtype == torch.bfloat16:
        own_ND.copy_(rounded_at_random(rows_ND))
    elif rows_ND is not own_ND:
        own_ND.copy_(rows_ND)


def rounded_at_random(values: Tensor) -> Tensor:
    """Round float32 numbers to bfloat16, up or down, so that the expected value is the number itself.

    Rounding to the nearest would lose updates smaller than 1/256 of a weight (Gupta et al. 2015). The upper 16 bits of
    a float32 are a bfloat16: random lower bits are added, then cut off.
    """
    bits = values.view(torch.int32)
    noise = torch.randint(0, 2**16, bits.shape, dtype=torch.int32, device=bits.device)
    return ((bits + noise) & -(2**16)).view(torch.float32).bfloat16()


def move_to_own_group(optimizer: Optimizer, table: nn.Parameter, **settings: Any) -> None:
    """Move a parameter into a group of its own, with other settings than those of the group that it was in.

    One without numbers, such as the table of a model without embeddings of ids, stays where it is.
    """
    if not table.numel():
        return
    for group in optimizer.param_groups:
        others = [one for one in group["params"] if one is not table]
        if len(others) < len(group["params"]):
            group["params"] = others
            optimizer.add_param_group({"params": [table], "weight_decay": group["weight_decay"], **settings})
            return

"""The sum of bounded vectors and directions, with a fast gradient.

Shape suffixes: N items, D hidden size, R rows of a block.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["EPS", "BoundedSum", "bounded_sum"]

EPS = 1e-4  # shortest length by which content is divided; its inverse fits float16
BLOCK_NUMBERS = 2**18  # of a matrix: on a CPU, some blocks of 1 MiB fit in its cache


def bounded_sum(own_ND: Tensor, content_ND: Tensor, bound: float) -> Tensor:
    """Return own · min(1, bound / |own|) + content / |content|, by rows."""
    own_N1, content_N1 = lengths(own_ND, bound), lengths(content_ND, EPS)
    return own_ND * (bound / own_N1) + content_ND / content_N1


def lengths(vectors_ND: Tensor, shortest: float) -> Tensor:
    """Return the lengths of rows (N, 1), at least `shortest`."""
    return torch.linalg.vector_norm(vectors_ND, dim=-1, keepdim=True).clamp(min=shortest)


class BoundedSum(torch.autograd.Function):
    """`bounded_sum` of matrices, with its gradient by its formula.

    Let g be the gradient of a row of the sum, and u(x) = x / |x|. Then

        d / d content = (g − u(content) · ⟨u(content), g⟩) / |content|

    and the same for own if |own| > bound, multiplied by the bound; else g. Both are computed block by block. Autograd's
    gradient passes over entire matrices many times, and on a CPU takes several times as long.
    """

    @staticmethod
    def forward(ctx: Any, own_ND: Tensor, content_ND: Tensor, bound: float) -> Tensor:
        """Return the sum (N, D)."""
        ctx.save_for_backward(own_ND, content_ND)
        ctx.bound = bound
        sum_ND = torch.empty_like(own_ND)
        for rows in blocks(own_ND):
            sum_ND[rows] = bounded_sum(own_ND[rows], content_ND[rows], bound)
        return sum_ND

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_ND: Tensor) -> tuple[Tensor, Tensor, None]:
        """Return the gradients of both."""
        own_ND, content_ND = ctx.saved_tensors
        grad_own_ND, grad_content_ND = torch.empty_like(own_ND), torch.empty_like(content_ND)
        for rows in blocks(own_ND):
            torch.mul(gradient_of_direction(own_ND[rows], grad_ND[rows], ctx.bound), ctx.bound, out=grad_own_ND[rows])
            grad_content_ND[rows] = gradient_of_direction(content_ND[rows], grad_ND[rows], EPS)
        return grad_own_ND, grad_content_ND, None


def blocks(matrix_ND: Tensor) -> Iterator[slice]:
    """Yield slices of rows: blocks that fit in a CPU's cache; all at once elsewhere."""
    num_rows, width = matrix_ND.shape
    size = max(1, BLOCK_NUMBERS // max(1, width)) if matrix_ND.device.type == "cpu" else max(1, num_rows)
    for start in range(0, num_rows, size):
        yield slice(start, start + size)


def gradient_of_direction(vectors_RD: Tensor, grad_RD: Tensor, shortest: float) -> Tensor:
    """Return the gradient of x / max(|x|, shortest), by rows."""
    vectors_RD = vectors_RD.to(grad_RD.dtype)
    lengths_R1 = torch.linalg.vector_norm(vectors_RD, dim=-1, keepdim=True)
    divisors_R1 = lengths_R1.clamp(min=shortest)
    along_R1 = (vectors_RD * grad_RD).sum(dim=-1, keepdim=True)
    along_R1 = (along_R1 / divisors_R1.square()).masked_fill_(lengths_R1 < shortest, 0)
    return torch.addcmul(grad_RD, vectors_RD, along_R1, value=-1).div_(divisors_R1)

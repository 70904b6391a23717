"""Training losses: pure functions of user vectors, item vectors and target ids.

Shape suffixes: N tokens with a label, C rows of one chunk, V vocabulary, D hidden size.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from seqrec.data.special_tokens import NUM_SPECIAL_TOKENS

CHUNK_ROWS = 256


def cross_entropy(hidden_ND: Tensor, items_VD: Tensor, labels_N: Tensor) -> Tensor:
    """Sum over tokens of −log softmax(hidden · itemsᵀ)[label], over the whole catalogue, special tokens left out.

    Computed in chunks of rows, each chunk's gradient taken while its logits are at hand, so that the (N, V)
    matrix never exists: memory is that of one chunk plus the gradients themselves. Sums, softmax and the
    accumulated gradient are float32 also under autocast.

    Args:
        hidden_ND: User vectors.
        items_VD: Item vectors; row i is token id i.
        labels_N: Target token ids, items all.

    Returns:
        A float32 scalar: the sum, not the mean, so that the caller can divide by the count of a whole
        accumulated or distributed batch.
    """
    return ChunkedCrossEntropy.apply(hidden_ND, items_VD, labels_N)


class ChunkedCrossEntropy(torch.autograd.Function):
    """`cross_entropy` with its gradient computed in the forward pass."""

    @staticmethod
    def forward(ctx: Any, hidden_ND: Tensor, items_VD: Tensor, labels_N: Tensor) -> Tensor:
        """Accumulate the loss, and the two gradients where they are wanted."""
        ctx.input_dtypes = hidden_ND.dtype, items_VD.dtype
        compute_dtype = autocast_dtype(hidden_ND)
        hidden_ND, items_VD = hidden_ND.to(compute_dtype), items_VD.to(compute_dtype)
        loss = torch.zeros((), dtype=torch.float32, device=hidden_ND.device)
        wanted = any(ctx.needs_input_grad[:2])
        grad_hidden_ND = torch.empty_like(hidden_ND) if wanted else None
        grad_items_VD = torch.zeros_like(items_VD, dtype=torch.float32) if wanted else None
        for start in range(0, len(hidden_ND), CHUNK_ROWS):
            rows = slice(start, start + CHUNK_ROWS)
            logits_CV = (hidden_ND[rows] @ items_VD.T).float()
            logits_CV[:, :NUM_SPECIAL_TOKENS] = -torch.inf
            logits_CV -= logits_CV.amax(dim=1, keepdim=True)
            labels_C1 = labels_N[rows, None]
            label_logits_C1 = logits_CV.gather(1, labels_C1)
            exp_CV = logits_CV.exp_()
            sums_C1 = exp_CV.sum(dim=1, keepdim=True)
            loss += (sums_C1.log() - label_logits_C1).sum()
            if grad_hidden_ND is None or grad_items_VD is None:
                continue
            # d loss / d logits = softmax − one-hot(label)
            grad_logits_CV = exp_CV.div_(sums_C1)
            grad_logits_CV.scatter_add_(1, labels_C1, -torch.ones_like(sums_C1))
            grad_logits_CV = grad_logits_CV.to(hidden_ND.dtype)
            grad_hidden_ND[rows] = grad_logits_CV @ items_VD
            grad_items_VD += grad_logits_CV.T @ hidden_ND[rows]
        if grad_hidden_ND is not None and grad_items_VD is not None:
            ctx.save_for_backward(grad_hidden_ND, grad_items_VD)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_loss: Tensor) -> tuple[Tensor | None, ...]:
        """Scale the stored gradients by that of the loss."""
        hidden_dtype, items_dtype = ctx.input_dtypes
        grad_hidden_ND, grad_items_VD = ctx.saved_tensors
        return (
            (grad_hidden_ND * grad_loss).to(hidden_dtype),
            (grad_items_VD * grad_loss).to(items_dtype),
            None,
        )


def autocast_dtype(tensor: Tensor) -> torch.dtype:
    """The dtype in which autocast, where it is on, would multiply this tensor."""
    device_type = tensor.device.type
    if torch.is_autocast_enabled(device_type):
        return torch.get_autocast_dtype(device_type)
    return tensor.dtype

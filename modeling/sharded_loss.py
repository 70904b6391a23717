"""Cross-entropy over a catalogue whose items are divided among processes.

Shape suffixes: N labelled tokens of this process, T those of all processes, C rows in a chunk, R items of this process,
P processes, D hidden size.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from seqrec.interactions.special_tokens import NUM_SPECIAL_TOKENS
from seqrec.modeling.losses import LOG2_E, autocast_dtype, chunk_rows
from seqrec.search.row_shards import RowShards

__all__ = ["sharded_cross_entropy"]


def sharded_cross_entropy(hidden_ND: Tensor, items_RD: Tensor, labels_N: Tensor, shards: RowShards) -> Tensor:
    """Sum over tokens of −log softmax(scores)[label], as `losses.cross_entropy` does, with the items divided.

    The processes exchange user vectors, not items: each scores the tokens of all processes against its own items. Per
    token, they also exchange the largest score, the sum of the exponentials and the label's score, from which each
    knows the softmax over the whole catalogue (as the vocabulary-parallel cross-entropy of Megatron-LM, Shoeybi et al.
    2019, section 3). The gradient is exact. Per step and process, 2·T·D numbers are sent, however many items there are.

    The gradient with respect to the items is the mean over processes, as `DistributedDataParallel` averages that of the
    other weights. All processes must weight their losses equally: divide them by the tokens of the whole batch.

    Args:
        hidden_ND: User vectors of this process, which may have none.
        items_RD: Item vectors that this process holds.
        labels_N: Target token ids, all of them items.
        shards: Which process holds which items.

    Returns:
        A float32 scalar: the sum over this process's tokens.
    """
    return ShardedCrossEntropy.apply(hidden_ND, items_RD, labels_N, shards)


class ShardedCrossEntropy(torch.autograd.Function):
    """`sharded_cross_entropy` with its gradient computed in the forward pass; see `losses.ChunkedCrossEntropy`.

    With the scores z of one process's items, m_p = max z and s_p = Σ 2^((z − m_p)·log₂e), the softmax over all items is

        2^((z − m_p)·log₂e) · 2^((m_p − m)·log₂e) / s        m = max m_p,  s = Σ s_p · 2^((m_p − m)·log₂e)
    """

    @staticmethod
    def forward(ctx: Any, hidden_ND: Tensor, items_RD: Tensor, labels_N: Tensor, shards: RowShards) -> Tensor:
        """Accumulate the loss, and the gradients if needed."""
        ctx.input_dtypes, ctx.num_processes = (hidden_ND.dtype, items_RD.dtype), shards.num_processes
        compute_dtype = autocast_dtype(hidden_ND)
        hidden_TD, counts = shards.gather_rows(hidden_ND)
        labels_T, _ = shards.gather_rows(labels_N)
        scaled_TD = (hidden_TD * LOG2_E).to(compute_dtype)
        hidden_TD, items_RD = hidden_TD.to(compute_dtype), items_RD.to(compute_dtype)
        wanted = any(ctx.needs_input_grad)
        losses_T = torch.zeros(len(hidden_TD), dtype=torch.float32, device=hidden_ND.device)
        grad_hidden_TD = torch.zeros_like(hidden_TD) if wanted else None
        grad_items_RD = torch.zeros_like(items_RD, dtype=torch.float32) if wanted else None
        num_rows = chunk_rows(shards.rows_each, hidden_ND.device)  # the same in all processes
        for start in range(0, len(hidden_TD), num_rows):
            rows = slice(start, start + num_rows)
            logits_CR = (scaled_TD[rows] @ items_RD.T).float()
            logits_CR[:, : max(0, NUM_SPECIAL_TOKENS - shards.first)] = -torch.inf
            held_C, places_C = own_labels(labels_T[rows], shards)
            exp_CR, losses_T[rows], factors_C = normalise(logits_CR, held_C, places_C, shards)
            if grad_hidden_TD is None or grad_items_RD is None:
                continue
            grad_CR = exp_CR.mul_(factors_C[:, None])
            grad_CR[held_C, places_C] -= 1
            grad_CR = grad_CR.to(compute_dtype)
            grad_hidden_TD[rows] = grad_CR @ items_RD
            grad_items_RD += grad_CR.T @ hidden_TD[rows]
        if grad_hidden_TD is not None and grad_items_RD is not None:
            ctx.save_for_backward(shards.sum_rows(grad_hidden_TD.float(), counts), grad_items_RD)
        return losses_T.split(counts)[shards.index].sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_loss: Tensor) -> tuple[Tensor | None, ...]:
        """Scale the stored gradients by the gradient of the loss."""
        hidden_dtype, items_dtype = ctx.input_dtypes
        grad_hidden_ND, grad_items_RD = ctx.saved_tensors
        return (
            (grad_hidden_ND * grad_loss).to(hidden_dtype),
            (grad_items_RD * (grad_loss / ctx.num_processes)).to(items_dtype),
            None,
            None,
        )


def own_labels(labels_C: Tensor, shards: RowShards) -> tuple[Tensor, Tensor]:
    """Return which tokens have a label that this process holds, and where in its items these labels are."""
    held_C = ((labels_C >= shards.first) & (labels_C < shards.stop)).nonzero().squeeze(1)
    return held_C, labels_C[held_C] - shards.first


def normalise(logits_CR: Tensor, held_C: Tensor, places_C: Tensor, shards: RowShards) -> tuple[Tensor, Tensor, Tensor]:
    """Exponentiate a chunk's logits in place, and normalise them over the items of all processes.

    Args:
        logits_CR: Logits times log₂e.
        held_C: The tokens whose label this process holds.
        places_C: The places of these labels.
        shards: Which process holds which items.

    Returns:
        The exponentials (C, R), the losses (C,) and the factors (C,) that turn exponentials into probabilities.
    """
    maxima_C = logits_CR.amax(dim=1)
    label_logits_C = torch.full_like(maxima_C, -torch.inf)
    label_logits_C[held_C] = logits_CR[held_C, places_C]
    exp_CR = logits_CR.sub_(maxima_C[:, None]).exp2_()
    found = shards.gather(torch.stack([maxima_C, exp_CR.sum(dim=1), label_logits_C]))
    maxima_PC, sums_PC, label_logits_PC = found.unbind(dim=1)
    highest_C = maxima_PC.amax(dim=0)
    sums_C = (sums_PC * (maxima_PC - highest_C).exp2()).sum(dim=0)
    losses_C = (sums_C.log2() - (label_logits_PC.amax(dim=0) - highest_C)) / LOG2_E
    return exp_CR, losses_C, (maxima_C - highest_C).exp2() / sums_C

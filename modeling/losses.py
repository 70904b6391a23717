"""Training losses: pure functions of vectors or scores.

Shape suffixes: N tokens with a label, C rows of one chunk, V vocabulary, S negatives, X scores of a token,
D hidden size.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from seqrec.interactions.special_tokens import NUM_SPECIAL_TOKENS

# Logits computed at once: 4 MiB of float32 stay in a processor's cache, a GPU wants its cores filled.
CHUNK_LOGITS = {"cpu": 2**20}
CHUNK_LOGITS_ON_ACCELERATORS = 2**26
SMALLEST_CHUNK = 64  # rows; matrix products of fewer lose their speed
LOG2_E = 1 / math.log(2)


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


def sampled_softmax(target_scores_N: Tensor, negative_scores_NS: Tensor) -> Tensor:
    """Sum over tokens of −log softmax over the target and its negatives, at the target.

    Where negatives are not drawn uniformly, log(V · how probably each is drawn) must have been taken from their
    scores (Bengio & Senécal 2008): they then weigh as uniform ones would.

    Args:
        target_scores_N: Score of each token's target.
        negative_scores_NS: Scores of its negatives; what is not to count is as low as can be.

    Returns:
        A float32 scalar: the sum, as of `cross_entropy`. So do `bce` and `gbce`.
    """
    scores_NX = torch.cat([target_scores_N[:, None], negative_scores_NS], dim=1)
    first_N = torch.zeros(len(scores_NX), dtype=torch.long, device=scores_NX.device)
    return nn.functional.cross_entropy(scores_NX, first_N, reduction="sum")


def bce(target_scores_N: Tensor, negative_scores_NS: Tensor) -> Tensor:
    """Sum over tokens of −log σ(target) − Σ log(1 − σ(negative)); arguments as of `sampled_softmax`.

    Kang & McAuley 2018, section 3.5, where each token has one negative.
    """
    return gbce(target_scores_N, negative_scores_NS, beta=1.0)


def gbce(target_scores_N: Tensor, negative_scores_NS: Tensor, *, beta: float) -> Tensor:
    """Sum over tokens of −log σ(target)^β − Σ log(1 − σ(negative)); other arguments as of `sampled_softmax`.

    Generalised binary cross-entropy, Petrov & Macdonald (RecSys 2023), equation 8. A smaller β undoes the
    overconfidence that few negatives bring.

    Args:
        target_scores_N: Score of each token's target.
        negative_scores_NS: Scores of its negatives.
        beta: See `gbce_beta`.
    """
    softplus = nn.functional.softplus
    return beta * softplus(-target_scores_N).sum() + softplus(negative_scores_NS).sum()


def gbce_beta(num_negatives: int, num_items: int, calibration: float) -> float:
    """Return β = α·(t·(1 − 1/α) + 1/α), where α is the share of an item's rivals that is drawn.

    Petrov & Macdonald 2023, equations 9 and 16.

    Args:
        num_negatives: Negatives of a token.
        num_items: Items of the catalogue.
        calibration: t, from 0 (plain binary cross-entropy) to 1 (probabilities fully calibrated).
    """
    share = min(1.0, num_negatives / max(1, num_items - 1))
    return share * (calibration * (1 - 1 / share) + 1 / share)


def loss_without_labels(hidden_BLD: Tensor) -> Tensor:
    """Return the loss of a batch in which nothing is to be predicted: 0.

    It depends on no weight, so weights get no gradient at all. With gradients of 0, an optimizer's momentum and weight
    decay would still change them. Where each backward pass must reach every weight, as the exchange of gradients
    between processes and the loss scaling of float16 demand, gradients are 0 instead.

    Args:
        hidden_BLD: Hidden states of the batch.
    """
    if must_reach_every_weight(hidden_BLD.device.type):
        return (hidden_BLD * 0).sum().float()
    zero = torch.zeros((), device=hidden_BLD.device, requires_grad=True)
    return zero.clone()  # a leaf could not be scaled in place, as Trainer does


def must_reach_every_weight(device_type: str) -> bool:
    """Tell whether a backward pass that gives some weights no gradient would stop the training."""
    is_distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
    is_autocast = torch.is_autocast_enabled(device_type)
    return is_distributed or (is_autocast and torch.get_autocast_dtype(device_type) == torch.float16)


class ChunkedCrossEntropy(torch.autograd.Function):
    """`cross_entropy` with its gradient computed in the forward pass.

    With z = hidden · itemsᵀ, m = max z, e = 2^((z − m)·log₂e), s = Σ e and y the label,

        loss = ln s − (z_y − m)        d loss / d z = (e − s·onehot(y)) / s

    Powers of two cost a third of natural ones on a CPU. log₂e enters through `hidden`, and the division by s
    through the products' small side, so that the big matrix is walked over as seldom as can be.
    """

    @staticmethod
    def forward(ctx: Any, hidden_ND: Tensor, items_VD: Tensor, labels_N: Tensor) -> Tensor:
        """Accumulate the loss, and the two gradients where they are wanted."""
        ctx.input_dtypes = hidden_ND.dtype, items_VD.dtype
        compute_dtype = autocast_dtype(hidden_ND)
        scaled_ND = (hidden_ND * LOG2_E).to(compute_dtype)
        hidden_ND, items_VD = hidden_ND.to(compute_dtype), items_VD.to(compute_dtype)
        loss = torch.zeros((), dtype=torch.float32, device=hidden_ND.device)
        wanted = any(ctx.needs_input_grad[:2])
        grad_hidden_ND = torch.empty_like(hidden_ND) if wanted else None
        grad_items_VD = torch.zeros_like(items_VD, dtype=torch.float32) if wanted else None
        num_rows = chunk_rows(items_VD)
        for start in range(0, len(hidden_ND), num_rows):
            rows = slice(start, start + num_rows)
            labels_C1 = labels_N[rows, None]
            logits_CV = (scaled_ND[rows] @ items_VD.T).float()
            logits_CV[:, :NUM_SPECIAL_TOKENS] = -torch.inf
            logits_CV -= logits_CV.amax(dim=1, keepdim=True)
            label_logits_C1 = logits_CV.gather(1, labels_C1)
            exp_CV = logits_CV.exp2_()
            sums_C1 = exp_CV.sum(dim=1, keepdim=True)
            loss += (sums_C1.log2() - label_logits_C1).sum() / LOG2_E
            if grad_hidden_ND is None or grad_items_VD is None:
                continue
            grad_CV = exp_CV.scatter_add_(1, labels_C1, -sums_C1).to(compute_dtype)
            grad_hidden_ND[rows] = grad_CV @ items_VD / sums_C1
            grad_items_VD += grad_CV.T @ (hidden_ND[rows] / sums_C1).to(compute_dtype)
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


def chunk_rows(items_VD: Tensor) -> int:
    """Rows whose logits are computed at once."""
    num_logits = CHUNK_LOGITS.get(items_VD.device.type, CHUNK_LOGITS_ON_ACCELERATORS)
    return max(SMALLEST_CHUNK, num_logits // len(items_VD))

"""Training losses: pure functions of vectors or scores.

Shape suffixes: N labelled tokens, C rows in a chunk, V vocabulary, S negatives, X scores per token, D hidden size,
W weighted terms of a score.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from seqrec.interactions.special_tokens import NUM_SPECIAL_TOKENS

__all__ = [
    "LOG2_E",
    "autocast_dtype",
    "bce",
    "chunk_rows",
    "cross_entropy",
    "gbce",
    "gbce_beta",
    "loss_without_labels",
    "must_reach_every_weight",
    "sampled_softmax",
]

# Logits per chunk: on a CPU, 4 MiB of float32 fit in its cache; a GPU needs more to keep its cores busy.
CHUNK_LOGITS = {"cpu": 2**20}
CHUNK_LOGITS_ON_ACCELERATORS = 2**26
SMALLEST_CHUNK = 64  # rows; matrix products with fewer are inefficient
LOG2_E = 1 / math.log(2)

Terms = Callable[[slice], Tensor]


def cross_entropy(
    hidden_ND: Tensor,
    items_VD: Tensor,
    labels_N: Tensor,
    weights_NW: Tensor | None = None,
    terms: Terms | None = None,
) -> Tensor:
    """Sum over tokens of −log softmax(scores)[label], over the whole catalogue without special tokens.

    The scores are hidden · itemsᵀ, to which each token may add further terms, multiplied by its own weights.

    Rows are processed in chunks, and each chunk's gradient is computed right after its logits. The (N, V) matrix
    therefore never exists; memory holds the gradients and one chunk. Sums, softmax and the accumulated gradient use
    float32, even under autocast.

    Args:
        hidden_ND: User vectors.
        items_VD: Item vectors; row i belongs to token id i.
        labels_N: Target token ids, all of them items.
        weights_NW: Weights of the terms.
        terms: Function of a slice of the tokens that returns their terms (C, W, V), which are constants.

    Returns:
        A float32 scalar: the sum, not the mean, so that the caller can divide by the token count of an entire
        accumulated or distributed batch.
    """
    return ChunkedCrossEntropy.apply(hidden_ND, items_VD, labels_N, weights_NW, terms)


def sampled_softmax(target_scores_N: Tensor, negative_scores_NS: Tensor) -> Tensor:
    """Sum over tokens of −log softmax(target and its negatives)[target].

    If negatives are not drawn uniformly, their scores must already be corrected by subtracting log(V · p), where p is
    a negative's probability of being drawn (Bengio & Senécal 2008). They then count like uniformly drawn ones.

    Args:
        target_scores_N: Score of each token's target.
        negative_scores_NS: Scores of its negatives; masked entries hold the lowest finite value.

    Returns:
        A float32 scalar: the sum, as in `cross_entropy`. `bce` and `gbce` return the same.
    """
    scores_NX = torch.cat([target_scores_N[:, None], negative_scores_NS], dim=1)
    first_N = torch.zeros(len(scores_NX), dtype=torch.long, device=scores_NX.device)
    return nn.functional.cross_entropy(scores_NX, first_N, reduction="sum")


def bce(target_scores_N: Tensor, negative_scores_NS: Tensor) -> Tensor:
    """Sum over tokens of −log σ(target) − Σ log(1 − σ(negative)); for arguments, see `sampled_softmax`.

    Kang & McAuley 2018, section 3.5, with one negative per token.
    """
    return gbce(target_scores_N, negative_scores_NS, beta=1.0)


def gbce(target_scores_N: Tensor, negative_scores_NS: Tensor, *, beta: float) -> Tensor:
    """Sum over tokens of −log σ(target)^β − Σ log(1 − σ(negative)).

    Generalised binary cross-entropy, Petrov & Macdonald (RecSys 2023), equation 8. A smaller β counteracts the
    overconfidence caused by using few negatives.

    Args:
        target_scores_N: Score of each token's target.
        negative_scores_NS: Scores of its negatives; see `sampled_softmax`.
        beta: See `gbce_beta`.
    """
    softplus = nn.functional.softplus
    return beta * softplus(-target_scores_N).sum() + softplus(negative_scores_NS).sum()


def gbce_beta(num_negatives: int, num_items: int, calibration: float) -> float:
    """Return β = α·(t·(1 − 1/α) + 1/α), where α is the share of the other items drawn as negatives.

    Petrov & Macdonald 2023, equations 9 and 16.

    Args:
        num_negatives: Negatives per token.
        num_items: Items in the catalogue.
        calibration: t, from 0 (plain binary cross-entropy) to 1 (fully calibrated probabilities).
    """
    share = min(1.0, num_negatives / max(1, num_items - 1))
    return share * (calibration * (1 - 1 / share) + 1 / share)


def loss_without_labels(hidden_BLD: Tensor) -> Tensor:
    """Return the loss of a batch without labels: 0.

    It does not depend on any weight, so weights get no gradient. With gradients of 0, an optimizer's momentum and
    weight decay would still change them. Gradients are 0 only where the backward pass must reach every weight, as in
    distributed training and with float16 loss scaling.

    Args:
        hidden_BLD: Hidden states of the batch.
    """
    if must_reach_every_weight(hidden_BLD.device.type):
        return (hidden_BLD * 0).sum().float()
    zero = torch.zeros((), device=hidden_BLD.device, requires_grad=True)
    return zero.clone()  # Trainer scales the loss in place, which a leaf would not allow


def must_reach_every_weight(device_type: str) -> bool:
    """Return whether training would fail if a backward pass left some weights without a gradient."""
    is_distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
    is_autocast = torch.is_autocast_enabled(device_type)
    return is_distributed or (is_autocast and torch.get_autocast_dtype(device_type) == torch.float16)


class ChunkedCrossEntropy(torch.autograd.Function):
    """`cross_entropy` with its gradient computed in the forward pass.

    With scores z, m = max z, e = 2^((z − m)·log₂e), s = Σ e and y the label,

        loss = ln s − (z_y − m)        d loss / d z = (e − s·onehot(y)) / s

    On a CPU, powers of 2 cost a third of powers of e. The factor log₂e is applied to `hidden`, and the division by s to
    the smaller matrix of each product, to pass over the large matrix as rarely as possible.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden_ND: Tensor,
        items_VD: Tensor,
        labels_N: Tensor,
        weights_NW: Tensor | None,
        terms: Terms | None,
    ) -> Tensor:
        """Accumulate the loss, and the gradients if needed."""
        ctx.input_dtypes = hidden_ND.dtype, items_VD.dtype, None if weights_NW is None else weights_NW.dtype
        compute_dtype = autocast_dtype(hidden_ND)
        scaled_ND = (hidden_ND * LOG2_E).to(compute_dtype)
        hidden_ND, items_VD = hidden_ND.to(compute_dtype), items_VD.to(compute_dtype)
        loss = torch.zeros((), dtype=torch.float32, device=hidden_ND.device)
        wanted = any(ctx.needs_input_grad)
        grad_hidden_ND = torch.empty_like(hidden_ND) if wanted else None
        grad_items_VD = torch.zeros_like(items_VD, dtype=torch.float32) if wanted else None
        grad_weights_NW = None if weights_NW is None else torch.zeros_like(weights_NW, dtype=torch.float32)
        num_rows = chunk_rows(len(items_VD), items_VD.device)
        for start in range(0, len(hidden_ND), num_rows):
            rows = slice(start, start + num_rows)
            labels_C1 = labels_N[rows, None]
            logits_CV = (scaled_ND[rows] @ items_VD.T).float()
            if weights_NW is not None and terms is not None:
                terms_CWV = terms(rows)
                for terms_CV, weights_C in zip(terms_CWV.unbind(1), weights_NW[rows].float().T, strict=True):
                    logits_CV.addcmul_(terms_CV, weights_C[:, None], value=LOG2_E)
            logits_CV[:, :NUM_SPECIAL_TOKENS] = -torch.inf
            logits_CV -= logits_CV.amax(dim=1, keepdim=True)
            label_logits_C1 = logits_CV.gather(1, labels_C1)
            exp_CV = logits_CV.exp2_()
            sums_C1 = exp_CV.sum(dim=1, keepdim=True)
            loss += (sums_C1.log2() - label_logits_C1).sum() / LOG2_E
            if grad_hidden_ND is None or grad_items_VD is None:
                continue
            grad_CV = exp_CV.scatter_add_(1, labels_C1, -sums_C1)
            if grad_weights_NW is not None:
                grad_weights_NW[rows] = torch.linalg.vecdot(grad_CV[:, None], terms_CWV) / sums_C1
            grad_CV = grad_CV.to(compute_dtype)
            grad_hidden_ND[rows] = grad_CV @ items_VD / sums_C1
            grad_items_VD += grad_CV.T @ (hidden_ND[rows] / sums_C1).to(compute_dtype)
        if grad_hidden_ND is not None and grad_items_VD is not None:
            ctx.save_for_backward(grad_hidden_ND, grad_items_VD, grad_weights_NW)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_loss: Tensor) -> tuple[Tensor | None, ...]:
        """Scale the stored gradients by the gradient of the loss."""
        hidden_dtype, items_dtype, weights_dtype = ctx.input_dtypes
        grad_hidden_ND, grad_items_VD, grad_weights_NW = ctx.saved_tensors
        return (
            (grad_hidden_ND * grad_loss).to(hidden_dtype),
            (grad_items_VD * grad_loss).to(items_dtype),
            None,
            None if grad_weights_NW is None else (grad_weights_NW * grad_loss).to(weights_dtype),
            None,
        )


def autocast_dtype(tensor: Tensor) -> torch.dtype:
    """Return the dtype for matrix products of this tensor: autocast's if it is enabled, else the tensor's."""
    device_type = tensor.device.type
    if torch.is_autocast_enabled(device_type):
        return torch.get_autocast_dtype(device_type)
    return tensor.dtype


def chunk_rows(num_items: int, device: torch.device) -> int:
    """Return the number of rows per chunk, each of which has a logit for every item."""
    num_logits = CHUNK_LOGITS.get(device.type, CHUNK_LOGITS_ON_ACCELERATORS)
    return max(SMALLEST_CHUNK, num_logits // num_items)

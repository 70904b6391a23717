"""Transformer layers that the architectures share.

Shape suffixes: B batch, L length, D hidden size, H heads, E size of a head.
"""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig
from transformers.activations import ACT2FN
from transformers.modeling_flash_attention_utils import prepare_fa_kwargs_from_position_ids
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from seqrec.errors import InputError

ONE_QUERY_ATTENTION = ("eager", "sdpa")  # implementations whose mask is a matrix, of which one row can be taken


def positions_from_newest(
    length: int, attention_mask_BL: Tensor | None, position_ids_BL: Tensor | None, device: torch.device
) -> Tensor:
    """Count each token's position back from the newest item of its sequence, which is 0.

    This is how left-padded SASRec numbers positions, so that the newest item always meets the same embedding
    whatever the history's length. Padding, on whichever side, never moves a position.

    Args:
        length: L.
        attention_mask_BL: 1 for items and 0 for padding, or None.
        position_ids_BL: Positions that restart at 0 with every packed sequence, or None.
        device: Where the result shall lie.

    Returns:
        Shape (B, L), or (1, L) where neither argument tells the rows apart.
    """
    if position_ids_BL is not None:
        index_L = torch.arange(length, device=device)
        starts_BL = torch.where(position_ids_BL == 0, index_L, length)
        next_start_BL = starts_BL.flip(-1).cummin(-1).values.flip(-1).roll(-1, dims=-1)
        next_start_BL = torch.where(index_L == length - 1, length, next_start_BL)
        return next_start_BL - 1 - index_L
    if attention_mask_BL is not None:
        mask_BL = attention_mask_BL.to(device=device, dtype=torch.long)
        return (mask_BL.flip(-1).cumsum(-1).flip(-1) - 1).clamp(min=0)
    return torch.arange(length - 1, -1, -1, device=device)[None]


def require_right_attention(implementation: str, device: torch.device) -> None:
    """Raise a `ValueError` for flex attention on a processor without AVX-512: torch's kernel computes wrong rows there.

    In torch 2.13, compiled flex attention in vectors of 256 bits reads rows that are shorter than its blocks wrongly;
    the same mask gives the right result with AVX-512, and uncompiled.
    """
    if implementation != "flex_attention" or device.type != "cpu":
        return
    capability = torch.backends.cpu.get_cpu_capability()
    if not capability.startswith("AVX512"):
        raise InputError(
            f"flex_attention computes wrong results on this processor ({capability}, without AVX-512). Use "
            "attn_implementation='sdpa'."
        )


def additive_mask(mask: Any, dtype: torch.dtype) -> Any:
    """Turn a boolean mask into the number that is added to the scores: 0, or the lowest there is. On a CPU alone.

    Done once for all layers, where sdpa would do it in each. By arithmetic, as a CPU fills by mask five times
    slower. Accelerators' kernels take booleans, and under autocast the lowest float32 would become −∞ there. What
    other attention implementations take for a mask is returned as it is.
    """
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool or mask.device.type != "cpu":
        return mask
    return (mask.to(dtype) - 1) * torch.finfo(dtype).max


def packed_lengths(position_ids_BL: Tensor) -> dict[str, Tensor]:
    """Say where packed sequences lie in rows put end to end: what flash attention takes in place of a mask.

    Left to itself, it would look for packed sequences only in a batch of one row.

    Args:
        position_ids_BL: Positions that restart at 0 with every sequence.
    """
    (cu_seq_lens_q, cu_seq_lens_k), (max_length_q, max_length_k) = prepare_fa_kwargs_from_position_ids(position_ids_BL)
    return {
        "cu_seq_lens_q": cu_seq_lens_q,
        "cu_seq_lens_k": cu_seq_lens_k,
        "max_length_q": max_length_q,
        "max_length_k": max_length_k,
    }


def eager_attention(
    module: nn.Module,
    query_BHLE: Tensor,
    key_BHLE: Tensor,
    value_BHLE: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[Tensor, Tensor]:
    """Attention by its formula, softmax(QKᵀ·scaling + mask)V, with the weights as second output.

    Vaswani et al. 2017, equation 1. `attention_mask` is additive.
    """
    scores_BHLL = query_BHLE @ key_BHLE.transpose(2, 3) * scaling
    if attention_mask is not None:
        scores_BHLL = scores_BHLL + attention_mask
    weights_BHLL = scores_BHLL.softmax(dim=-1).to(query_BHLE.dtype)
    dropped_BHLL = nn.functional.dropout(weights_BHLL, p=dropout, training=module.training) if dropout else weights_BHLL
    return (dropped_BHLL @ value_BHLE).transpose(1, 2).contiguous(), weights_BHLL


def rotary_table(positions_BL: Tensor, head_dim: int) -> tuple[Tensor, Tensor]:
    """Return cosines and sines by which queries and keys are turned: (B, L, 1, E) each.

    Rotary positions, Su et al. 2021, equation 15: the product of a query and a key then depends on how far apart the
    two are. Half of a head's dimensions are paired with the other half.
    """
    frequencies = 10_000 ** (-torch.arange(0, head_dim, 2, device=positions_BL.device) / head_dim)
    angles = (positions_BL[..., None] * frequencies).repeat(1, 1, 2)[:, :, None]
    return angles.cos(), angles.sin()


def rotate(values_BLHE: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
    """Turn each head's vectors by their positions' angles; `rotary` is from `rotary_table`."""
    cosine, sine = rotary
    first, second = values_BLHE.chunk(2, dim=-1)
    turned = values_BLHE * cosine + torch.cat([-second, first], dim=-1) * sine
    return turned.to(values_BLHE.dtype)


class Dropout(nn.Dropout):
    """`torch.nn.Dropout` at a fraction of its cost on a CPU, where drawing one Bernoulli number is slow.

    An element is kept if its own 16 random bits, four elements' of them drawn as one integer, are high enough.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Zero elements with probability p (to 2⁻¹⁶), and scale the others so that the expectation stays."""
        if not self.training or self.p == 0:
            return input
        if input.device.type != "cpu":
            return super().forward(input)
        num_draws = -(-input.numel() // 4)
        draws = torch.empty(num_draws, dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
        dropped = round(self.p * 2**16)
        keep = draws[: input.numel()].to(torch.float32).ge_(dropped - 2**15)
        return input * keep.mul_(2**16 / (2**16 - dropped)).view_as(input).to(input.dtype)


class SelfAttention(nn.Module):
    """Multi-head self-attention through whichever implementation `config._attn_implementation` names."""

    def __init__(self, config: PreTrainedConfig, layer_idx: int) -> None:
        super().__init__()
        self.config = config
        self.layer_idx = layer_idx
        self.is_causal = config.is_causal
        self.head_dim = config.hidden_size // config.num_attention_heads
        self.attention_dropout = config.attention_dropout
        self.query_key_value = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.output = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(
        self,
        hidden_BLD: Tensor,
        attention_mask: Tensor | None,
        query_position: Tensor | int | None = None,
        rotary: tuple[Tensor, Tensor] | None = None,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor | None]:
        """Mix each position with those it may see.

        Args:
            hidden_BLD: Hidden states.
            attention_mask: As the attention implementation takes it; with `query_position`, of these alone.
            query_position: In each row the one position to compute; all if None.
            rotary: From `rotary_table`, where positions are told so.
            **kwargs: Passed on to the attention implementation.

        Returns:
            The mixed values (B, L, D), or (B, 1, D) of `query_position` alone; and, from eager attention only, the
            weights (B, H, L, L).
        """
        projected = self.query_key_value(hidden_BLD).view(*hidden_BLD.shape[:-1], 3, -1, self.head_dim)
        query_BLHE, key_BLHE, value_BLHE = projected.unbind(dim=-3)
        if rotary is not None:
            query_BLHE, key_BLHE = rotate(query_BLHE, rotary), rotate(key_BLHE, rotary)
        if query_position is not None:
            query_BLHE = take_position(query_BLHE, query_position)
        parts = [part.transpose(1, 2) for part in (query_BLHE, key_BLHE, value_BLHE)]
        leave_autocast = hidden_BLD.device.type == "cpu" and torch.is_autocast_enabled("cpu")
        if leave_autocast:  # on a CPU the fused kernel's backward pass takes twice as long in bfloat16
            parts = [part.float() for part in parts]
        attend: Callable = ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, eager_attention)
        with torch.autocast("cpu", enabled=False) if leave_autocast else nullcontext():
            mixed_BLHE, weights_BHLL = attend(
                self,
                *parts,
                attention_mask,
                dropout=self.attention_dropout if self.training else 0.0,
                scaling=self.head_dim**-0.5,
                **kwargs,
            )
        return self.output(mixed_BLHE.flatten(start_dim=-2)), weights_BHLL


class FeedForward(nn.Module):
    """Two linear layers with an activation between them, applied to each position alike."""

    def __init__(self, config: PreTrainedConfig) -> None:
        super().__init__()
        self.up = nn.Linear(config.hidden_size, config.intermediate_size)
        self.activation = ACT2FN[config.hidden_act]
        self.down = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, hidden_BLD: Tensor) -> Tensor:
        """Map (B, L, D) to (B, L, D)."""
        return self.down(self.activation(self.up(hidden_BLD)))


class TransformerBlock(GradientCheckpointingLayer):
    """Pre-norm block: x + dropout(attention(norm(x))), then x + dropout(feed_forward(norm(x)))."""

    feed_forward_class: type[nn.Module] = FeedForward

    def __init__(self, config: PreTrainedConfig, layer_idx: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.attention = SelfAttention(config, layer_idx)
        self.feed_forward_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.feed_forward = self.feed_forward_class(config)
        self.dropout = Dropout(config.hidden_dropout)

    def forward(
        self,
        hidden_BLD: Tensor,
        attention_mask: Any = None,
        query_position: Tensor | int | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """Map (B, L, D) to (B, L, D), or to (B, 1, D) where each row has but one position to compute."""
        mixed_BLD, _ = self.attention(self.attention_norm(hidden_BLD), attention_mask, query_position, **kwargs)
        if query_position is not None:
            hidden_BLD = take_position(hidden_BLD, query_position)
        hidden_BLD = hidden_BLD + self.dropout(mixed_BLD)
        return hidden_BLD + self.dropout(self.feed_forward(self.feed_forward_norm(hidden_BLD)))


def take_position(values: Tensor, position: Tensor | int) -> Tensor:
    """Take from each row (B, L, …) the one position that is named for it, or for all rows: (B, 1, …)."""
    if isinstance(position, int):
        return values[:, position, None]
    return values[torch.arange(values.shape[0], device=values.device), position][:, None]

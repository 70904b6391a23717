"""Attention masks, in the format of the attention implementation.

Shape suffixes: B batch, L length, D hidden size.
"""

import inspect
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask
from transformers.masking_utils import create_bidirectional_mask, create_causal_mask, packed_sequence_mask_function

__all__ = ["AttentionMask", "additive_mask", "biased_mask", "bidirectional_mask", "causal_mask"]

AttentionMask = Tensor | BlockMask | None

# Transformers 5.40 removes this argument. These models keep no cache: they read each row in one pass.
TAKES_CACHE = "past_key_values" in inspect.signature(create_causal_mask).parameters
NO_CACHE = {"past_key_values": None} if TAKES_CACHE else {}


def causal_mask(
    config: Any, hidden_BLD: Tensor, attention_mask_BL: Tensor | None, position_ids_BL: Tensor | None
) -> AttentionMask:
    """Let each position see itself and the earlier ones of its own sequence.

    Args:
        config: The model's configuration, which names the attention implementation.
        hidden_BLD: Hidden states, for their size, type and device.
        attention_mask_BL: 1 for items and 0 for padding, or None.
        position_ids_BL: Positions that restart at 0 with every packed sequence, or None.
    """
    return create_causal_mask(
        config=config,
        inputs_embeds=hidden_BLD,
        attention_mask=attention_mask_BL,
        position_ids=position_ids_BL,
        **NO_CACHE,
    )


def bidirectional_mask(
    config: Any, hidden_BLD: Tensor, attention_mask_BL: Tensor | None, position_ids_BL: Tensor | None
) -> AttentionMask:
    """Let each position see all of its own sequence; for arguments, see `causal_mask`."""
    same_sequence = None
    if position_ids_BL is not None:
        same_sequence = packed_sequence_mask_function((position_ids_BL == 0).cumsum(dim=-1))
    return create_bidirectional_mask(
        config=config,
        inputs_embeds=hidden_BLD,
        attention_mask=attention_mask_BL,
        and_mask_function=same_sequence,
    )


def additive_mask(mask: AttentionMask, dtype: torch.dtype) -> AttentionMask:
    """Turn a boolean mask on a CPU into numbers to add to the scores: 0, or the lowest finite value.

    This is done once for all layers; sdpa would repeat it in each. It uses arithmetic because filling by mask is five
    times slower on a CPU. Masks on accelerators stay boolean: kernels there take booleans, and under autocast the
    lowest float32 would become −∞. Masks of any other format are returned unchanged.
    """
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool or mask.device.type != "cpu":
        return mask
    return (mask.to(dtype) - 1) * torch.finfo(dtype).max


def biased_mask(mask: AttentionMask, bias_BHLL: Tensor, *, is_causal: bool) -> Tensor:
    """Combine a mask and a bias into the numbers that are added to the scores.

    Args:
        mask: Boolean or additive (B, 1, L, L); None where each query sees all keys or, if `is_causal`, those before it.
        bias_BHLL: See `PositionTerms`.
        is_causal: Whether queries cannot see later keys.
    """
    if mask is None and not is_causal:
        return bias_BHLL
    if mask is None:
        lowest = torch.finfo(bias_BHLL.dtype).min
        mask = torch.full(bias_BHLL.shape[-2:], lowest, dtype=bias_BHLL.dtype, device=bias_BHLL.device).triu(1)
    assert isinstance(mask, Tensor)  # only implementations in MATRIX_MASKS allow a bias
    if mask.dtype == torch.bool:
        return bias_BHLL.masked_fill(~mask, torch.finfo(bias_BHLL.dtype).min)
    return mask + bias_BHLL

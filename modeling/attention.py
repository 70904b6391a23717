"""Self-attention and its inputs other than the hidden states.

Shape suffixes: B batch, L length, D hidden size, H heads, E size of a head.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedConfig
from transformers.modeling_flash_attention_utils import prepare_fa_kwargs_from_position_ids
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from seqrec.errors import InputError
from seqrec.modeling.masks import AttentionMask, biased_mask
from seqrec.modeling.positions import Rotary, rotate
from seqrec.modeling.sequence_layout import take_position

__all__ = [
    "MATRIX_MASKS",
    "AttentionContext",
    "SelfAttention",
    "attention_dtype",
    "learned_mask_attention",
    "packed_lengths",
    "require_usable_attention",
    "with_earlier",
]

MATRIX_MASKS = ("eager", "sdpa")  # implementations whose mask is a matrix


class AttentionContext(NamedTuple):
    """Inputs that the attention of all layers shares, in addition to the hidden states.

    Attributes:
        mask: In the format of the attention implementation; with `query_position`, only that query's row.
        bias_BHLL: Numbers to add to the scores (see `PositionTerms`), which `with_biased_mask` puts into the mask.
        rotary: From `rotary_table`, if positions are rotary.
        packed: Boundaries of packed sequences, for flash attention; see `packed_lengths`.
        query_position: The one position to compute in each row; all if None.
        is_causal: Whether queries cannot see later keys; used if there is no mask.
        implementation: Name of the attention implementation in transformers.
        cache: Keys and values of the events before those of the hidden states, to which theirs are added.
    """

    mask: AttentionMask = None
    bias_BHLL: Tensor | None = None
    rotary: Rotary | None = None
    packed: dict[str, Any] | None = None
    query_position: Tensor | int | None = None
    is_causal: bool = True
    implementation: str = "sdpa"
    cache: DynamicCache | None = None

    def with_biased_mask(self, dtype: torch.dtype) -> "AttentionContext":
        """Return the context with its bias, if any, added to its mask, once for all layers.

        Args:
            dtype: Type of the queries; see `attention_dtype`.
        """
        if self.bias_BHLL is None:
            return self
        mask = biased_mask(self.mask, self.bias_BHLL.to(dtype), is_causal=self.is_causal)
        return self._replace(mask=mask.to(dtype), bias_BHLL=None)

    def at(self, query_position: Tensor | int) -> "AttentionContext":
        """Return the context for one query per row: (B,) positions, or one position for all rows."""
        return self._replace(mask=query_row(self.mask, query_position), query_position=query_position)


class SelfAttention(nn.Module):
    """Multi-head self-attention, computed by the implementation that the context names."""

    def __init__(self, config: PreTrainedConfig, layer_idx: int) -> None:
        super().__init__()
        self.config, self.layer_idx = config, layer_idx  # the library's flash attention reads both
        self.head_dim = config.hidden_size // config.num_attention_heads
        self.attention_dropout = config.attention_dropout
        self.query_key_value = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.output = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden_BLD: Tensor, context: AttentionContext) -> tuple[Tensor, Tensor | None]:
        """Mix each position with the positions that it may see.

        Returns:
            The mixed values (B, L, D), or (B, 1, D) with `context.query_position`; and the weights (B, H, L, L), from
            eager attention only.
        """
        projected = self.query_key_value(hidden_BLD).view(*hidden_BLD.shape[:-1], 3, -1, self.head_dim)
        query_BLHE, key_BLHE, value_BLHE = projected.unbind(dim=-3)
        if context.rotary is not None:
            query_BLHE, key_BLHE = rotate(query_BLHE, context.rotary), rotate(key_BLHE, context.rotary)
        if context.query_position is not None:
            query_BLHE = take_position(query_BLHE, context.query_position)
        if context.cache is not None:
            key_BLHE, value_BLHE = with_earlier(context.cache, key_BLHE, value_BLHE, self.layer_idx)
        if hidden_BLD.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
            # On a CPU the fused kernel's backward pass takes twice as long in bfloat16.
            with torch.autocast("cpu", enabled=False):
                mixed_BLHE, weights_BHLL = self.attend(
                    query_BLHE.float(), key_BLHE.float(), value_BLHE.float(), context
                )
        else:
            mixed_BLHE, weights_BHLL = self.attend(query_BLHE, key_BLHE, value_BLHE, context)
        return self.output(mixed_BLHE.flatten(start_dim=-2)), weights_BHLL

    def attend(
        self, query_BLHE: Tensor, key_BLHE: Tensor, value_BLHE: Tensor, context: AttentionContext
    ) -> tuple[Tensor, Tensor | None]:
        """Return the mixed values (B, L, H, E) and, from eager attention only, the weights."""
        if self.training and context.implementation == "sdpa" and needs_mask_gradient(context.mask):
            attention: Callable = learned_mask_attention
        else:
            attention = ALL_ATTENTION_FUNCTIONS.get_interface(context.implementation, eager_attention)
        return attention(
            self,
            query_BLHE.transpose(1, 2),
            key_BLHE.transpose(1, 2),
            value_BLHE.transpose(1, 2),
            context.mask,
            dropout=self.attention_dropout if self.training else 0.0,
            scaling=self.head_dim**-0.5,
            is_causal=context.is_causal,
            **(context.packed or {}),
        )


def with_earlier(cache: DynamicCache, key_BLHE: Tensor, value_BLHE: Tensor, layer_idx: int) -> tuple[Tensor, Tensor]:
    """Add keys and values to those of earlier events in a cache; return all of them."""
    keys_BHLE, values_BHLE = cache.update(key_BLHE.transpose(1, 2), value_BLHE.transpose(1, 2), layer_idx)
    return keys_BHLE.transpose(1, 2), values_BHLE.transpose(1, 2)


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
    """Return softmax(QKᵀ·scaling + mask)V, and the weights as second output.

    Vaswani et al. 2017, equation 1. `attention_mask` is additive.
    """
    scores_BHLL = query_BHLE @ key_BHLE.transpose(2, 3) * scaling
    if attention_mask is not None:
        scores_BHLL = scores_BHLL + attention_mask
    weights_BHLL = scores_BHLL.softmax(dim=-1).to(query_BHLE.dtype)
    dropped_BHLL = nn.functional.dropout(weights_BHLL, p=dropout, training=module.training) if dropout else weights_BHLL
    return (dropped_BHLL @ value_BHLE).transpose(1, 2).contiguous(), weights_BHLL


def needs_mask_gradient(mask: AttentionMask) -> bool:
    """Return whether a mask on a CPU is learned: torch's fused kernel there has no gradient for it."""
    return isinstance(mask, Tensor) and mask.requires_grad and mask.device.type == "cpu"


def learned_mask_attention(
    module: nn.Module,
    query_BHLE: Tensor,
    key_BHLE: Tensor,
    value_BHLE: Tensor,
    attention_mask: Tensor,
    scaling: float,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Compute `eager_attention` in the fewest passes: as fast as the fused kernel, which learns no mask.

    `attention_mask` is (B, H, L, L) or, if all rows are alike, (1, H, L, L).
    """
    batch, heads, length, _ = query_BHLE.shape
    mask_NLL = attention_mask.expand(batch, heads, length, -1).flatten(0, 1)  # N = B · H
    query_NLE, key_NLE, value_NLE = (part.flatten(0, 1) for part in (query_BHLE, key_BHLE, value_BHLE))
    weights_NLL = torch.baddbmm(mask_NLL, query_NLE, key_NLE.transpose(1, 2), alpha=scaling).softmax(dim=-1)
    if dropout:
        weights_NLL = nn.functional.dropout(weights_NLL, p=dropout, training=module.training)
    return (weights_NLL @ value_NLE).unflatten(0, (batch, heads)).transpose(1, 2), None


def attention_dtype(hidden_BLD: Tensor) -> torch.dtype:
    """Return the type in which attention computes the queries of these hidden states."""
    device = hidden_BLD.device.type
    if not torch.is_autocast_enabled(device):
        return hidden_BLD.dtype
    return torch.float32 if device == "cpu" else torch.get_autocast_dtype(device)  # see `SelfAttention.forward`


def require_usable_attention(implementation: str, device: torch.device, *, has_bias: bool) -> None:
    """Raise an `InputError` if an attention implementation would compute wrong results.

    In torch 2.13, flex attention compiled for 256-bit vectors misreads rows shorter than its blocks. With the same
    mask, the result is right with AVX-512 or without compilation.
    """
    if has_bias and implementation not in MATRIX_MASKS:
        raise InputError(
            f"This model's positions add a bias to attention scores, which {implementation!r} does not support. Use "
            "attn_implementation='sdpa' or 'eager'."
        )
    if implementation != "flex_attention" or device.type != "cpu":
        return
    capability = torch.backends.cpu.get_cpu_capability()
    if not capability.startswith("AVX512"):
        raise InputError(
            f"flex_attention computes wrong results on this processor ({capability}, without AVX-512). Use "
            "attn_implementation='sdpa'."
        )


def packed_lengths(position_ids_BL: Tensor) -> dict[str, Any]:
    """Return the boundaries of packed sequences in concatenated rows, which flash attention takes instead of a mask.

    On its own, flash attention detects packed sequences only in batches of one row.

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


def query_row(matrix_BHLL: Any, position: Tensor | int) -> Any:
    """Select one query per row from a mask or bias (B, H, L, L), where B may be 1 for all rows: (B, H, 1, L)."""
    if matrix_BHLL is None:
        return None
    if isinstance(position, Tensor) and matrix_BHLL.shape[0] == 1:
        matrix_BHLL = matrix_BHLL.expand(position.shape[0], -1, -1, -1)
    return take_position(matrix_BHLL.transpose(1, 2), position).transpose(1, 2)

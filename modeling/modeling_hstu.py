"""HSTU (Zhai et al., ICML 2024): pointwise attention with gates.

Shape suffixes: B batch, L length, D hidden size, I intermediate size, H heads, E size of a head.
"""

import torch
from torch import Tensor, nn
from transformers.modeling_layers import GradientCheckpointingLayer

from seqrec.configuration.configuration_hstu import HstuConfig
from seqrec.modeling.attention import AttentionContext, with_earlier
from seqrec.modeling.dropout import Dropout
from seqrec.modeling.modeling_next_item import NextItemHead
from seqrec.modeling.positions import rotate
from seqrec.modeling.sequence_layout import take_position
from seqrec.modeling.transformer import TransformerBackbone

__all__ = ["HstuBlock", "HstuForNextItem", "HstuModel"]

UNSEEN = -30_000.0  # added to scores of unseen keys: SiLU of it is 0 in every type, and float16 can hold it


class PointwiseAttention(nn.Module):
    """Attention whose weights are not normalised: SiLU(QKᵀ + bias) V / n; equation 2 of the paper.

    n is `max_position_embeddings`, as in the authors' code, so that padding and packing change nothing.
    """

    def __init__(self, config: HstuConfig, layer_idx: int) -> None:
        super().__init__()
        self.layer_idx = layer_idx
        self.num_heads = config.num_attention_heads
        self.longest = config.max_position_embeddings
        self.dropout = Dropout(config.attention_dropout)

    def forward(self, query_BLD: Tensor, key_BLD: Tensor, value_BLI: Tensor, context: AttentionContext) -> Tensor:
        """Return the mixed values (B, L, I), or (B, 1, I) with `context.query_position`."""
        query_BLHE, key_BLHE, value_BLHE = (
            part.unflatten(-1, (self.num_heads, -1)) for part in (query_BLD, key_BLD, value_BLI)
        )
        if context.rotary is not None:
            query_BLHE, key_BLHE = rotate(query_BLHE, context.rotary), rotate(key_BLHE, context.rotary)
        if context.query_position is not None:
            query_BLHE = take_position(query_BLHE, context.query_position)
        if context.cache is not None:
            key_BLHE, value_BLHE = with_earlier(context.cache, key_BLHE, value_BLHE, self.layer_idx)
        scores_BHLL = query_BLHE.transpose(1, 2) @ key_BLHE.permute(0, 2, 3, 1)
        scores_BHLL += context.mask  # in place: a copy of these matrices would cost as much as SiLU
        weights_BHLL = self.dropout(nn.functional.silu(scores_BHLL))
        mixed_BHLE = weights_BHLL @ value_BLHE.transpose(1, 2)
        return mixed_BHLE.transpose(1, 2).flatten(start_dim=-2) / self.longest


class HstuBlock(GradientCheckpointingLayer):
    """A layer of HSTU.

    U, V, Q, K = SiLU(f₁(norm(x)))                 (equation 1)
    A V        = SiLU(QKᵀ + bias) V / n            (equation 2)
    y          = x + f₂(dropout(norm(AV) ⊙ U))     (equation 3, with the residual)

    f₁ and f₂ are linear. Position and time are in the bias, which all layers share.
    """

    def __init__(self, config: HstuConfig, layer_idx: int) -> None:
        super().__init__()
        self.widths = [config.intermediate_size] * 2 + [config.hidden_size] * 2
        self.input_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.projection = nn.Linear(config.hidden_size, sum(self.widths))
        self.attention = PointwiseAttention(config, layer_idx)
        self.mixed_norm = nn.LayerNorm(config.intermediate_size, eps=config.layer_norm_eps)
        self.dropout = Dropout(config.hidden_dropout)
        self.output = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, hidden_BLD: Tensor, context: AttentionContext) -> Tensor:
        """Map (B, L, D) to (B, L, D), or to (B, 1, D) with `context.query_position`."""
        projected = nn.functional.silu(self.projection(self.input_norm(hidden_BLD)))
        gate_BLI, value_BLI, query_BLD, key_BLD = projected.split(self.widths, dim=-1)
        mixed_BLI = self.attention(query_BLD, key_BLD, value_BLI, context)
        if context.query_position is not None:
            hidden_BLD = take_position(hidden_BLD, context.query_position)
            gate_BLI = take_position(gate_BLI, context.query_position)
        return hidden_BLD + self.output(self.dropout(self.mixed_norm(mixed_BLI) * gate_BLI))


class HstuModel(TransformerBackbone):
    """HSTU's backbone, made of gated layers with pointwise attention; see `TransformerBackbone`.

    No stock kernel computes this attention, so its implementation cannot be chosen: it is always "eager".
    """

    config: HstuConfig
    block_class = HstuBlock
    uses_attention = False
    _no_split_modules = ["HstuBlock"]  # noqa: RUF012, as the library declares it
    _supports_sdpa = False
    _supports_flash_attn = False
    _supports_flex_attn = False
    _supports_attention_backend = False
    _can_record_outputs = {"hidden_states": HstuBlock}  # noqa: RUF012

    def final_context(self, context: AttentionContext, hidden_BLD: Tensor) -> AttentionContext:
        """Return the context with a mask that `PointwiseAttention` can add to scores of any type."""
        mask = hidden_BLD.new_zeros(1, 1, 1, 1) if context.mask is None else context.mask
        assert isinstance(mask, Tensor)  # as of eager attention
        dtype = score_dtype(hidden_BLD)
        return context._replace(mask=mask.clamp(min=UNSEEN).to(dtype)).with_biased_mask(dtype)


def score_dtype(hidden_BLD: Tensor) -> torch.dtype:
    """Return the type of the scores of these hidden states."""
    device = hidden_BLD.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden_BLD.dtype


class HstuForNextItem(NextItemHead):
    """HSTU with its training loss and scores; see `NextItemHead`."""

    config: HstuConfig
    backbone_class = HstuModel

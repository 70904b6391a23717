"""Transformer blocks that the architectures share.

Shape suffixes: B batch, L length, D hidden size.
"""

from torch import Tensor, nn
from transformers import PreTrainedConfig
from transformers.activations import ACT2FN
from transformers.modeling_layers import GradientCheckpointingLayer

from seqrec.modeling.attention import AttentionContext, SelfAttention
from seqrec.modeling.dropout import Dropout
from seqrec.modeling.sequence_layout import take_position

__all__ = ["TransformerBlock"]


class FeedForward(nn.Module):
    """Two linear layers with an activation between them, applied to each position."""

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

    def forward(self, hidden_BLD: Tensor, context: AttentionContext) -> Tensor:
        """Map (B, L, D) to (B, L, D), or to (B, 1, D) with `context.query_position`."""
        mixed_BLD, _ = self.attention(self.attention_norm(hidden_BLD), context)
        if context.query_position is not None:
            hidden_BLD = take_position(hidden_BLD, context.query_position)
        hidden_BLD = hidden_BLD + self.dropout(mixed_BLD)
        return hidden_BLD + self.dropout(self.feed_forward(self.feed_forward_norm(hidden_BLD)))

"""LiGR blocks (Borisyuk et al. 2025, "From Features to Transformers"): gated residuals around SwiGLU layers."""

from torch import Tensor, nn
from transformers import PreTrainedConfig

from seqrec.modeling.attention import AttentionContext
from seqrec.modeling.blocks import TransformerBlock
from seqrec.modeling.sequence_layout import take_position

__all__ = ["LigrBlock"]


class SwigluFeedForward(nn.Module):
    """W₃(silu(W₁x) · W₂x), without biases; Shazeer 2020, equation 6."""

    def __init__(self, config: PreTrainedConfig) -> None:
        super().__init__()
        self.gate_up = nn.Linear(config.hidden_size, 2 * config.intermediate_size, bias=False)
        self.down = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, hidden_BLD: Tensor) -> Tensor:
        """Map (B, L, D) to (B, L, D)."""
        gate, up = self.gate_up(hidden_BLD).chunk(2, dim=-1)
        return self.down(nn.functional.silu(gate) * up)


class LigrBlock(TransformerBlock):
    """Pre-norm block with gates: x + σ(Wx) · dropout(f(norm(x))), where f is attention, then feed-forward."""

    feed_forward_class = SwigluFeedForward

    def __init__(self, config: PreTrainedConfig, layer_idx: int) -> None:
        super().__init__(config, layer_idx)
        self.attention_gate = nn.Linear(config.hidden_size, config.hidden_size)
        self.feed_forward_gate = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden_BLD: Tensor, context: AttentionContext) -> Tensor:
        """Map (B, L, D) to (B, L, D), or to (B, 1, D) with `context.query_position`."""
        mixed_BLD, _ = self.attention(self.attention_norm(hidden_BLD), context)
        if context.query_position is not None:
            hidden_BLD = take_position(hidden_BLD, context.query_position)
        hidden_BLD = hidden_BLD + self.attention_gate(hidden_BLD).sigmoid() * self.dropout(mixed_BLD)
        fed_BLD = self.dropout(self.feed_forward(self.feed_forward_norm(hidden_BLD)))
        return hidden_BLD + self.feed_forward_gate(hidden_BLD).sigmoid() * fed_BLD

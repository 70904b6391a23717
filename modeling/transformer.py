"""The backbone that all Transformers share: positions, blocks and attention.

Shape suffixes: B batch, L length, D hidden size.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor, nn
from transformers import DynamicCache
from transformers.utils.generic import is_flash_attention_requested

from seqrec.configuration.configuration_transformer import TransformerConfig
from seqrec.modeling.attention import (
    MATRIX_MASKS,
    AttentionContext,
    SelfAttention,
    attention_dtype,
    packed_lengths,
    require_usable_attention,
)
from seqrec.modeling.backbone import NextItemBackbone
from seqrec.modeling.blocks import TransformerBlock
from seqrec.modeling.growing_histories import GrowingHistories, join_caches, keep_new
from seqrec.modeling.masks import additive_mask
from seqrec.modeling.positions import LearnedPositions, PositionTerms, RotaryPositions, positions_from_newest
from seqrec.modeling.relative_bias import RelativePositions
from seqrec.modeling.sequence_layout import SequenceLayout, take_position
from seqrec.modeling.time_encodings import EmbeddedTimes, RelativeTimes

__all__ = ["TransformerBackbone"]


class TransformerBackbone(NextItemBackbone):
    """A backbone made of positions, Transformer blocks and a final norm.

    Architectures differ in their blocks (`block_class`), positions, objective and configuration.

    Attributes:
        block_class: Called with `(config, layer_idx)`; has the same `forward(hidden_BLD, context)` as
            `TransformerBlock`.
        position_classes: Module classes by `config.position_embedding_type`, called with `(config)`. The modules turn
            positions (B, L), counted back from each sequence's newest item, into `PositionTerms` or into vectors that
            are added to the input.
        time_classes: Module classes by `config.time_encoding`, called with `(config)`. The modules turn a
            `SequenceLayout`, which holds the times of events and requests, into `PositionTerms`.
    """

    config: TransformerConfig
    block_class: type[nn.Module] = TransformerBlock
    position_classes: ClassVar[Mapping[str, type[nn.Module]]] = {
        "learned": LearnedPositions,
        "rotary": RotaryPositions,
        "relative": RelativePositions,
    }
    time_classes: ClassVar[Mapping[str, type[nn.Module]]] = {
        "relative": RelativeTimes,
        "embedding": EmbeddedTimes,
    }
    uses_attention = True
    supports_gradient_checkpointing = True
    _no_split_modules = ["TransformerBlock"]  # noqa: RUF012, as the library declares it
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _can_record_outputs = {"hidden_states": TransformerBlock, "attentions": SelfAttention}  # noqa: RUF012

    def __init__(self, config: TransformerConfig, **unknown: Any) -> None:
        super().__init__(config, **unknown)
        self.position_embedding = self.position_classes[config.position_embedding_type](config)
        encodes_time = config.time_encoding != "none"
        self.time_encoding = self.time_classes[config.time_encoding](config) if encodes_time else None
        self.layers = nn.ModuleList(self.block_class(config, index) for index in range(config.num_hidden_layers))
        self.final_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.gradient_checkpointing = False
        self.post_init()

    def encode_sequences(self, events_BLD: Tensor, layout: SequenceLayout) -> Tensor:
        """See `NextItemBackbone.encode_sequences`.

        Raises:
            InputError: If the attention implementation is known to compute wrong results here.
        """
        return self.run_blocks(events_BLD, layout)

    def encode_queries(self, events_BLD: Tensor, layout: SequenceLayout, query_position: Tensor | int) -> Tensor:
        """See `NextItemBackbone.encode_queries`; the last block computes only these positions."""
        return self.run_blocks(events_BLD, layout, query_position)

    def run_blocks(
        self, events_BLD: Tensor, layout: SequenceLayout, query_position: Tensor | int | None = None
    ) -> Tensor:
        """Return the hidden states of all positions (B, L, D), or of one position of each row (B, 1, D)."""
        positions = self.locate(events_BLD, layout)
        if positions.added_BLD is not None:
            events_BLD = events_BLD + positions.added_BLD
        hidden_BLD = self.embedding_dropout(events_BLD)
        return self.apply_blocks(hidden_BLD, self.attention_context(hidden_BLD, layout, positions), query_position)

    def apply_blocks(
        self, hidden_BLD: Tensor, context: AttentionContext, query_position: Tensor | int | None
    ) -> Tensor:
        """Apply all blocks and the final norm to the input; see `run_blocks`."""
        context = self.final_context(context, hidden_BLD)
        *layers, last_layer = self.layers
        for layer in layers:
            hidden_BLD = layer(hidden_BLD, context)
        if query_position is None:
            return self.final_norm(last_layer(hidden_BLD, context))
        if context.implementation in MATRIX_MASKS:
            return self.final_norm(last_layer(hidden_BLD, context.at(query_position)))
        return self.final_norm(take_position(last_layer(hidden_BLD, context), query_position))

    def locate(self, events_BLD: Tensor, layout: SequenceLayout) -> PositionTerms:
        """Return the model's terms for the events' positions, counted from each sequence's newest item, and times."""
        positions_BL = positions_from_newest(
            events_BLD.shape[1], layout.attention_mask_BL, layout.position_ids_BL, events_BLD.device
        )
        terms = self.position_embedding(positions_BL)
        terms = terms if isinstance(terms, PositionTerms) else PositionTerms(added_BLD=terms)
        return terms if self.time_encoding is None else terms.plus(self.time_encoding(layout))

    def attention_context(
        self, hidden_BLD: Tensor, layout: SequenceLayout, positions: PositionTerms
    ) -> AttentionContext:
        """Gather the inputs of attention other than the hidden states."""
        implementation = self.config._attn_implementation
        has_bias = positions.bias_BHLL is not None
        require_usable_attention(implementation, hidden_BLD.device, has_bias=has_bias)
        attention_mask_BL, position_ids_BL = layout.attention_mask_BL, layout.position_ids_BL
        mask = None
        if attention_mask_BL is not None or position_ids_BL is not None or implementation != "sdpa":
            mask = self.objective.mask(self.config, hidden_BLD, attention_mask_BL, position_ids_BL)
            mask = additive_mask(mask, hidden_BLD.dtype)
        packed = None
        if position_ids_BL is not None and is_flash_attention_requested(self.config):
            packed = packed_lengths(position_ids_BL)
        return AttentionContext(
            mask=mask,
            bias_BHLL=positions.bias_BHLL,
            rotary=positions.rotary,
            packed=packed,
            is_causal=self.objective.is_causal,
            implementation=implementation,
        )

    def final_context(self, context: AttentionContext, hidden_BLD: Tensor) -> AttentionContext:
        """Return the context in the form that the blocks take."""
        return context.with_biased_mask(attention_dtype(hidden_BLD))

    @property
    def supports_cache(self) -> bool:
        """See `NextItemBackbone.supports_cache`."""
        encodings = [self.position_embedding, *([] if self.time_encoding is None else [self.time_encoding])]
        is_relative = all(hasattr(encoding, "between") for encoding in encodings)
        return is_relative and self.objective.is_causal and self.config._attn_implementation in MATRIX_MASKS

    def encode_growing(
        self, events_BLD: Tensor, layout: SequenceLayout, caches: Sequence[DynamicCache], lengths_B: Sequence[int]
    ) -> Tensor:
        """See `NextItemBackbone.encode_growing`."""
        known_B = [cache.get_seq_length() for cache in caches]
        histories = GrowingHistories.of(known_B, lengths_B, events_BLD.device)
        positions = self.locate_new(histories, layout)
        hidden_BQD = histories.of_queries(events_BLD)
        if positions.added_BLD is not None:
            hidden_BQD = hidden_BQD + positions.added_BLD
        joined = join_caches(caches)
        context = AttentionContext(
            mask=additive_mask(histories.mask(), hidden_BQD.dtype),
            bias_BHLL=positions.bias_BHLL,
            rotary=positions.rotary,
            is_causal=False,  # the mask says it all
            implementation=self.config._attn_implementation,
            cache=joined,
        )
        hidden_B1D = self.apply_blocks(self.embedding_dropout(hidden_BQD), context, query_position=-1)
        keep_new(caches, joined, [length - known for known, length in zip(known_B, lengths_B, strict=True)])
        return hidden_B1D

    def locate_new(self, histories: GrowingHistories, layout: SequenceLayout) -> PositionTerms:
        """Return the terms of `locate` for new events."""
        position_embedding: Any = self.position_embedding
        time_encoding: Any = self.time_encoding
        terms: PositionTerms = position_embedding.between(histories)
        return terms if time_encoding is None else terms.plus(time_encoding.between(histories, layout))

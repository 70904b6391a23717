"""SASRec (Kang & McAuley, ICDM 2018): a causal Transformer over a user's items.

Shape suffixes: B batch, L length, D hidden size.
"""

from typing import Any

from torch import Tensor, nn
from transformers.masking_utils import create_causal_mask
from transformers.modeling_outputs import BaseModelOutput
from transformers.utils.generic import merge_with_config_defaults
from transformers.utils.output_capturing import capture_outputs

from seqrec.configuration.configuration_sasrec import SasRecConfig
from seqrec.modeling.layers import (
    ONE_QUERY_ATTENTION,
    Dropout,
    TransformerBlock,
    additive_mask,
    positions_from_newest,
    take_positions,
)
from seqrec.modeling.modeling_next_item import NextItemBackbone, NextItemHead


class SasRecModel(NextItemBackbone):
    """The backbone: item and position embeddings, causal blocks, a final norm."""

    config: SasRecConfig

    def __init__(self, config: SasRecConfig) -> None:
        super().__init__(config)
        self.item_embedding = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=config.pad_token_id)
        self.position_embedding = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.embedding_dropout = Dropout(config.hidden_dropout)
        self.layers = nn.ModuleList(TransformerBlock(config, index) for index in range(config.num_hidden_layers))
        self.final_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.gradient_checkpointing = False
        self.post_init()

    @merge_with_config_defaults
    @capture_outputs
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        queries_B: Tensor | None = None,
        **kwargs: Any,
    ) -> BaseModelOutput:
        """Encode every position of every history; arguments as in `NextItemHead.forward`.

        With `queries_B`, only that one position of each row is wanted, and the last block computes no other.

        Returns:
            `last_hidden_state` (B, L, D), or (B, 1, D) with `queries_B`.

        Raises:
            ValueError: If a row is longer than `config.max_position_embeddings`, or not exactly one of
                `input_ids` and `inputs_embeds` is given.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("Give exactly one of input_ids and inputs_embeds.")
        if inputs_embeds is None:
            self.warn_if_padding_and_no_attention_mask(
                input_ids, position_ids if attention_mask is None else attention_mask
            )
            inputs_embeds = self.item_embedding(input_ids)
        length = inputs_embeds.shape[1]
        self.check_length(length)
        positions_BL = positions_from_newest(length, attention_mask, position_ids, inputs_embeds.device)
        # Section 3.1 adds the two; the paper's code first scales the items by √D, lest positions drown them.
        scaled_BLD = inputs_embeds * self.config.hidden_size**0.5
        hidden_BLD = self.embedding_dropout(scaled_BLD + self.position_embedding(positions_BL))
        mask = create_causal_mask(
            config=self.config,
            inputs_embeds=hidden_BLD,
            attention_mask=attention_mask,
            past_key_values=None,
            position_ids=position_ids,
        )
        mask = additive_mask(mask, hidden_BLD.dtype)
        *layers, last_layer = self.layers
        for layer in layers:
            hidden_BLD = layer(hidden_BLD, attention_mask=mask, **kwargs)
        if queries_B is not None and self.config._attn_implementation in ONE_QUERY_ATTENTION:
            mask = None if mask is None else take_positions(mask.transpose(1, 2), queries_B).transpose(1, 2)
            hidden_BLD = last_layer(hidden_BLD, attention_mask=mask, queries_B=queries_B, **kwargs)
        else:
            hidden_BLD = last_layer(hidden_BLD, attention_mask=mask, **kwargs)
            if queries_B is not None:
                hidden_BLD = take_positions(hidden_BLD, queries_B)
        return BaseModelOutput(last_hidden_state=self.final_norm(hidden_BLD))


class SasRecForNextItem(NextItemHead):
    """SASRec with its training loss and scores; see `NextItemHead`."""

    config: SasRecConfig

    def __init__(self, config: SasRecConfig) -> None:
        super().__init__(config)
        self.model = SasRecModel(config)
        self.post_init()

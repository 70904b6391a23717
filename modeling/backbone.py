"""The backbone that all architectures share: from histories to hidden states and vectors.

Shape suffixes: B batch, L length, V vocabulary, D hidden size.
"""

import inspect
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.masking_utils import create_causal_mask
from transformers.modeling_outputs import BaseModelOutput
from transformers.utils.generic import is_flash_attention_requested
from transformers.utils.output_capturing import capture_outputs

from seqrec.configuration.configuration_next_item import NextItemConfig
from seqrec.errors import InputError
from seqrec.modeling.layers import (
    ONE_QUERY_ATTENTION,
    Dropout,
    SelfAttention,
    TransformerBlock,
    additive_mask,
    packed_lengths,
    positions_from_newest,
    require_right_attention,
    rotary_table,
    take_position,
)
from seqrec.modeling.saved_weights import check_saved, file_states, finish_saving
from seqrec.search.finite import require_finite_weights

# Transformers 5.40 leaves out this argument of the masks, which models of one pass over a row have no use for.
TAKES_CACHE = "past_key_values" in inspect.signature(create_causal_mask).parameters
NO_CACHE = {"past_key_values": None} if TAKES_CACHE else {}

SHARING_ARGUMENTS = {
    *("repo_id", "commit_message", "commit_description", "private", "token", "revision", "create_pr", "tags")
}


class NextItemPreTrainedModel(PreTrainedModel):
    """Weights, loading and the library's capabilities, for backbones and heads alike."""

    config: NextItemConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _no_split_modules = ["TransformerBlock"]  # noqa: RUF012, as the library declares it
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _can_compile_fullgraph = True
    _can_record_outputs = {"hidden_states": TransformerBlock, "attentions": SelfAttention}  # noqa: RUF012
    # Writes a saved model's code beside it. `seqrec` sets it; where the model itself came from such code it is
    # None, for transformers copies that code then.
    write_code: Callable[[PreTrainedModel, str], Any] | None = None

    def __init__(self, config: NextItemConfig, *args: Any, **kwargs: Any) -> None:
        config.validate()  # fields may have been set since it was made
        super().__init__(config, *args, **kwargs)

    def save_pretrained(
        self,
        save_directory: str | PathLike[str],
        is_main_process: bool = True,
        *,
        push_to_hub: bool = False,
        **kwargs: Any,
    ) -> None:
        """Save weights, configuration and code; arguments as in `PreTrainedModel.save_pretrained`.

        `push_to_hub=True` is as `push_to_hub`, which saves again, so that the code is pushed as well.

        Raises:
            NonFiniteError: If a weight is infinite or not a number.
        """
        sharing = {name: kwargs.pop(name) for name in SHARING_ARGUMENTS & kwargs.keys()} if push_to_hub else {}
        require_finite_weights((kwargs.get("state_dict") or self.state_dict()).items())
        earlier = file_states(Path(save_directory))
        super().save_pretrained(save_directory, is_main_process=is_main_process, **kwargs)
        if is_main_process:
            finish_saving(Path(save_directory), earlier, self.config)
        if self.write_code is not None and is_main_process and Path(save_directory, "config.json").is_file():
            self.write_code(self, str(save_directory))
        if push_to_hub and is_main_process:
            self.push_to_hub(sharing.pop("repo_id", Path(save_directory).name), **sharing)

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | PathLike[str] | None,
        *args: Any,
        use_safetensors: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Load as the library does, but weights from safetensors alone: a pickle can run any code when it is read.

        They must fit the configuration, be the ones that it was trained with, and be finite.

        Raises:
            ValueError: If they are or do not, or `use_safetensors=False` is asked for.
            OSError: If there are no safetensors.
        """
        if use_safetensors is False:
            raise InputError(f"{cls.__name__} reads weights from safetensors alone. Leave out use_safetensors=False.")
        name = pretrained_model_name_or_path
        check_saved(cls, name, **kwargs)
        found = super().from_pretrained(name, *args, use_safetensors=True, **kwargs)
        model = found[0] if isinstance(found, tuple) else found
        require_finite_weights(model.state_dict().items(), where=str(name))
        return found


class NextItemBackbone(NextItemPreTrainedModel):
    """A Transformer that turns histories into user vectors and the catalogue into item vectors.

    Item and position embeddings, blocks, a final norm. The score of an item for a user is the product of their two
    vectors. Architectures differ in their blocks (`block_class`), and in what their configuration says.
    """

    block_class: type[nn.Module] = TransformerBlock

    def __init__(self, config: NextItemConfig) -> None:
        super().__init__(config)
        self.item_embedding = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=config.pad_token_id)
        if config.position_embedding_type == "learned":
            self.position_embedding = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.embedding_dropout = Dropout(config.hidden_dropout)
        self.layers = nn.ModuleList(self.block_class(config, index) for index in range(config.num_hidden_layers))
        self.final_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.gradient_checkpointing = False
        self.post_init()

    def get_input_embeddings(self) -> nn.Embedding:
        """Return the item embedding."""
        return self.item_embedding

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        """Replace the item embedding."""
        self.item_embedding = value

    @capture_outputs
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        query_position: Tensor | int | None = None,
        **kwargs: Any,
    ) -> BaseModelOutput:
        """Encode every position of every history; arguments as in `NextItemHead.forward`.

        With `query_position`, (B,) or one number for all, only that one position of each row is wanted, and the last
        block computes no other.

        Returns:
            `last_hidden_state` (B, L, D), or (B, 1, D) with `query_position`.

        Raises:
            ValueError: If a row is longer than `config.max_position_embeddings`, not exactly one of `input_ids` and
                `inputs_embeds` is given, or the attention implementation is known to be wrong on this processor.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise InputError("Give exactly one of input_ids and inputs_embeds.")
        if inputs_embeds is None:
            inputs_embeds = self.item_embedding(input_ids)
        length = inputs_embeds.shape[1]
        self.check_length(length)
        require_right_attention(self.config._attn_implementation, inputs_embeds.device)
        positions_BL = positions_from_newest(length, attention_mask, position_ids, inputs_embeds.device)
        # SASRec's code scales items by √D, which its paper does not say, lest positions drown them.
        hidden_BLD = inputs_embeds * self.config.hidden_size**0.5
        if self.config.position_embedding_type == "learned":
            hidden_BLD = hidden_BLD + self.position_embedding(positions_BL)
        else:
            kwargs["rotary"] = rotary_table(positions_BL, self.config.hidden_size // self.config.num_attention_heads)
        hidden_BLD = self.embedding_dropout(hidden_BLD)
        mask = additive_mask(self.make_mask(hidden_BLD, attention_mask, position_ids), hidden_BLD.dtype)
        if position_ids is not None and is_flash_attention_requested(self.config):
            kwargs |= packed_lengths(position_ids)
        *layers, last_layer = self.layers
        for layer in layers:
            hidden_BLD = layer(hidden_BLD, attention_mask=mask, **kwargs)
        if query_position is not None and self.config._attn_implementation in ONE_QUERY_ATTENTION:
            mask = None if mask is None else take_position(mask.transpose(1, 2), query_position).transpose(1, 2)
            hidden_BLD = last_layer(hidden_BLD, attention_mask=mask, query_position=query_position, **kwargs)
        else:
            hidden_BLD = last_layer(hidden_BLD, attention_mask=mask, **kwargs)
            if query_position is not None:
                hidden_BLD = take_position(hidden_BLD, query_position)
        return BaseModelOutput(last_hidden_state=self.final_norm(hidden_BLD))

    def make_mask(self, hidden_BLD: Tensor, attention_mask_BL: Tensor | None, position_ids_BL: Tensor | None) -> Any:
        """Say which positions see which, in whichever form the attention implementation takes it."""
        if attention_mask_BL is None and position_ids_BL is None and self.config._attn_implementation == "sdpa":
            return None  # the library would find that out too, in a twentieth of a request's time
        return create_causal_mask(
            config=self.config,
            inputs_embeds=hidden_BLD,
            attention_mask=attention_mask_BL,
            position_ids=position_ids_BL,
            **NO_CACHE,
        )

    def check_length(self, length: int) -> None:
        """Raise a `ValueError` for rows longer than the model reads."""
        if length > self.config.max_position_embeddings:
            raise InputError(
                f"A row of {length} positions was given, but this model reads at most "
                f"{self.config.max_position_embeddings} (config.max_position_embeddings). Keep the newest "
                f"{self.config.max_history_length} items of each history."
            )

    def encode_users(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, position_ids: Tensor | None = None
    ) -> Tensor:
        """Turn each row's history into a user vector: the hidden state of its newest item.

        Args:
            input_ids: Token ids (B, L), oldest first, padded on either side; one history a row.
            attention_mask: 1 for items, 0 for padding (B, L); None where nothing is padded.
            position_ids: As in `forward`; not needed for one history a row.

        Returns:
            User vectors (B, D).
        """
        newest: Tensor | int = -1
        if attention_mask is not None:
            index_L = torch.arange(input_ids.shape[1], device=input_ids.device)
            newest = (index_L * attention_mask.to(input_ids.device)).argmax(dim=1)
        outputs = self(
            input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            query_position=newest,
            return_dict=True,
        )
        return self.as_users(outputs.last_hidden_state[:, 0])

    def encode_items(self) -> Tensor:
        """Return the vectors of the whole catalogue (V, D), special tokens' rows included."""
        return self.as_items(self.item_embedding.weight)

    def as_users(self, hidden: Tensor) -> Tensor:
        """Turn hidden states (…, D) into user vectors: of length `logit_scale`, where that is given."""
        scale = self.config.logit_scale
        return hidden if scale is None else scale * nn.functional.normalize(hidden, dim=-1)

    def as_items(self, embeddings: Tensor) -> Tensor:
        """Turn item embeddings (…, D) into item vectors: of length 1, where `logit_scale` is given."""
        return embeddings if self.config.logit_scale is None else nn.functional.normalize(embeddings, dim=-1)

"""Configuration that all models made of Transformer blocks share."""

from typing import Literal

from seqrec.configuration.config_fields import option
from seqrec.configuration.configuration_next_item import NextItemConfig, require_sizes
from seqrec.configuration.strict_config import shown, strict_config
from seqrec.errors import InputError

__all__ = ["TransformerConfig"]

LARGEST = {"num_attention_heads": 2**16, "intermediate_size": 2**20}


@strict_config
class TransformerConfig(NextItemConfig):
    """Fields that models made of Transformer blocks share, in addition to those of all next-item models.

    Raises:
        InputError: As for `NextItemConfig`.
    """

    num_hidden_layers: int = option(2, "architecture", "Transformer blocks.")
    num_attention_heads: int = option(2, "architecture", "Attention heads; must divide `hidden_size`.")
    intermediate_size: int = option(256, "architecture", "Width of the feed-forward's inner layer.")
    hidden_act: str = option("gelu", "architecture", "Activation of the feed-forward, by its name in transformers.")
    position_embedding_type: Literal["learned", "rotary", "relative"] = option(
        "learned",
        "architecture",
        "'learned' embeddings added to those of the items, 'rotary' angles between queries and keys, or 'relative' "
        "biases, learned for each distance between a query and a key and added to their attention score.",
    )
    time_encoding: Literal["none", "relative", "embedding"] = option(
        "none",
        "architecture",
        "How the times of events enter: not at all ('none'); as a 'relative' bias of attention, learned for each head "
        "and range of gaps between the request and an event; or as an 'embedding' of the gaps between events and of "
        "the request's hour and weekday (UTC), added to the input.",
    )
    hidden_dropout: float | int = option(
        0.2, "training", "Dropout on the embeddings and on the two outputs of each block."
    )
    attention_dropout: float | int = option(0.0, "training", "Dropout on the attention weights.")
    layer_norm_eps: float | int = option(1e-8, "numerics", "Epsilon of the layer norms.")

    @property
    def reads_time(self) -> bool:
        """Whether the model reads when events happened."""
        return self.time_encoding != "none" or super().reads_time

    def validate_architecture(self) -> None:
        """Check that the fields fit together; run by the library after construction, and before a model is built."""
        super().validate_architecture()
        if self.hidden_size % self.num_attention_heads:
            raise InputError(
                f"hidden_size={self.hidden_size} cannot be split into num_attention_heads="
                f"{self.num_attention_heads} equal heads. Choose a multiple."
            )
        if self.position_embedding_type == "rotary" and self.hidden_size // self.num_attention_heads % 2:
            raise InputError(
                f"Rotary positions need heads of an even size, but hidden_size={self.hidden_size} and "
                f"num_attention_heads={self.num_attention_heads} give {self.hidden_size // self.num_attention_heads}."
            )
        self.validate_activation()

    def validate_activation(self) -> None:
        """Check the name of the activation."""
        from transformers.activations import ACT2FN  # here: transformers may still be loading this module

        if self.hidden_act is not None and self.hidden_act not in ACT2FN:  # None: an architecture without the field
            raise InputError(f"hidden_act must be one of {', '.join(sorted(ACT2FN))}, but is {shown(self.hidden_act)}.")

    def validate_sizes(self) -> None:
        """Check integers."""
        super().validate_sizes()
        require_sizes(self, LARGEST)

    def validate_numbers(self) -> None:
        """Check floats. Written so that NaN fails too."""
        super().validate_numbers()
        if not 0 <= self.attention_dropout < 1:
            raise InputError(f"attention_dropout must lie in [0, 1), but is {self.attention_dropout}.")
        if not 0 < self.layer_norm_eps <= 1:
            raise InputError(f"layer_norm_eps must be above 0 and at most 1, but is {self.layer_norm_eps}.")

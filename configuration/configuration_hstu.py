"""Configuration of HSTU."""

from typing import ClassVar, Literal

from seqrec.configuration.config_fields import option
from seqrec.configuration.configuration_transformer import TransformerConfig
from seqrec.configuration.strict_config import strict_config
from seqrec.errors import InputError

__all__ = ["HstuConfig"]


@strict_config
class HstuConfig(TransformerConfig):
    """HSTU, the Hierarchical Sequential Transduction Unit (Zhai et al., ICML 2024).

    A causal model whose layers weight earlier items by SiLU instead of softmax, and gate the result; they have no
    feed-forward. Positions and, with `time_encoding="relative"`, times are biases of its attention. Departures from the
    paper: the loss is the full softmax instead of one over sampled negatives, scores are dot products unless
    `logit_scale` is set, a norm follows the last layer, and all layers share one table of biases, which
    differ between heads.

    Example:
        >>> from seqrec import HstuConfig
        >>> HstuConfig(vocab_size=103, hidden_size=32).model_type
        'hstu'
    """

    model_type = "hstu"
    display_name = "HSTU"
    summary = "a causal network of gated layers with pointwise attention (Zhai et al., ICML 2024)"
    paper = "https://arxiv.org/abs/2402.17152"
    citation = """@inproceedings{zhai2024actions,
  title     = {Actions Speak Louder than Words: Trillion-Parameter Sequential Transducers for Generative
               Recommendations},
  author    = {Zhai, Jiaqi and others},
  booktitle = {International Conference on Machine Learning (ICML)},
  year      = {2024}
}"""

    # Its layers use SiLU, so this field does not exist.
    hidden_act: ClassVar[None] = None  # type: ignore[assignment,misc]

    position_embedding_type: Literal["learned", "rotary", "relative"] = option(
        "relative",
        "architecture",
        "'learned' embeddings added to those of the items, 'rotary' angles between queries and keys, or 'relative' "
        "biases, learned for each distance between a query and a key and added to their attention score.",
    )
    intermediate_size: int = option(
        64, "architecture", "Width of the values and gates of all heads; `num_attention_heads` must divide it."
    )
    hidden_dropout: float | int = option(0.2, "training", "Dropout on the embeddings and on the gated values.")
    layer_norm_eps: float | int = option(1e-6, "numerics", "Epsilon of the layer norms.")

    def validate_architecture(self) -> None:
        """Check that the fields fit together; run by the library after construction."""
        super().validate_architecture()
        if self.intermediate_size % self.num_attention_heads:
            raise InputError(
                f"intermediate_size={self.intermediate_size} cannot be split into num_attention_heads="
                f"{self.num_attention_heads} equal heads. Choose a multiple."
            )

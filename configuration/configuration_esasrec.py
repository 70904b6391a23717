"""Configuration of eSASRec."""

from typing import ClassVar

from seqrec.configuration.configuration_transformer import TransformerConfig
from seqrec.configuration.strict_config import strict_config

__all__ = ["ESasRecConfig"]


@strict_config
class ESasRecConfig(TransformerConfig):
    """eSASRec (Tikhonovich et al., RecSys 2025): SASRec's shifted targets and sampled softmax, with LiGR blocks.

    Its blocks have gated residuals and SwiGLU feed-forwards. The loss defaults to the full softmax, which costs little
    on catalogues of common size; `loss="sampled_softmax"` is the paper's.

    Example:
        >>> from seqrec import ESasRecConfig
        >>> ESasRecConfig(vocab_size=103, hidden_size=32).model_type
        'esasrec'
    """

    model_type = "esasrec"
    display_name = "eSASRec"
    summary = "SASRec with LiGR blocks: gated residuals and SwiGLU layers (Tikhonovich et al., RecSys 2025)"
    paper = "https://arxiv.org/abs/2508.06450"
    citation = """@inproceedings{tikhonovich2025esasrec,
  title     = {eSASRec: Enhancing Transformer-based Recommendations in a Modular Fashion},
  author    = {Tikhonovich, Daria and others},
  booktitle = {ACM Conference on Recommender Systems (RecSys)},
  year      = {2025}
}"""

    # SwiGLU has its own activation, so this field does not exist.
    hidden_act: ClassVar[None] = None  # type: ignore[assignment,misc]

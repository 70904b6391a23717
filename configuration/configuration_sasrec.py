"""Configuration of SASRec."""

from seqrec.configuration.configuration_transformer import TransformerConfig
from seqrec.configuration.strict_config import strict_config

__all__ = ["SasRecConfig"]


@strict_config
class SasRecConfig(TransformerConfig):
    """Self-Attentive Sequential Recommendation (Kang & McAuley, ICDM 2018).

    A causal Transformer over a user's items; the item embedding is also the output layer. Departures from the paper,
    each a practice that later work found stronger: the loss is the full softmax instead of one sampled negative
    (Klenitskiy & Vasilev, RecSys 2023), the feed-forward is four times as wide as the hidden states, and blocks
    are pre-norm on queries, keys and values alike.

    Example:
        >>> from seqrec import SasRecConfig
        >>> SasRecConfig(vocab_size=103, hidden_size=32).intermediate_size
        256
    """

    model_type = "sasrec"
    display_name = "SASRec"
    summary = "a causal Transformer over the items of a user's history (Kang & McAuley, ICDM 2018)"
    paper = "https://arxiv.org/abs/1808.09781"
    citation = """@inproceedings{kang2018sasrec,
  title     = {Self-Attentive Sequential Recommendation},
  author    = {Kang, Wang-Cheng and McAuley, Julian},
  booktitle = {IEEE International Conference on Data Mining (ICDM)},
  pages     = {197--206},
  year      = {2018}
}"""

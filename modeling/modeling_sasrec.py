"""SASRec (Kang & McAuley, ICDM 2018): a causal Transformer over a user's items."""

from seqrec.configuration.configuration_sasrec import SasRecConfig
from seqrec.modeling.modeling_next_item import NextItemHead
from seqrec.modeling.transformer import TransformerBackbone

__all__ = ["SasRecForNextItem", "SasRecModel"]


class SasRecModel(TransformerBackbone):
    """SASRec's backbone; see `TransformerBackbone`."""

    config: SasRecConfig


class SasRecForNextItem(NextItemHead):
    """SASRec with its training loss and scores; see `NextItemHead`."""

    config: SasRecConfig
    backbone_class = SasRecModel

"""SASRec (Kang & McAuley, ICDM 2018): a causal Transformer over a user's items."""

from seqrec.configuration.configuration_sasrec import SasRecConfig
from seqrec.modeling.backbone import NextItemBackbone
from seqrec.modeling.modeling_next_item import NextItemHead

__all__ = ["SasRecForNextItem", "SasRecModel"]


class SasRecModel(NextItemBackbone):
    """SASRec's backbone; see `NextItemBackbone`."""

    config: SasRecConfig


class SasRecForNextItem(NextItemHead):
    """SASRec with its training loss and scores; see `NextItemHead`."""

    config: SasRecConfig
    backbone_class = SasRecModel

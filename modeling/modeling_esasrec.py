"""eSASRec (RecSys 2025): SASRec's training with LiGR blocks."""

from seqrec.configuration.configuration_esasrec import ESasRecConfig
from seqrec.modeling.ligr import LigrBlock
from seqrec.modeling.modeling_next_item import NextItemHead
from seqrec.modeling.transformer import TransformerBackbone

__all__ = ["ESasRecForNextItem", "ESasRecModel"]


class ESasRecModel(TransformerBackbone):
    """eSASRec's backbone, made of LiGR blocks; see `TransformerBackbone`."""

    config: ESasRecConfig
    block_class = LigrBlock


class ESasRecForNextItem(NextItemHead):
    """eSASRec with its training loss and scores; see `NextItemHead`."""

    config: ESasRecConfig
    backbone_class = ESasRecModel

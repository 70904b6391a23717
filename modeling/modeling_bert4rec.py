"""BERT4Rec (Sun et al., CIKM 2019): a bidirectional Transformer over a user's items."""

from seqrec.configuration.configuration_bert4rec import Bert4RecConfig
from seqrec.modeling.modeling_next_item import NextItemHead
from seqrec.modeling.objectives import MASKED_ITEM
from seqrec.modeling.transformer import TransformerBackbone

__all__ = ["Bert4RecForNextItem", "Bert4RecModel"]


class Bert4RecModel(TransformerBackbone):
    """BERT4Rec's backbone, in which every item sees every other; see `TransformerBackbone`."""

    config: Bert4RecConfig
    objective = MASKED_ITEM


class Bert4RecForNextItem(NextItemHead):
    """BERT4Rec with its training loss and scores; see `NextItemHead`."""

    config: Bert4RecConfig
    backbone_class = Bert4RecModel

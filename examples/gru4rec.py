"""GRU4Rec (Hidasi et al., ICLR 2016), a recurrent network, added to seqrec as a new architecture.

With this file's folder on PYTHONPATH, `seqrec train --import gru4rec --model_type gru4rec --dataset ml-100k` trains it.
Saved models contain this file as remote code, so they load without it. Run as a script, it trains on synthetic data;
that model has no remote code, which requires classes from an importable module.
"""

from typing import Any

from torch import Tensor, nn

from seqrec.configuration.config_fields import option
from seqrec.configuration.configuration_next_item import NextItemConfig
from seqrec.configuration.strict_config import strict_config
from seqrec.modeling.backbone import NextItemBackbone
from seqrec.modeling.modeling_auto import register_architecture
from seqrec.modeling.modeling_next_item import NextItemHead
from seqrec.modeling.sequence_layout import SequenceLayout


@strict_config
class Gru4RecConfig(NextItemConfig):
    """Configuration of GRU4Rec. The loss defaults to the full softmax; the paper samples negatives (`loss="bce"`)."""

    model_type = "gru4rec"
    display_name = "GRU4Rec"
    summary = "a recurrent network over the items of a user's history (Hidasi et al., ICLR 2016)"
    paper = "https://arxiv.org/abs/1511.06939"
    citation = """@inproceedings{hidasi2016gru4rec,
  title     = {Session-based Recommendations with Recurrent Neural Networks},
  author    = {Hidasi, Bal{\\'a}zs and Karatzoglou, Alexandros and Baltrunas, Linas and Tikk, Domonkos},
  booktitle = {International Conference on Learning Representations (ICLR)},
  year      = {2016}
}"""

    num_hidden_layers: int = option(1, "architecture", "GRU layers. One is best in the paper.")


class Gru4RecModel(NextItemBackbone):
    """GRUs over the item embeddings; the state after an item predicts the next one."""

    config: Gru4RecConfig
    _can_compile_fullgraph = False  # torch.compile does not support torch.nn.GRU

    def __init__(self, config: Gru4RecConfig, **unknown: Any) -> None:
        super().__init__(config, **unknown)
        size, num_layers = config.hidden_size, config.num_hidden_layers
        between_layers = config.hidden_dropout if num_layers > 1 else 0.0
        self.gru = nn.GRU(size, size, num_layers, dropout=between_layers, batch_first=True)
        self.post_init()

    def encode_sequences(self, events_BLD: Tensor, layout: SequenceLayout) -> Tensor:
        """Return the state after each event; the layout separates histories packed into one row."""
        states, _ = self.gru(layout.to_sequences(self.embedding_dropout(events_BLD)))
        return layout.to_rows(states)


class Gru4RecForNextItem(NextItemHead):
    """GRU4Rec with its training loss and scores."""

    config: Gru4RecConfig
    backbone_class = Gru4RecModel


register_architecture(Gru4RecConfig, Gru4RecModel, Gru4RecForNextItem)

if __name__ == "__main__":
    import seqrec

    settings = {"hidden_size": 32, "num_train_epochs": 5, "learning_rate": 0.01}
    recommender = seqrec.train("synthetic", model_type="gru4rec", **settings)
    for recommendation in recommender.recommend(recommender.item_ids[:3], k=5):
        print(recommendation)

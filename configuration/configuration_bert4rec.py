"""Configuration of BERT4Rec."""

from seqrec.configuration.config_fields import option
from seqrec.configuration.configuration_transformer import TransformerConfig
from seqrec.configuration.strict_config import strict_config
from seqrec.errors import InputError

__all__ = ["Bert4RecConfig"]


@strict_config
class Bert4RecConfig(TransformerConfig):
    """BERT4Rec (Sun et al., CIKM 2019): a bidirectional Transformer that fills in masked items.

    To recommend, a mask token is appended to the history, and the item in its place is predicted. Departures from the
    paper: blocks are pre-norm, positions count back from the newest item, and the last layer is the item embedding
    itself, without a projection before it.

    Example:
        >>> from seqrec import Bert4RecConfig
        >>> Bert4RecConfig(vocab_size=103, max_position_embeddings=50).max_history_length
        49
    """

    model_type = "bert4rec"
    display_name = "BERT4Rec"
    summary = "a bidirectional Transformer that fills in masked items of a history (Sun et al., CIKM 2019)"
    paper = "https://arxiv.org/abs/1904.06690"
    citation = """@inproceedings{sun2019bert4rec,
  title     = {BERT4Rec: Sequential Recommendation with Bidirectional Encoder Representations from Transformer},
  author    = {Sun, Fei and Liu, Jun and Wu, Jian and Pei, Changhua and Lin, Xiao and Ou, Wenwu and Jiang, Peng},
  booktitle = {ACM International Conference on Information and Knowledge Management (CIKM)},
  pages     = {1441--1450},
  year      = {2019}
}"""
    is_causal = False

    masking_probability: float | int = option(
        0.2, "training", "Probability that an item is hidden in training (the paper's ρ)."
    )
    last_item_share: float | int = option(
        0.1, "training", "Share of the training windows in which only the last item is hidden, as when recommending."
    )

    @property
    def max_history_length(self) -> int:
        """Longest history that the model reads: one position is for the mask."""
        return self.max_position_embeddings - 1

    def validate_architecture(self) -> None:
        """Check that the fields fit together; run by the library after construction."""
        super().validate_architecture()
        if not 0 < self.masking_probability < 1:
            raise InputError(f"masking_probability must lie between 0 and 1, but is {self.masking_probability}.")
        if not 0 <= self.last_item_share <= 1:
            raise InputError(f"last_item_share must lie in [0, 1], but is {self.last_item_share}.")
        if self.max_position_embeddings < 2:
            raise InputError(
                f"max_position_embeddings must be at least 2, for an item and the mask, "
                f"but is {self.max_position_embeddings}."
            )

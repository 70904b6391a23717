"""The catalogue that is saved with a model when none was given to its trainer."""

import numpy as np
import polars as pl
from transformers import PreTrainedTokenizerBase

from seqrec.interactions.catalogue import Catalogue
from seqrec.interactions.histories import Histories
from seqrec.interactions.item_rows import by_row
from seqrec.interactions.special_tokens import NUM_SPECIAL_TOKENS

__all__ = ["count_catalogue"]


def count_catalogue(tokenizer: PreTrainedTokenizerBase, train_histories: Histories | None) -> Catalogue:
    """Make the catalogue of a vocabulary, without titles.

    Args:
        tokenizer: The vocabulary.
        train_histories: Histories whose events are counted, each once even if rows overlap; without them, counts are 0.
    """
    counts_V = np.zeros(len(tokenizer), dtype=np.int64)
    if train_histories is not None:
        counts_V += np.bincount(train_histories.held("input_ids"), minlength=len(tokenizer))
    item_ids = tokenizer.convert_ids_to_tokens(range(NUM_SPECIAL_TOKENS, len(tokenizer)))
    return Catalogue(pl.DataFrame([pl.Series("item_id", item_ids, pl.String), pl.Series("count", by_row(counts_V))]))

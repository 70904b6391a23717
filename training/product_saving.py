"""Save all files of a model: weights, code, vocabulary, catalogue and card."""

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from transformers import PreTrainedTokenizerBase

from seqrec.hub.card_metadata import is_repository_name
from seqrec.hub.model_card import save_model_card
from seqrec.hub.saved_catalogue import save_catalogue
from seqrec.hub.saved_features import features_next_to
from seqrec.interactions.catalogue import Catalogue
from seqrec.interactions.histories import Histories
from seqrec.interactions.item_features import ItemFeatures
from seqrec.interactions.item_rows import by_row
from seqrec.interactions.special_tokens import NUM_SPECIAL_TOKENS
from seqrec.modeling.saved_items import ITEMS
from seqrec.training.item_sharding import ItemSharding

__all__ = ["ProductSaving"]


class ProductSaving(ItemSharding):
    """A `Trainer` whose saved model `Recommender.from_pretrained` can load.

    Attributes:
        init_from: The model of another catalogue whose weights the model began with, if any.
        items: The catalogue, if one was given.
        features: How a table becomes the features that the model reads, if they were given.
    """

    init_from: str | None = None
    items: Catalogue | None
    features: ItemFeatures | None

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        # The library would also pickle the training arguments, including tokens. metrics.json holds them instead.
        folder = Path(output_dir or self.args.output_dir)
        if self.sharded_items is not None:
            self.save_whole_model(folder)
        else:
            self.accelerator.unwrap_model(self.bare_model, keep_torch_compile=False).save_pretrained(
                folder, state_dict=state_dict, is_main_process=self.args.should_save
            )
        if not self.args.should_save:
            return
        self.processing_class.save_pretrained(folder)
        items = self.catalogue_to_save(folder)
        if items is not None:
            save_catalogue(items, folder)
        features = self.features or features_next_to(self.bare_model)
        if features is not None:
            features.save(folder)

    def catalogue_to_save(self, folder: Path) -> Catalogue | None:
        """Return the catalogue to save; None if nothing is known that a catalogue in the folder would not tell."""
        if self.items is not None:
            return self.items
        is_counted = isinstance(self.train_dataset, Histories)
        return self.counted_items if is_counted or not (folder / ITEMS).exists() else None

    @cached_property
    def counted_items(self) -> Catalogue:
        """The vocabulary with the counts of the training histories, for a trainer without `items`."""
        is_counted = isinstance(self.train_dataset, Histories)
        return count_catalogue(self.processing_class, self.train_dataset if is_counted else None)

    def create_model_card(self, *args: Any, folder: Path | None = None, **kwargs: Any) -> None:
        """Write the card from the files in a folder, the output folder if None; `Trainer`'s own arguments are not used.

        Adapters have no configuration of their own, and therefore no card.
        """
        folder = folder or Path(self.args.output_dir)
        if self.is_world_process_zero() and (folder / "config.json").is_file():
            save_model_card(folder, repo_id=self.hub_model_id, license=self.args.license, base_model=self.base_model)

    @property
    def base_model(self) -> str | None:
        """The repository on the Hub that the model, or the weights it began with, came from; None if there is none."""
        name = self.init_from or self.bare_model.name_or_path
        return name if is_repository_name(name) and not Path(name).exists() else None


def count_catalogue(tokenizer: PreTrainedTokenizerBase, train_histories: Histories | None) -> Catalogue:
    """Make the catalogue of a vocabulary, without titles, for a trainer that was given none.

    Args:
        tokenizer: The vocabulary.
        train_histories: Histories whose events are counted, each once even if rows overlap; without them, counts are 0.
    """
    counts_V = np.zeros(len(tokenizer), dtype=np.int64)
    if train_histories is not None:
        counts_V += np.bincount(train_histories.held("input_ids"), minlength=len(tokenizer))
    item_ids = tokenizer.convert_ids_to_tokens(range(NUM_SPECIAL_TOKENS, len(tokenizer)))
    return Catalogue(pl.DataFrame([pl.Series("item_id", item_ids, pl.String), pl.Series("count", by_row(counts_V))]))

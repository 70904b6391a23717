"""A pretrained model to fine-tune: weights, vocabulary and titles."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from seqrec.configuration.config_fields import TRAINING, names_for
from seqrec.errors import InputError
from seqrec.hub.saved_folder import (
    load_items,
    load_model,
    load_tokenizer,
    require_one_catalogue,
    saved_model_type,
)
from seqrec.interactions.tokenization_items import ItemTokenizer
from seqrec.modeling.modeling_auto import MODEL_TYPES
from seqrec.modeling.modeling_next_item import NextItemHead


@dataclass(frozen=True)
class StartingPoint:
    """What a training goes on from."""

    model: NextItemHead
    tokenizer: ItemTokenizer
    items: pl.DataFrame

    def keep_titles(self, items: pl.DataFrame) -> pl.DataFrame:
        """Give a catalogue of the same vocabulary the titles that it lacks."""
        if "title" not in self.items.columns:
            return items
        own = [pl.col("title")] if "title" in items.columns else []
        return items.with_columns(title=pl.coalesce(*own, self.items["title"]))


def load_starting_point(
    name_or_path: str, *, revision: str | None = None, config_fields: Mapping[str, Any] | None = None
) -> StartingPoint:
    """Load a folder written by `seqrec train` or `Recommender.save_pretrained`, or a repository of the Hub.

    Args:
        name_or_path: Folder, or `"org/name"`.
        revision: Branch, commit or `refs/pr/NUMBER` of the repository.
        config_fields: Fields of the configuration that training alone reads, to be changed.

    Raises:
        ValueError: On other fields, if a part of the model is missing, or the Hub refuses or cannot be reached.
    """
    fields = dict(config_fields or {})
    config_class = MODEL_TYPES[saved_model_type(name_or_path, revision=revision)]
    changeable = names_for(config_class, TRAINING)
    fixed = sorted(fields.keys() - changeable)
    if fixed:
        raise InputError(
            f"{fixed[0]} cannot be changed, as the weights of {name_or_path} are made for the value that they have. "
            f"What can be set for fine-tuning: {', '.join(sorted(changeable))}."
        )
    model = load_model(name_or_path, revision=revision, config_fields=fields)
    tokenizer = load_tokenizer(name_or_path, revision=revision)
    items = load_items(name_or_path, revision=revision)
    require_one_catalogue(model.config.vocab_size, tokenizer, items)
    return StartingPoint(model, tokenizer, items)

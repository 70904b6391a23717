"""A trained model over a catalogue that it never saw, whose items it knows by their features."""

import copy
from collections.abc import Mapping
from typing import Any

import polars as pl

from seqrec.errors import InputError
from seqrec.inference.new_items import (
    GrownModel,
    feature_values,
    require_saved_features,
    require_whole_model,
    wanted_columns,
)
from seqrec.interactions.catalogue import Catalogue
from seqrec.interactions.item_features import ItemFeatures
from seqrec.interactions.item_tables import read_items
from seqrec.interactions.special_tokens import NUM_SPECIAL_TOKENS
from seqrec.interactions.tokenization_items import ItemTokenizer
from seqrec.modeling.modeling_next_item import NextItemHead

__all__ = ["over_catalogue"]


def over_catalogue(
    model: NextItemHead,
    table: Any,
    *,
    features: ItemFeatures | None = None,
    columns: Mapping[str, str] | None = None,
    item_text_model: str | None = None,
) -> GrownModel:
    """Return a copy of a model over other items; for arguments and errors, see `Recommender.with_catalogue`."""
    require_whole_model(model)
    if model.config.item_id_embedding != "none":
        raise InputError(
            "The model has an embedding of each item's id, which only training gives to other items. Add the items to "
            "its own (add_items), train a model of the new catalogue that starts with this one by init_from "
            "(--init_from), or train one with item_id_embedding='none'."
        )
    require_saved_features(model, features)
    assert features is not None, "as the model has no embedding of ids"
    new = read_items(table, columns=columns, features=wanted_columns(features))
    tokenizer = ItemTokenizer.from_item_ids(new["item_id"])
    values = feature_values(new, features, item_text_model)
    items = Catalogue.from_interactions(pl.DataFrame(schema={"item_id": pl.String}), tokenizer, new)
    found = copy.deepcopy(model)
    for size in (NUM_SPECIAL_TOKENS, len(tokenizer)):  # first without any item, so that nothing is left of the old ones
        found.resize_token_embeddings(size, mean_resizing=False)
    found.set_feature_values(values)
    found.set_item_counts(items.counts_by_token)
    return GrownModel(found.eval(), tokenizer, items)

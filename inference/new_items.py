"""Add items to a trained model: known items keep their token ids, weights and scores.

Shape suffix: N new items.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from seqrec.errors import InputError
from seqrec.interactions.catalogue import Catalogue
from seqrec.interactions.item_features import ITEM_FEATURES, ItemFeatures
from seqrec.interactions.item_tables import read_items
from seqrec.interactions.plain_features import require_some_feature
from seqrec.interactions.raw_ids import id_text
from seqrec.interactions.tokenization_items import ItemTokenizer
from seqrec.modeling.grown_models import (
    SEPARATOR,
    SIMILAR_TO,
    SimilarItems,
    find_similar,
    grown_model,
    has_id_embedding,
)
from seqrec.modeling.modeling_next_item import NextItemHead

__all__ = [
    "GrownModel",
    "feature_values",
    "grow",
    "grow_by",
    "require_features_of",
    "require_saved_features",
    "require_whole_model",
    "wanted_columns",
]


@dataclass(frozen=True)
class GrownModel:
    """A model with more items than before, its vocabulary and its catalogue."""

    model: NextItemHead
    tokenizer: ItemTokenizer
    items: Catalogue


def grow(
    model: NextItemHead,
    tokenizer: ItemTokenizer,
    items: Catalogue,
    table: Any,
    *,
    features: ItemFeatures | None = None,
    columns: Mapping[str, str] | None = None,
    item_text_model: str | None = None,
) -> GrownModel:
    """Return a copy of a model that also knows new items; for arguments and errors, see `Recommender.add_items`."""
    new = read_items(table, columns=columns, features=wanted_columns(features))
    return grow_by(model, tokenizer, items, new, features=features, item_text_model=item_text_model)


def wanted_columns(features: ItemFeatures | None) -> list[str]:
    """Return the columns of a table of new items that are read besides ids and titles, as `name:kind`."""
    return [*(features.wanted if features else []), f"{SIMILAR_TO}:category"]  # ids stay text, like categories


def grow_by(
    model: NextItemHead,
    tokenizer: ItemTokenizer,
    items: Catalogue,
    new: pl.DataFrame,
    *,
    features: ItemFeatures | None = None,
    item_text_model: str | None = None,
) -> GrownModel:
    """Do the same as `grow` with a table that `read_items` has read."""
    require_whole_model(model)
    require_saved_features(model, features)
    grown_items = items.extend(new)
    grown_tokenizer = ItemTokenizer.from_item_ids(grown_items.to_frame()["item_id"])
    values = feature_values(new, features, item_text_model) if features else None
    similar = read_similar(new, tokenizer, is_required=features is None) if has_id_embedding(model) else None
    grown = grown_model(model, len(grown_tokenizer), grown_items.counts_by_token, values, similar)
    return GrownModel(grown, grown_tokenizer, grown_items)


def require_features_of(model: NextItemHead, features: ItemFeatures | None) -> None:
    """Raise an `InputError` unless features are None or those that a model reads."""
    if features is not None and features.config_entry() != model.config.item_features:
        raise InputError(
            f"The features ({', '.join(features.names)}) are not those that the model reads "
            f"({', '.join(model.config.item_features) or 'none'}). Take both from one training."
        )


def require_saved_features(model: NextItemHead, features: ItemFeatures | None) -> None:
    """Raise an `InputError` if a model reads features, but it is not known how a table becomes them."""
    if features is None and model.config.item_features:
        raise InputError(
            f"The model reads item features ({', '.join(model.config.item_features)}), but was saved without "
            f"{ITEM_FEATURES}, so a table of new items cannot be read. Give `features` to Recommender, or train the "
            "model with `seqrec train`."
        )


def feature_values(
    new: pl.DataFrame, features: ItemFeatures, item_text_model: str | None = None
) -> dict[str, np.ndarray]:
    """Return the values of new items' features.

    Raises:
        InputError: If a column does not exist or has unusable values, or an item has no value at all.
    """
    values = features.values(new, text_model=item_text_model)
    require_some_feature(values, new["item_id"])
    return values


def require_whole_model(model: Any) -> None:
    """Raise an `InputError` for a model that is wrapped, such as by an adapter."""
    if not isinstance(model, NextItemHead):
        raise InputError(
            f"Items cannot be added to a {type(model).__name__}, which wraps a model. Merge the adapter first "
            "(model.merge_and_unload()), and create a Recommender of the result."
        )


def read_similar(new: pl.DataFrame, tokenizer: ItemTokenizer, *, is_required: bool) -> SimilarItems | None:
    """Read which known items the new ones resemble.

    Args:
        new: Table of new items, with a column `similar_to`: ids separated by "|", or lists of ids.
        tokenizer: The vocabulary of the known items.
        is_required: Whether each new item must name one.

    Returns:
        The similar items; None if the column does not exist and is not required.

    Raises:
        InputError: If the column holds no ids or an unknown one; or if similar items are required, and the column does
            not exist or a new item names none.
    """
    if SIMILAR_TO not in new.columns and not is_required:
        return None
    if SIMILAR_TO not in new.columns:
        raise InputError(
            f"The model knows items by their ids alone, so each new item needs known ones to resemble: add a column "
            f"{SIMILAR_TO} with their ids, separated by '{SEPARATOR}'. The table has: {', '.join(new.columns)}."
        )
    return find_similar(lists_of_ids(new[SIMILAR_TO]), new["item_id"], tokenizer.look_up, is_required=is_required)


def lists_of_ids(column: pl.Series) -> list[list[str]]:
    """Read a column of lists of ids, or of ids in a text; missing values are empty lists."""
    if isinstance(column.dtype, pl.List | pl.Array):
        return [[id_text(one, SIMILAR_TO) for one in ids or () if one is not None] for ids in column.to_list()]
    if not (column.dtype.is_integer() or isinstance(column.dtype, pl.String | pl.Categorical | pl.Enum | pl.Null)):
        raise InputError(
            f"The column {SIMILAR_TO} is of type {column.dtype}. Give text, with ids separated by '{SEPARATOR}', or "
            "lists of ids."
        )
    texts = column.cast(pl.String).fill_null("").to_list()
    return [[name for part in text.split(SEPARATOR) if (name := part.strip())] for text in texts]

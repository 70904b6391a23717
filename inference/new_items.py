"""Add items to a trained model: known items keep their token ids, weights and scores.

Shape suffixes: N new items, S ids of similar items, D hidden size, V vocabulary.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn

from seqrec.errors import InputError
from seqrec.interactions.catalogue import Catalogue
from seqrec.interactions.item_features import ITEM_FEATURES, ItemFeatures
from seqrec.interactions.item_tables import read_items
from seqrec.interactions.raw_ids import id_text
from seqrec.interactions.special_tokens import UNK_ID
from seqrec.interactions.tokenization_items import ItemTokenizer
from seqrec.modeling.modeling_next_item import NextItemHead

__all__ = ["SIMILAR_TO", "GrownModel", "grow", "grow_by", "require_features_of", "wanted_columns"]

SIMILAR_TO = "similar_to"  # column of new items' tables
SEPARATOR = "|"


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
    grown = copy.deepcopy(model)
    grown.resize_token_embeddings(len(grown_tokenizer), mean_resizing=False)
    if values is not None:
        grown.set_feature_values(values, first_row=len(items))
    if similar is not None:
        with torch.no_grad():
            weight_VD = grown.get_input_embeddings().weight
            weight_VD[len(tokenizer) :] = similar.means(weight_VD)
    grown.set_item_counts(grown_items.counts_by_token)
    return GrownModel(grown.eval(), grown_tokenizer, grown_items)


def has_id_embedding(model: NextItemHead) -> bool:
    """Return whether a model has an embedding of each item's id."""
    return model.config.item_id_embedding != "none"


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
    is_bare_N = np.logical_and.reduce(list(features.is_missing(values).values()))
    if is_bare_N.any():
        raise InputError(
            f"{is_bare_N.sum()} of {len(new)} new items have no value of any feature that the model reads "
            f"({', '.join(features.names)}; first: '{new['item_id'][int(is_bare_N.argmax())]}'). Give at least one, or "
            "leave these items out."
        )
    return values


def require_whole_model(model: Any) -> None:
    """Raise an `InputError` for a model that is wrapped, such as by an adapter."""
    if not isinstance(model, NextItemHead):
        raise InputError(
            f"Items cannot be added to a {type(model).__name__}, which wraps a model. Merge the adapter first "
            "(model.merge_and_unload()), and create a Recommender of the result."
        )


@dataclass(frozen=True)
class SimilarItems:
    """Known items that resemble new ones.

    Attributes:
        token_ids_S: Token ids of the items similar to the first new item, to the second, ….
        counts_N: How many of them each new item has.
    """

    token_ids_S: np.ndarray
    counts_N: np.ndarray

    def means(self, weight_VD: Tensor) -> Tensor:
        """Average the rows of a table of weights for each new item: (N, D); zeros for items without a similar one."""
        rows_SD = weight_VD[torch.as_tensor(self.token_ids_S, device=weight_VD.device)].float()
        starts_N = torch.as_tensor(self.counts_N.cumsum() - self.counts_N, device=weight_VD.device)
        places_S = torch.arange(len(rows_SD), device=weight_VD.device)
        return nn.functional.embedding_bag(places_S, rows_SD, starts_N, mode="mean").to(weight_VD.dtype)


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
    lists = lists_of_ids(new[SIMILAR_TO])
    counts_N = np.array([len(ids) for ids in lists], dtype=np.int64)
    lacking = new["item_id"].filter(pl.Series(counts_N == 0))
    if len(lacking) and is_required:
        raise InputError(
            f"{len(lacking)} of {len(new)} new items name no similar item (first: '{lacking[0]}'). Fill in the column "
            f"{SIMILAR_TO} with ids of known items, separated by '{SEPARATOR}', or leave these items out."
        )
    names = [name for ids in lists for name in ids]
    token_ids_S = tokenizer.look_up(names)
    unknown = np.flatnonzero(token_ids_S == UNK_ID)
    if len(unknown):
        item_id = new["item_id"][int(np.searchsorted(counts_N.cumsum(), unknown[0], side="right"))]
        raise InputError(
            f"{len(unknown)} of {len(names)} ids in {SIMILAR_TO} are of no known item (first: "
            f"'{names[unknown[0]]}', of item '{item_id}'). Name items that the model knows."
        )
    return SimilarItems(token_ids_S, counts_N)


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

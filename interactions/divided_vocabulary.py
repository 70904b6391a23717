"""The vocabulary, the catalogue and the item features of a divided table, from the counts of its items."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from seqrec.interactions.catalogue import Catalogue
from seqrec.interactions.data_arguments import DataArguments
from seqrec.interactions.divided_splits import ItemCounts
from seqrec.interactions.item_features import ItemFeatures
from seqrec.interactions.item_tables import read_items
from seqrec.interactions.large_sources import LargeSource
from seqrec.interactions.preparation import items_on_offer, read_features
from seqrec.interactions.tokenization_items import ItemTokenizer

__all__ = ["DividedItems", "PreparedItems", "prepared_items", "read_own_items"]


@dataclass(frozen=True)
class DividedItems:
    """The items of a divided table: their raw ids, by their codes, and what is known of them."""

    item_ids: pl.Series
    counts: ItemCounts


@dataclass(frozen=True)
class PreparedItems:
    """The items of a prepared set; see `PreparedData`."""

    tokenizer: ItemTokenizer
    catalogue: Catalogue
    features: ItemFeatures | None
    feature_values: dict[str, np.ndarray]


def read_own_items(arguments: DataArguments, source: LargeSource) -> pl.DataFrame | None:
    """Read the table of items, if there is one.

    Raises:
        InputError: See `read_items`.
    """
    table = source.items if arguments.items is None else arguments.items
    if table is None:
        return None
    return read_items(table, columns=arguments.columns, features=arguments.item_features or ())


def prepared_items(items: DividedItems, own_items: pl.DataFrame | None, arguments: DataArguments) -> PreparedItems:
    """Make the vocabulary and the catalogue of the items that occur, and read their features.

    Raises:
        InputError: If the features cannot be read; see `prepare`.
    """
    counts, order = items.counts, items.counts.in_order()
    by_appearance = order[np.argsort(counts.first_I[order])]
    occurring = pl.DataFrame({"item_id": items.item_ids.gather(by_appearance)})
    catalogue = items_on_offer(occurring, own_items, arguments)
    item_ids = pl.concat([items.item_ids.gather(order), catalogue.rename("item_id")]).unique(maintain_order=True)
    tokenizer = ItemTokenizer.from_item_ids(item_ids)
    num_train = np.zeros(len(item_ids), np.int64)
    num_train[: len(order)] = counts.num_train_I[order]
    found = Catalogue.from_counts(tokenizer.item_series, pl.Series(num_train), own_items)
    return PreparedItems(tokenizer, found, *read_features(own_items, found, arguments))

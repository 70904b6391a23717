"""New items of a pipeline, given as Python objects.

Shape suffix: N new items.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seqrec.errors import InputError
from seqrec.interactions.plain_features import (
    ITEM_FEATURES,
    is_list,
    plain_feature_values,
    read_feature_entries,
    require_some_feature,
)
from seqrec.interactions.raw_ids import Encode, entries_of, id_text
from seqrec.interactions.special_tokens import SPECIAL_TOKENS
from seqrec.modeling.grown_models import SEPARATOR, SIMILAR_TO, SimilarItems, find_similar
from seqrec.modeling.saved_items import find_items

__all__ = ["NewItems", "read_new_items"]


@dataclass(frozen=True)
class NewItems:
    """New items, and all that is told of them.

    Attributes:
        item_ids: Raw ids (N).
        columns: Lists (N) by the names of their columns; None where a value is missing.
    """

    item_ids: list[str]
    columns: dict[str, list[Any]]

    @property
    def titles(self) -> list[str | None]:
        """Titles (N); None for an item without one."""
        titles = self.columns.get("title", [None] * len(self.item_ids))
        return [None if title is None else str(title) for title in titles]

    def feature_values(self, model: Any, item_text_model: str | None = None) -> dict[str, np.ndarray] | None:
        """Return the values of the features that a model reads; None if it reads none.

        Raises:
            InputError: If it is not known how the model reads them, or they cannot be read; see `plain_feature_values`.
        """
        names = model.config.item_features
        if not names:
            return None
        path = find_items(model, ITEM_FEATURES)
        if path is None:
            raise InputError(
                f"The model reads item features ({', '.join(names)}), but there is no {ITEM_FEATURES} where it was "
                "loaded from, so new items cannot be read. Load the folder or repository that `seqrec train` wrote."
            )
        entries = read_feature_entries(Path(path).read_text(encoding="utf-8"))
        values = plain_feature_values(entries, self.columns, self.item_ids, text_model=item_text_model)
        require_some_feature(values, self.item_ids)
        return values

    def similar_items(self, look_up: Encode, *, is_required: bool) -> SimilarItems | None:
        """Look up the known items that these resemble; None if they name none, and need not. See `find_similar`."""
        if SIMILAR_TO in self.columns:
            lists = [ids_of(value) for value in self.columns[SIMILAR_TO]]
            return find_similar(lists, self.item_ids, look_up, is_required=is_required)
        if is_required:
            raise InputError(
                "The model knows items by their ids alone, so each new item needs known ones to resemble: give their "
                f"ids as {SIMILAR_TO}. The items have: {', '.join(self.columns)}."
            )
        return None


def read_new_items(items: Any, known: Collection[str]) -> NewItems:
    """Read new items from a list of dictionaries, one for each item, or a dictionary of columns.

    Raises:
        InputError: If they are neither, or an id is missing, unusable, known or given twice.
    """
    columns = as_columns(items)
    if "item_id" not in columns:
        raise InputError(f"The items have no 'item_id'. They have: {', '.join(columns) or 'nothing'}. Add it.")
    item_ids = [id_text(item_id, "add_items") for item_id in columns["item_id"]]
    for item_id in item_ids:
        if item_id == "" or item_id in SPECIAL_TOKENS:
            raise InputError(f"An item id is {item_id!r}, which no item can have. Rename the item.")
    repeated = [item_id for item_id, number in Counter(item_ids).items() if number > 1]
    if repeated:
        raise InputError(f"{len(repeated)} items are given more than once (first: '{repeated[0]}'). Give each once.")
    old = [item_id for item_id in item_ids if item_id in known]
    if old:
        raise InputError(
            f"{len(old)} of {len(item_ids)} items are already in the catalogue (first: '{old[0]}'). Leave them out to "
            "add the others."
        )
    return NewItems(item_ids, columns)


def as_columns(items: Any) -> dict[str, list[Any]]:
    """Return items as lists by the names of their columns, all equally long and not empty."""
    if isinstance(items, Mapping):
        columns = {str(name): entries_of(values) if is_column(values) else values for name, values in items.items()}
    elif isinstance(items, Sequence) and items and all(isinstance(item, Mapping) for item in items):
        names = dict.fromkeys(str(name) for item in items for name in item)
        columns = {name: [item.get(name) for item in items] for name in names}
    else:
        raise InputError(
            f"Items are a list of dictionaries, one for each item, or a dictionary of columns, but {items!r:.60} was "
            "given."
        )
    sizes = {len(values) if isinstance(values, list) else None for values in columns.values()}
    if len(sizes) != 1 or not isinstance(size := sizes.pop(), int) or size < 1:
        raise InputError("The columns of the items differ in length, or are no lists. Give one value for each item.")
    return columns


def is_column(values: Any) -> bool:
    """Return whether values are a list, an array, or a column of a table."""
    return is_list(values) or hasattr(values, "to_list") or hasattr(values, "to_pylist")


def ids_of(value: Any) -> list[str]:
    """Read the ids of similar items: a list, one id, or text in which they are separated by "|"."""
    if value is None:
        return []
    if isinstance(value, str):
        return [name for part in value.split(SEPARATOR) if (name := part.strip())]
    return [id_text(one, SIMILAR_TO) for one in (entries_of(value) if is_list(value) else [value]) if one is not None]

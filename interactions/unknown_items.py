"""Find items that a model's vocabulary lacks: report them, or add them."""

import warnings
from typing import Protocol

import numpy as np
import polars as pl

from seqrec.errors import InputError
from seqrec.interactions.splitting import PARTS, Split
from seqrec.interactions.tokenization_items import ItemTokenizer

__all__ = ["GrowingVocabulary", "report_unknown_items", "rows_of_unknown_items"]


class GrowingVocabulary(Protocol):
    """A model's vocabulary, to which items can be added.

    Attributes:
        tokenizer: The vocabulary.
    """

    tokenizer: ItemTokenizer

    @property
    def wanted_columns(self) -> list[str]:
        """The columns of new items that are read, as `name:kind`."""

    def add(self, new: pl.DataFrame) -> None:
        """Add items, the rows of a table from `read_items`; see `Recommender.add_items`."""


def rows_of_unknown_items(split: Split, tokenizer: ItemTokenizer, items: pl.DataFrame | None) -> pl.DataFrame:
    """Return the rows of items that a vocabulary lacks, the most frequent in training first.

    Args:
        split: The interactions.
        tokenizer: The vocabulary.
        items: The table of items, from `read_items`; all of its items are looked up, also those without interactions.

    Raises:
        InputError: If no item of the interactions is known, or an unknown one has no row.
    """
    counted = split.train.group_by("item_id", maintain_order=True).len()
    frequent = counted.sort("len", descending=True, maintain_order=True)["item_id"].cast(pl.String)
    occurring = pl.concat([frequent, split.interactions["item_id"].cast(pl.String)]).unique(maintain_order=True)
    table = pl.DataFrame({"item_id": occurring[:0]}) if items is None else items
    item_ids = pl.concat([occurring, table["item_id"]]).unique(maintain_order=True)
    unknown = item_ids.filter(tokenizer.encode_item_ids(item_ids) == tokenizer.unk_token_id)
    if occurring.is_in(unknown.implode()).all():
        raise InputError(
            f"None of the {len(occurring):,} items in these interactions is in the model's vocabulary (first: "
            f"'{occurring[0]}'; the model's: '{tokenizer.item_series[0]}'). Check the ids, or start a model of another "
            "catalogue with init_from instead of model_name_or_path."
        )
    lacking = unknown.filter(~unknown.is_in(table["item_id"].implode()))
    if len(lacking):
        raise InputError(
            f"{len(lacking):,} items in these interactions are neither in the model's vocabulary nor in a table of "
            f"items (first: '{lacking[0]}'). Give a table with their features (items), or drop the interactions with "
            "them."
        )
    return unknown.to_frame("item_id").join(table, on="item_id", how="left", maintain_order="left")


def report_unknown_items(split: Split, tokenizer: ItemTokenizer, *, refuse: bool) -> None:
    """Warn of items outside a vocabulary, and count the interactions with them.

    Args:
        split: The interactions.
        tokenizer: The vocabulary.
        refuse: Whether to raise an error instead of warning.

    Raises:
        InputError: If no item is known or, with `refuse`, if one is unknown.
    """
    item_ids = split.interactions["item_id"].unique(maintain_order=True)
    unknown = item_ids.filter(tokenizer.encode_item_ids(item_ids) == tokenizer.unk_token_id)
    if unknown.is_empty():
        return
    message = (
        f"{len(unknown):,} of the {len(item_ids):,} items in these interactions are not in the model's vocabulary "
        f"(first: '{unknown[0]}')"
    )
    if refuse:
        raise InputError(
            f"{message}. Fine-tuning adds items only to models that are saved with item features: add them first "
            "(seqrec add-items), drop the interactions with them, or train a new model."
        )
    if len(unknown) == len(item_ids):
        raise InputError(
            f"{message}, whose items have ids such as '{tokenizer.item_series[0]}'. Check that these are the "
            "model's data, and that item_id is the right column."
        )
    is_unknown_N = split.interactions["item_id"].is_in(unknown.implode()).to_numpy()
    sizes, unknown_sizes = (np.bincount(parts, minlength=3) for parts in (split.part_N, split.part_N[is_unknown_N]))
    names = ("training", *PARTS[1:])
    counts = ", ".join(
        f"{few:,} of {all_:,} {name}" for few, all_, name in zip(unknown_sizes, sizes, names, strict=True)
    )
    warnings.warn(
        f"{message}: {counts} interactions involve them. In histories they carry no information, and as targets they "
        "count as missed.",
        stacklevel=3,
    )

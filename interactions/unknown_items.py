"""Report items that a model's vocabulary lacks."""

import warnings

import numpy as np

from seqrec.errors import InputError
from seqrec.interactions.splitting import PARTS, Split
from seqrec.interactions.tokenization_items import ItemTokenizer

__all__ = ["report_unknown_items"]


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
            f"{message}. Fine-tuning cannot add items: drop the interactions with unknown items, or train a new model."
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

"""Hide items of a catalogue, which are then never recommended, and show them again."""

import warnings

import numpy as np

from seqrec.errors import InputError
from seqrec.interactions.catalogue import Catalogue
from seqrec.interactions.raw_ids import ItemIds, look_up, read_ids
from seqrec.interactions.special_tokens import UNK_ID
from seqrec.interactions.tokenization_items import ItemTokenizer

__all__ = ["hide", "show"]


def hide(items: Catalogue, tokenizer: ItemTokenizer, item_ids: ItemIds) -> Catalogue:
    """Return a catalogue with further items hidden; for arguments and errors, see `Recommender.hide_items`."""
    given, hidden = known_token_ids(tokenizer, item_ids, where="hide_items"), items.hidden_token_ids
    warn_of_no_effect(given, np.isin(given, hidden), tokenizer, "already hidden")
    all_hidden = np.union1d(hidden, given)
    if len(all_hidden) == len(items):
        raise InputError(
            f"With these {len(given)} items, all {len(items)} items of the catalogue would be hidden. Leave out at "
            "least one."
        )
    return items.with_hidden(all_hidden)


def show(items: Catalogue, tokenizer: ItemTokenizer, item_ids: ItemIds) -> Catalogue:
    """Return a catalogue with fewer items hidden; for arguments and errors, see `Recommender.show_items`."""
    given, hidden = known_token_ids(tokenizer, item_ids, where="show_items"), items.hidden_token_ids
    warn_of_no_effect(given, ~np.isin(given, hidden), tokenizer, "not hidden")
    return items.with_hidden(np.setdiff1d(hidden, given))


def known_token_ids(tokenizer: ItemTokenizer, item_ids: ItemIds, *, where: str) -> np.ndarray:
    """Return the token ids of known items, without repeats; warn of unknown ones.

    Raises:
        InputError: If ids were given, but none is known.
    """

    def encode(names: list[str]) -> np.ndarray:
        token_ids = tokenizer.look_up(names)
        if names and (token_ids == UNK_ID).all():
            raise InputError(
                f"None of the {len(names)} items in {where} is in the vocabulary (first: {names[0]!r}), whose items "
                f"have ids such as {tokenizer.item_series[0]!r}. Check that these are items of this model."
            )
        return token_ids

    token_ids, _ = look_up(read_ids(item_ids, where=where, ordered=False), encode, where=where)
    return np.unique(token_ids[token_ids != UNK_ID])


def warn_of_no_effect(token_ids: np.ndarray, is_so: np.ndarray, tokenizer: ItemTokenizer, state: str) -> None:
    """Warn of items that are already as they should be."""
    if is_so.any():
        first = tokenizer.convert_ids_to_tokens(int(token_ids[is_so][0]))
        warnings.warn(f"{is_so.sum()} of {len(token_ids)} items are {state} (first: {first!r}).", stacklevel=4)

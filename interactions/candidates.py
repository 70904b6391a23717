"""Read the candidates of requests: the items for which a model predicts labels.

Shape suffixes: R histories, P pairs.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from seqrec.errors import InputError
from seqrec.interactions.raw_ids import Encode, read_lists_in_order
from seqrec.interactions.special_tokens import UNK_ID

__all__ = ["Candidates", "encode_candidates", "read_candidates"]


@dataclass(frozen=True)
class Candidates:
    """The items to predict labels for, either one list for all histories or one for each.

    Attributes:
        item_ids: Raw ids of each list.
        token_ids: Token ids of each list.
    """

    item_ids: list[list[str]]
    token_ids: list[np.ndarray]

    def rows(self, num_histories: int) -> np.ndarray:
        """Return the history of each pair of a history and its candidate, history by history (P,)."""
        lengths_R = np.broadcast_to([len(item_ids) for item_ids in self.item_ids], num_histories)
        return np.repeat(np.arange(num_histories), lengths_R)

    def names(self, num_histories: int) -> list[str]:
        """Return the raw id of each pair's item (P)."""
        lists = self.item_ids if len(self.item_ids) == num_histories else self.item_ids * num_histories
        return [item_id for item_ids in lists for item_id in item_ids]


def read_candidates(candidates: Any, num_histories: int, encode: Encode) -> Candidates:
    """Read candidates: one list of raw ids for all histories, or one for each.

    Args:
        candidates: The raw ids; they may repeat, and keep their order.
        num_histories: Number of histories R.
        encode: Looks raw ids up, as `ItemTokenizer.encode_item_ids` does.

    Raises:
        InputError: If these are no ids, there are neither one nor R lists, or an item is unknown.
    """
    lists, is_one_for_all = read_lists_in_order(candidates, where="candidates")
    if not is_one_for_all and len(lists) != num_histories:
        raise InputError(
            f"candidates has {len(lists)} lists for {num_histories} histories. Give one list for each, or one for all."
        )
    return Candidates(lists, [encode_candidates(item_ids, encode) for item_ids in lists])


def encode_candidates(item_ids: list[str], encode: Encode) -> np.ndarray:
    """Return the token ids of raw ids.

    Raises:
        InputError: If an item is unknown, or an id cannot be encoded as UTF-8.
    """
    try:
        token_ids = encode(item_ids)
    except UnicodeEncodeError as error:
        raise InputError(
            f"An item id in candidates cannot be encoded as UTF-8: {error.object!r}. Remove its unpaired surrogates."
        ) from error
    is_unknown = token_ids == UNK_ID
    if is_unknown.any():
        raise InputError(
            f"{is_unknown.sum()} of {len(item_ids)} candidates are not in the vocabulary (first: "
            f"{item_ids[int(is_unknown.argmax())]!r}), so nothing can be predicted for them. Leave them out, or add "
            "them with add_items."
        )
    return token_ids

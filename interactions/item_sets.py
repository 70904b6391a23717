"""Raw item ids that were looked up once, for many requests."""

from collections.abc import Callable
from typing import Any

import numpy as np

from seqrec.errors import InputError

__all__ = ["ItemSet"]


class ItemSet:
    """Items to allow or to deny in many requests, looked up once; see `Recommender.item_set`.

    Args:
        token_ids: Token ids of the items.
        look_up: Looks raw ids up in the vocabulary that the token ids are of.
    """

    def __init__(self, token_ids: np.ndarray, look_up: Callable[[list[str]], np.ndarray]) -> None:
        self.token_ids = np.unique(token_ids)
        self.look_up = look_up

    def __len__(self) -> int:
        return len(self.token_ids)

    def __repr__(self) -> str:
        return f"ItemSet({len(self)} items)"

    def of(self, look_up: Any, *, where: str) -> np.ndarray:
        """Return the token ids, if they are of the same vocabulary.

        Args:
            look_up: Looks raw ids up in the vocabulary of a request.
            where: The argument that the set was given as, for the message.

        Raises:
            InputError: If they are of another vocabulary.
        """
        if look_up != self.look_up:
            raise InputError(
                f"The item set in {where} was made by another recommender, or before items were added. Make it again "
                "by `item_set`."
            )
        return self.token_ids

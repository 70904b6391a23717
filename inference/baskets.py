"""Items that go together with a basket: the part of `Recommender` for it.

Shape suffixes: S items of the basket, A allowed items, K list length, D hidden size.
"""

import numpy as np
import torch
from torch import Tensor

from seqrec.errors import InputError
from seqrec.inference.recommendations import Recommendations, describe
from seqrec.interactions.catalogue import Catalogue
from seqrec.interactions.raw_ids import ItemIds, Unknown, encode_lists, look_up, read_ids
from seqrec.interactions.request_options import require_list_length
from seqrec.interactions.special_tokens import UNK_ID
from seqrec.interactions.tokenization_items import ItemTokenizer
from seqrec.modeling.modeling_next_item import NextItemHead
from seqrec.search.finite import require_finite
from seqrec.search.interfaces import Index

__all__ = ["BasketRecommender"]


class BasketRecommender:
    """Recommends items for baskets, which have no order; `Recommender` is one."""

    model: NextItemHead
    tokenizer: ItemTokenizer
    items: Catalogue

    @property
    def directions(self) -> Index:
        """Index of the item vectors at length 1."""
        raise NotImplementedError

    @torch.no_grad()
    def recommend_basket(
        self,
        basket: ItemIds,
        k: int = 10,
        *,
        allow: ItemIds | None = None,
        deny: ItemIds | None = None,
        unknown: Unknown = "skip",
    ) -> Recommendations:
        """List the items that go together with a basket.

        The score of an item is the mean of the cosine similarities of its vector and those of the basket's items: high
        if it is like all of them. Neither the order of the basket nor repeated items matter, nor times. For a history
        whose order matters, use `recommend`.

        Args:
            basket: Raw ids, in any order; a set is fine too.
            k: Number of items; the list is shorter if fewer items may be recommended. Those of the basket are left out.
            allow: The only ids that may be recommended.
            deny: Ids that may not be recommended.
            unknown: `"skip"` to leave out unknown items of the basket with a warning, `"error"` to raise.

        Raises:
            InputError: If the basket holds no known item or anything but ids, or k is out of range; with
                `unknown="error"`, if an item is unknown.
            NonFiniteError: If an item vector is infinite or NaN.

        Example:
            >>> recommender.recommend_basket({"50", "181"}, k=5)  # doctest: +SKIP
        """
        k = require_list_length(k, len(self.items))
        names = read_ids(basket, where="this basket", ordered=False)
        found, missing = look_up(names, self.tokenizer.look_up, where="this basket", unknown=unknown)
        token_ids_S = np.unique(found[found != UNK_ID])  # sorted, so that even rounding is the same in any order
        if not len(token_ids_S):
            raise InputError("The basket holds no known item. Give at least one, or ask recommend for popular items.")
        allowed, denied = (
            encode_lists(one, 1, self.tokenizer.look_up, where=where)
            for one, where in ((allow, "allow"), (deny, "deny"))
        )
        excluded_S = np.concatenate([token_ids_S, *(denied or [])])
        scores_1K, token_ids_1K = self.directions.search(
            self.mean_direction(token_ids_S),
            k,
            excluded_BS=self.as_row(excluded_S),
            allowed_BA=None if allowed is None else self.as_row(allowed[0]),
        )
        (best,) = describe(scores_1K.numpy(force=True), token_ids_1K.numpy(force=True), self.items)
        return Recommendations(best, unknown_items=missing)

    def mean_direction(self, token_ids_S: np.ndarray) -> Tensor:
        """Return the mean (1, D) of the items' vectors at length 1; its products with such vectors are mean cosines."""
        vectors_SD = self.model.item_vectors(torch.as_tensor(token_ids_S, device=self.model.device)).float()
        directions_SD = torch.nn.functional.normalize(require_finite(vectors_SD, what="Item vectors"))
        return directions_SD.mean(dim=0, keepdim=True)

    def as_row(self, token_ids_S: np.ndarray) -> Tensor:
        """Return token ids as a matrix of one row, on the model's device."""
        return torch.as_tensor(token_ids_S, device=self.model.device)[None]

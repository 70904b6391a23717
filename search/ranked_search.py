"""Lists of items that are found by an index and ranked again.

Shape suffixes: B users, D hidden size, S seen or excluded items, A allowed items, K list length, R some of the users.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from seqrec.search.interfaces import Index, Reranker

__all__ = ["RankedSearch"]

DEEPER = (4, 16)  # times as many candidates, where rerankers leave places empty


@dataclass(frozen=True)
class RankedSearch:
    """The users of a batch, and all that their lists depend on.

    Attributes:
        index: Finds items.
        users_BD: User vectors.
        seen_BS: Token ids of the users' histories, 0 in empty places.
        excluded_BS: Token ids never to list, one row per user, or one row for all.
        allowed_BA: The only token ids that may be listed, one row per user, or one row for all.
    """

    index: Index
    users_BD: Tensor
    seen_BS: Tensor
    excluded_BS: Tensor | None
    allowed_BA: Tensor | None

    def lists(self, k: int, rerankers: Sequence[Reranker]) -> tuple[Tensor, Tensor]:
        """Return `scores_BK` and `token_ids_BK`.

        Rerankers may leave places empty that further items could fill, as limits of categories do. The lists of these
        users are then ranked from 4 and, if necessary, 16 times as many items.

        Args:
            k: Length of the lists.
            rerankers: Rank the best items again, one after the other.
        """
        num_candidates = max([k, *(reranker.num_candidates for reranker in rerankers)])
        scores_BK, token_ids_BK, is_short_B = self.lists_from(num_candidates, k, rerankers)
        for times in DEEPER:
            rows_R = is_short_B.nonzero().squeeze(1)
            if not len(rows_R):
                break
            found = self.of_users(rows_R).lists_from(times * num_candidates, k, rerankers)
            scores_BK[rows_R], token_ids_BK[rows_R], is_short_B[rows_R] = found
        return scores_BK, token_ids_BK

    def lists_from(self, num_candidates: int, k: int, rerankers: Sequence[Reranker]) -> tuple[Tensor, Tensor, Tensor]:
        """Rank a number of best items; also return which lists have empty places though there are further items."""
        found = self.index.search(
            self.users_BD, num_candidates, excluded_BS=self.excluded_BS, allowed_BA=self.allowed_BA
        )
        for reranker in rerankers:
            has_more_B = found[1][:, -1] > 0  # false too if the last candidate scores too low, as further ones then do
            num_kept = k if reranker is rerankers[-1] else num_candidates
            found = reranker.rank(self.users_BD, self.seen_BS, *found, num_kept)
        return *found, has_more_B & (found[1][:, -1] == 0)

    def of_users(self, rows_R: Tensor) -> "RankedSearch":
        """Return the search of some of the users."""
        masks = (self.excluded_BS, self.allowed_BA)
        own = (mask if mask is None or len(mask) == 1 else mask[rows_R] for mask in masks)
        return RankedSearch(self.index, self.users_BD[rows_R], self.seen_BS[rows_R], *own)

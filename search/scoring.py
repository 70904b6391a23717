"""Score users against the catalogue, and take top-K lists and ranks from the scores.

Evaluation and serving both use this module, so they see the same scores, masks and special tokens. The catalogue is
scored in chunks; no (users, items) matrix larger than one chunk is kept.

Shape suffixes: B users, V vocabulary, D hidden size, K list length, C items of one chunk, S excluded items,
A allowed items, H hidden items. Id matrices are padded with 0, the pad token, which is never recommended.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn

from seqrec.errors import InputError
from seqrec.interactions.special_tokens import NUM_SPECIAL_TOKENS
from seqrec.search.largest import BLOCK, largest

__all__ = [
    "CACHED_SCORES",
    "CHUNK_SCORES",
    "NOT_RANKED",
    "Scores",
    "cells_of",
    "products",
    "rank_targets",
    "top_k",
]

CHUNK_SCORES = 2**24  # scores per chunk: 64 MiB in float32
CACHED_SCORES = 2**20  # scores that fit in a processor's cache
NOT_RANKED = 2**31 - 1  # rank of a target that can never be recommended: below every list


def top_k(
    users_BD: Tensor,
    items_VD: Tensor,
    k: int,
    *,
    excluded_BS: Tensor | None = None,
    allowed_BA: Tensor | None = None,
    hidden_H: Tensor | None = None,
    barred_V: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """List the k items that score highest for each user, best first; ties are in the order of token ids.

    Args:
        users_BD: User vectors.
        items_VD: Item vectors; row i belongs to token id i.
        k: Length of the lists, at least 1.
        excluded_BS: Token ids never to list (seen and denied ones), one row per user, or one row for all.
        allowed_BA: The only token ids that may be listed, one row per user, or one row for all.
        hidden_H: Token ids that are listed for no user, even if allowed.
        barred_V: Whether each token id is listed for no user, as `hidden_H` says for few.

    Returns:
        `scores_BK` (float32) and `token_ids_BK`. If fewer than k items may be listed, a list ends in score −inf and
        token id 0. A smaller k gives the beginning of the same list.

    Raises:
        InputError: If k is less than 1.
    """
    scores = Scores.of_vectors(users_BD, items_VD)
    if hidden_H is not None:
        scores = scores.without(hidden_H)
    if barred_V is not None:
        scores = scores.barring(barred_V)
    return scores.masked(excluded_BS, allowed_BA, CACHED_SCORES).top_k(k)


def rank_targets(
    users_BD: Tensor,
    items_VD: Tensor,
    targets_B: Tensor,
    *,
    excluded_BS: Tensor | None = None,
    allowed_BA: Tensor | None = None,
) -> Tensor:
    """Rank each user's target among all items that could be recommended.

    The rank is 1 plus the number of other items that score at least as high: ties and NaN count against the target. A
    target that can never be recommended (excluded, not allowed, a special token, not in the catalogue, or with a score
    of −inf or NaN) has rank `NOT_RANKED`.

    Args:
        users_BD: User vectors.
        items_VD: Item vectors; row i belongs to token id i.
        targets_B: Token id of each user's target.
        excluded_BS: See `top_k`.
        allowed_BA: See `top_k`.

    Returns:
        `ranks_B`, integers from 1.
    """
    return Scores.of_vectors(users_BD, items_VD).masked(excluded_BS, allowed_BA).rank(targets_B)


@dataclass
class Scores:
    """Scores of B users over a catalogue of V token ids, from which lists and ranks are taken.

    They are computed chunk by chunk. To get both lists and ranks, use one object: a catalogue that fits in one chunk is
    then scored only once.

    Attributes:
        stretch: Function of two token ids, `start` and `stop` (excluded), that returns `scores_BC` between them:
            float32, in a new tensor that may be modified.
        shape: B and V.
        device: Where scores are computed.
        excluded_BS: Token ids never to list, one row per user, or one row for all.
        allowed_BA: The only token ids that may be listed, one row per user, or one row for all.
        chunk_scores: Approximate number of scores per chunk; `CHUNK_SCORES` if None.
    """

    stretch: Callable[[int, int], Tensor]
    shape: tuple[int, int]
    device: torch.device
    excluded_BS: Tensor | None = None
    allowed_BA: Tensor | None = None
    chunk_scores: int | None = None
    only_chunk: Tensor | None = field(default=None, init=False, repr=False)

    @classmethod
    def of_vectors(cls, users_BD: Tensor, items_VD: Tensor) -> "Scores":
        """Multiply user vectors with item vectors, whose row i belongs to token id i."""
        users_BD = users_BD.detach().float()
        stretch = partial(stretch_of_products, users_BD, items_VD.detach())
        return cls(stretch, (users_BD.shape[0], items_VD.shape[0]), users_BD.device)

    def plus(self, terms_BV: Tensor) -> "Scores":
        """Return these scores with further terms added."""

        def stretch(start: int, stop: int) -> Tensor:
            return self.stretch(start, stop) + terms_BV[:, start:stop]

        return Scores(stretch, self.shape, self.device)

    def without(self, hidden_H: Tensor) -> "Scores":
        """Return these scores with −inf for some token ids, for all users."""

        def stretch(start: int, stop: int) -> Tensor:
            scores_BC = self.stretch(start, stop)
            scores_BC[cells_of(hidden_H[None], start, scores_BC)] = -torch.inf
            return scores_BC

        return Scores(stretch, self.shape, self.device)

    def barring(self, barred_V: Tensor) -> "Scores":
        """Return these scores with −inf where a mask of the catalogue is true, for all users."""

        def stretch(start: int, stop: int) -> Tensor:
            return self.stretch(start, stop).masked_fill_(barred_V[start:stop], -torch.inf)

        return Scores(stretch, self.shape, self.device)

    def masked(
        self, excluded_BS: Tensor | None, allowed_BA: Tensor | None = None, chunk_scores: int | None = None
    ) -> "Scores":
        """Return the same scores, with −inf for items that are excluded or not allowed."""
        return Scores(self.stretch, self.shape, self.device, excluded_BS, allowed_BA, chunk_scores)

    def __iter__(self) -> Iterator[tuple[int, Tensor]]:
        """Yield each chunk's first token id and `scores_BC`, −inf for items that may not be recommended."""
        num_users, num_tokens = self.shape
        chunk_tokens = max(1, (self.chunk_scores or CHUNK_SCORES) // max(1, num_users) // BLOCK) * BLOCK
        if num_tokens > chunk_tokens:
            for start in range(0, num_tokens, chunk_tokens):
                yield start, self.score(start, min(start + chunk_tokens, num_tokens))
            return
        if self.only_chunk is None:
            self.only_chunk = self.score(0, num_tokens)
        yield 0, self.only_chunk

    def top_k(self, k: int) -> tuple[Tensor, Tensor]:
        """See the function `top_k`."""
        if k < 1:
            raise InputError(f"k must be at least 1, got {k}.")
        chunks = iter(self)
        first, scores_BC = next(chunks)
        best_BK, ids_BK = largest(scores_BC, k)
        if first:
            ids_BK = ids_BK + first
        for start, scores_BC in chunks:
            chunk_best, chunk_index = largest(scores_BC, k)
            # Ties from earlier chunks, with lower ids, come first; the stable sort keeps this order.
            candidates, choice = torch.cat([best_BK, chunk_best], dim=1).sort(dim=1, descending=True, stable=True)
            best_BK = candidates[:, :k]
            ids_BK = torch.cat([ids_BK, chunk_index + start], dim=1).gather(1, choice[:, :k])
        ids_BK = ids_BK.where(best_BK > -torch.inf, 0)
        missing = k - best_BK.shape[1]
        if not missing:
            return best_BK, ids_BK
        # The catalogue has fewer than k tokens.
        return nn.functional.pad(best_BK, (0, missing), value=-torch.inf), nn.functional.pad(ids_BK, (0, missing))

    def rank(self, targets_B: Tensor) -> Tensor:
        """See the function `rank_targets`."""
        target_scores_B = self.scores_of(targets_B)
        ranks_B = self.count_not_lower(target_scores_B)
        return ranks_B.where(target_scores_B > -torch.inf, NOT_RANKED)

    def scores_of(self, targets_B: Tensor) -> Tensor:
        """Return the score of each user's target (B,); −inf if it is not in the catalogue or may not be recommended."""
        target_scores_B = torch.full((self.shape[0],), -torch.inf, device=self.device)
        for start, scores_BC in self:
            column_B = targets_B - start
            inside_B = (column_B >= 0) & (column_B < scores_BC.shape[1])
            found_B = scores_BC.gather(1, column_B.where(inside_B, 0)[:, None]).squeeze(1)
            target_scores_B = found_B.where(inside_B, target_scores_B)
        return target_scores_B

    def count_not_lower(self, target_scores_B: Tensor) -> Tensor:
        """Count the items that do not score lower than the target, which includes the target itself: its rank (B,).

        Lower scores are counted as floats, in a tenth of the time that booleans take.
        """
        ranks_B = torch.zeros(self.shape[0], dtype=torch.long, device=self.device)
        for _, scores_BC in self:
            is_less_BC = torch.lt(scores_BC, target_scores_B[:, None], out=torch.empty_like(scores_BC))
            ranks_B += scores_BC.shape[1] - is_less_BC.sum(dim=1).long()
        return ranks_B

    def score(self, start: int, stop: int) -> Tensor:
        """Score one chunk, and mask items that may not be recommended."""
        scores_BC = self.stretch(start, stop)
        if start < NUM_SPECIAL_TOKENS:
            scores_BC[:, : NUM_SPECIAL_TOKENS - start] = -torch.inf
        is_whole = stop - start == self.shape[1]
        if self.excluded_BS is not None:
            scores_BC[cells_of(self.excluded_BS, start, scores_BC, is_whole=is_whole)] = -torch.inf
        if self.allowed_BA is not None:
            allowed = cells_of(self.allowed_BA, start, scores_BC, is_whole=is_whole)
            kept = scores_BC[allowed]
            scores_BC.fill_(-torch.inf)[allowed] = kept
        return scores_BC


def stretch_of_products(users_BD: Tensor, items_VD: Tensor, start: int, stop: int) -> Tensor:
    """Multiply users with the items from `start` up to `stop`; see `Scores.stretch`."""
    return products(users_BD, items_VD[start:stop].float())


def products(users_BD: Tensor, items_CD: Tensor) -> Tensor:
    """Multiply users with items so that equal items score the same, wherever they stand: `scores_BC`.

    A matrix product may add up its last columns in another order than the rest, unless their number is round. Where it
    is not, the last ones are taken from the product with the last `BLOCK` items.
    """
    num_items = items_CD.shape[0]
    num_round = num_items - num_items % BLOCK
    if num_items == num_round:
        return users_BD @ items_CD.T
    if num_items < BLOCK:
        return (users_BD @ nn.functional.pad(items_CD, (0, 0, 0, BLOCK - num_items)).T)[:, :num_items]
    scores_BC = users_BD.new_empty(users_BD.shape[0], num_items)
    torch.mm(users_BD, items_CD[:num_round].T, out=scores_BC[:, :num_round])
    scores_BC[:, num_round:] = (users_BD @ items_CD[-BLOCK:].T)[:, num_round - num_items :]
    return scores_BC


def cells_of(
    token_ids_BS: Tensor, start: int, scores_BC: Tensor, *, is_whole: bool = False
) -> tuple[Tensor | slice, Tensor]:
    """Turn token ids, one row per user or one row for all, into an index into one chunk's scores.

    Args:
        token_ids_BS: Token ids.
        start: The chunk's first token id.
        scores_BC: The chunk's scores.
        is_whole: Whether the chunk is the whole catalogue, so that all ids are inside it.
    """
    if is_whole and token_ids_BS.shape[0] == 1:
        return slice(None), token_ids_BS[0]
    if is_whole:
        return torch.arange(token_ids_BS.shape[0], device=token_ids_BS.device)[:, None], token_ids_BS
    column_BS = token_ids_BS - start
    inside_BS = (column_BS >= 0) & (column_BS < scores_BC.shape[1])
    if token_ids_BS.shape[0] == 1:
        return slice(None), column_BS[inside_BS]
    row, place = inside_BS.nonzero(as_tuple=True)
    return row, column_BS[row, place]

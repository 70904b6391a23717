"""Exact top-K search for a catalogue that is searched many times.

Shape suffixes: B users, V vocabulary, D hidden size, K list length, N blocks, M candidates, S excluded items,
H hidden items, A allowed items.
"""

from copy import copy

import torch
from torch import Tensor, nn

from seqrec.interactions.special_tokens import NUM_SPECIAL_TOKENS
from seqrec.search.coarse_items import coarse_items, largest_of_blocks
from seqrec.search.largest import BLOCK, largest
from seqrec.search.scoring import CACHED_SCORES, cells_of, top_k

__all__ = ["ExactIndex", "PartOfIndex", "rescore"]

LARGE_CATALOGUE = 100_000  # minimum number of items for which a coarse first pass saves time
FEW = 16  # one of so many items are few: scoring only these saves time
BLOCKS_PER_ITEM = 4  # blocks searched for each item of a list


class ExactIndex:
    """The items of a catalogue, prepared to return the same lists as `scoring.top_k` faster.

    On a CPU, a large catalogue is first scored in few bits, int8 or bfloat16, and only the maximum of each block of
    items is kept. With the largest error of its scores, it bounds the exact scores of the block. Blocks with the
    highest bounds are scored again in float32. A user's list is certain if its last score exceeds the bounds of all
    other blocks. The few users for whom it does not, because many items score almost the same, are answered by `top_k`.

    Args:
        items_VD: Item vectors; row i belongs to token id i.
        hidden_H: Token ids that are never listed.
    """

    def __init__(self, items_VD: Tensor, hidden_H: Tensor | None = None) -> None:
        # The model's own memory, no copy: the last bits of one user's products depend on how the items are aligned.
        self.items_VD = items_VD.detach().float()
        self.device = items_VD.device
        self.hidden_H = None if hidden_H is None else hidden_H.to(self.device)
        self.barred_V: Tensor | None = None
        self.is_coarse = len(items_VD) >= LARGE_CATALOGUE and items_VD.device.type == "cpu"
        if self.is_coarse:
            self.coarse = coarse_items(self.items_VD)

    def search(
        self, users_BD: Tensor, k: int, *, excluded_BS: Tensor | None = None, allowed_BA: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """List the k items that score highest for each user; see `scoring.top_k`."""
        users_BD = users_BD.detach().float()
        num_blocks = BLOCKS_PER_ITEM * k
        if self.is_coarse and allowed_BA is not None and len(allowed_BA) == 1:
            return self.within(allowed_BA[0], None).search(users_BD, k, excluded_BS=excluded_BS)
        if not self.is_coarse or allowed_BA is not None or num_blocks * BLOCK * 4 > len(self.items_VD):
            return self.search_all(users_BD, k, excluded_BS, allowed_BA)
        bounds_BK, block_BK = self.block_bounds(users_BD, excluded_BS).topk(num_blocks + 1, dim=1)
        block_BK = block_BK[:, :-1].sort(dim=1).values
        ids_BM = (block_BK[:, :, None] * BLOCK + torch.arange(BLOCK)).flatten(start_dim=1)
        if self.hidden_H is not None:
            ids_BM = ids_BM.where(~torch.isin(ids_BM, self.hidden_H), -1)
        if self.barred_V is not None:
            ids_BM = ids_BM.where(~self.barred_V[ids_BM.clamp(max=len(self.items_VD) - 1)], -1)
        scores_BK, ids_BK = rescore(users_BD, self.items_VD, ids_BM, k, excluded_BS)
        doubtful_B = ~(scores_BK[:, -1] > bounds_BK[:, -1])
        if doubtful_B.any():
            excluded = excluded_BS if excluded_BS is None or len(excluded_BS) == 1 else excluded_BS[doubtful_B]
            scores_BK[doubtful_B], ids_BK[doubtful_B] = self.search_all(users_BD[doubtful_B], k, excluded, None)
        return scores_BK, ids_BK

    def search_all(
        self, users_BD: Tensor, k: int, excluded_BS: Tensor | None, allowed_BA: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Score all items in float32."""
        return top_k(
            users_BD,
            self.items_VD,
            k,
            excluded_BS=excluded_BS,
            allowed_BA=allowed_BA,
            hidden_H=self.hidden_H,
            barred_V=self.barred_V,
        )

    def within(self, allowed_A: Tensor | None, denied_S: Tensor | None) -> "ExactIndex | PartOfIndex":
        """Return an index of fewer items, for many searches or for long lists.

        Args:
            allowed_A: The only token ids that may be listed; None for all.
            denied_S: Token ids that may not be listed; None for no others.
        """
        barred_V = torch.full((len(self.items_VD),), allowed_A is not None, device=self.device)
        if allowed_A is not None:
            barred_V[allowed_A] = False
        for ids in (denied_S, self.hidden_H):
            if ids is not None:
                barred_V[ids] = True
        if self.barred_V is not None:
            barred_V |= self.barred_V
        barred_V[:NUM_SPECIAL_TOKENS] = True
        if self.is_coarse and allowed_A is not None and len(allowed_A) * FEW <= len(self.items_VD):
            return PartOfIndex(self, (~barred_V).nonzero().squeeze(1))
        found = copy(self)
        found.barred_V, found.hidden_H = barred_V, None
        return found

    def block_bounds(self, users_BD: Tensor, excluded_BS: Tensor | None) -> Tensor:
        """Return bounds of the scores in each block (B, N), among items that are neither excluded nor hidden."""
        num_items, coarse_users = len(self.items_VD), self.coarse.round(users_BD)
        chunk_items = max(1, CACHED_SCORES // max(1, len(users_BD)) // BLOCK) * BLOCK
        maxima = []
        for start in range(0, num_items, chunk_items):
            scores_BC = self.coarse.multiply(coarse_users, start, min(start + chunk_items, num_items))
            scores_BC[:, : max(0, NUM_SPECIAL_TOKENS - start)] = -torch.inf
            for ids_BS in (excluded_BS, None if self.hidden_H is None else self.hidden_H[None]):
                if ids_BS is not None:
                    scores_BC[cells_of(ids_BS, start, scores_BC)] = -torch.inf
            if self.barred_V is not None:
                scores_BC.masked_fill_(self.barred_V[start : start + scores_BC.shape[1]], -torch.inf)
            maxima.append(largest_of_blocks(scores_BC))
        return self.coarse.bounds(coarse_users, torch.cat(maxima, dim=1))


class PartOfIndex:
    """Few of the items of a large catalogue; a search costs as much as that of a small one.

    Args:
        index: The index of the catalogue.
        ids_M: Token ids, ascending.
    """

    def __init__(self, index: ExactIndex, ids_M: Tensor) -> None:
        self.index, self.device = index, index.device
        self.ids_M = torch.cat([torch.arange(NUM_SPECIAL_TOKENS, device=self.device), ids_M])
        self.items_MD = index.items_VD[self.ids_M]

    def search(
        self, users_BD: Tensor, k: int, *, excluded_BS: Tensor | None = None, allowed_BA: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """List the k items that score highest for each user; see `scoring.top_k`."""
        excluded, allowed = (None if ids is None else self.places(ids) for ids in (excluded_BS, allowed_BA))
        scores_BK, places_BK = top_k(users_BD, self.items_MD, k, excluded_BS=excluded, allowed_BA=allowed)
        return scores_BK, self.ids_M[places_BK]

    def places(self, ids_BS: Tensor) -> Tensor:
        """Return the places of token ids in this index; 0, that of padding, for others."""
        places_BS = torch.searchsorted(self.ids_M, ids_BS.contiguous()).clamp(max=len(self.ids_M) - 1)
        return places_BS.where(self.ids_M[places_BS] == ids_BS, 0)

    def within(self, allowed_A: Tensor | None, denied_S: Tensor | None) -> "ExactIndex | PartOfIndex":
        """See `ExactIndex.within`."""
        own = self.ids_M[NUM_SPECIAL_TOKENS:]
        return self.index.within(own if allowed_A is None else own[torch.isin(own, allowed_A)], denied_S)


def rescore(
    users_BD: Tensor, items_VD: Tensor, ids_BM: Tensor, k: int, excluded_BS: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Score each user's candidates in float32, and list the k best as `scoring.top_k` does.

    Equal items score the same, wherever they stand: the product is of a round number of candidates (see
    `scoring.products`).

    Args:
        users_BD: User vectors.
        items_VD: Item vectors.
        ids_BM: Token ids of the candidates, ascending; ids below 0 or beyond the catalogue are ignored.
        k: Length of the lists, at most M.
        excluded_BS: Token ids never to list, one row per user, or one row for all.
    """
    ids_BM = nn.functional.pad(ids_BM, (0, -ids_BM.shape[1] % BLOCK), value=-1)
    real_BM = (ids_BM >= NUM_SPECIAL_TOKENS) & (ids_BM < len(items_VD))
    ids_BM = ids_BM.where(real_BM, 0)
    scores_BM = torch.bmm(items_VD[ids_BM], users_BD[:, :, None]).squeeze(2)
    scores_BM[~real_BM] = -torch.inf
    if excluded_BS is not None:
        sorted_BS = excluded_BS.sort(dim=1).values.expand(len(ids_BM), -1).contiguous()
        place_BM = torch.searchsorted(sorted_BS, ids_BM).clamp(max=sorted_BS.shape[1] - 1)
        scores_BM[sorted_BS.gather(1, place_BM) == ids_BM] = -torch.inf
    best_BK, place_BK = largest(scores_BM, k)
    return best_BK, ids_BM.gather(1, place_BK).where(best_BK > -torch.inf, 0)

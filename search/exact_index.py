"""Exact top-K search for a catalogue that is searched many times.

Shape suffixes: B users, V vocabulary, D hidden size, K list length, N blocks, M candidates, S excluded items,
H hidden items.
"""

import torch
from torch import Tensor, nn

from seqrec.interactions.special_tokens import NUM_SPECIAL_TOKENS
from seqrec.search.coarse_items import coarse_items, largest_of_blocks
from seqrec.search.largest import BLOCK, largest
from seqrec.search.scoring import CACHED_SCORES, cells_of, top_k

__all__ = ["ExactIndex", "rescore"]

LARGE_CATALOGUE = 100_000  # minimum number of items for which a coarse first pass saves time
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
        self.is_coarse = len(items_VD) >= LARGE_CATALOGUE and items_VD.device.type == "cpu"
        if self.is_coarse:
            self.coarse = coarse_items(self.items_VD)

    def search(
        self, users_BD: Tensor, k: int, *, excluded_BS: Tensor | None = None, allowed_BA: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """List the k items that score highest for each user; see `scoring.top_k`."""
        users_BD = users_BD.detach().float()
        num_blocks = BLOCKS_PER_ITEM * k
        if not self.is_coarse or allowed_BA is not None or num_blocks * BLOCK * 4 > len(self.items_VD):
            return top_k(
                users_BD, self.items_VD, k, excluded_BS=excluded_BS, allowed_BA=allowed_BA, hidden_H=self.hidden_H
            )
        bounds_BK, block_BK = self.block_bounds(users_BD, excluded_BS).topk(num_blocks + 1, dim=1)
        block_BK = block_BK[:, :-1].sort(dim=1).values
        ids_BM = (block_BK[:, :, None] * BLOCK + torch.arange(BLOCK)).flatten(start_dim=1)
        if self.hidden_H is not None:
            ids_BM = ids_BM.where(~torch.isin(ids_BM, self.hidden_H), -1)
        scores_BK, ids_BK = rescore(users_BD, self.items_VD, ids_BM, k, excluded_BS)
        doubtful_B = ~(scores_BK[:, -1] > bounds_BK[:, -1])
        if doubtful_B.any():
            excluded = excluded_BS if excluded_BS is None or len(excluded_BS) == 1 else excluded_BS[doubtful_B]
            scores_BK[doubtful_B], ids_BK[doubtful_B] = top_k(
                users_BD[doubtful_B], self.items_VD, k, excluded_BS=excluded, hidden_H=self.hidden_H
            )
        return scores_BK, ids_BK

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
            maxima.append(largest_of_blocks(scores_BC))
        return self.coarse.bounds(coarse_users, torch.cat(maxima, dim=1))


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

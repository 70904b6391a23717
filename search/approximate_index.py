"""Build an index of a catalogue: exact, or approximate by faiss for more than a million items.

Shape suffixes: B users, V vocabulary, D hidden size, K list length, M candidates, S excluded items,
H hidden items, A allowed items.
"""

from math import isqrt
from typing import Any, get_args

import torch
from torch import Tensor

from seqrec.errors import InputError
from seqrec.interactions.special_tokens import NUM_SPECIAL_TOKENS
from seqrec.search.exact_index import ExactIndex, PartOfIndex, rescore
from seqrec.search.index_names import IndexName
from seqrec.search.interfaces import Index

__all__ = ["build_index"]

CELLS_PROBED = 16
POINTS_PER_CELL = 64  # maximum sample from which k-means computes a centre; faiss's 256 take several times as long
NEIGHBOURS = 32
CANDIDATES_AT_LEAST = 64


def build_index(name: IndexName, items_VD: Tensor, hidden_H: Tensor | None = None) -> Index:
    """Prepare a catalogue for searching.

    Args:
        name: `"exact"`; `"ivf"`, which searches the clusters of vectors nearest to a user; or `"hnsw"`, which walks a
            graph of neighbouring items: faster to search, much slower to build.
        items_VD: Item vectors; row i belongs to token id i.
        hidden_H: Token ids that are never listed.

    Raises:
        InputError: If the name is not one of these.
        ImportError: If the index needs faiss and faiss is not installed.
    """
    if name not in get_args(IndexName):
        raise InputError(f"index must be one of {', '.join(get_args(IndexName))}, got {name!r}.")
    exact = ExactIndex(items_VD, hidden_H)
    return exact if name == "exact" else ApproximateIndex(name, exact)


class ApproximateIndex:
    """Candidates from faiss, scored again in float32.

    On clustered vectors of dimension 64, recall@10 was 1.00 with `"ivf"` for 100,000 and for a million items, and .9996
    with `"hnsw"` for 100,000, at a quarter of a millisecond per user on one thread; scoring all of a million items
    takes several milliseconds.

    Scores are exact, but lists may lack an item. More candidates are fetched than requested, so that excluded ones can
    be left out. The exact index answers users for whom too few candidates remain or the last candidate ties with the
    list's last item, and all searches with allowed items.

    Args:
        name: `"ivf"` or `"hnsw"`.
        exact: Exact index of the same catalogue.
    """

    def __init__(self, name: IndexName, exact: ExactIndex) -> None:
        self.exact = exact
        self.device = exact.device
        faiss = import_faiss()  # not an attribute: modules cannot be pickled or copied
        is_listed_V = torch.arange(len(exact.items_VD), device=self.device) >= NUM_SPECIAL_TOKENS
        if exact.hidden_H is not None:
            is_listed_V[exact.hidden_H] = False
        vectors = exact.items_VD[is_listed_V].numpy(force=True)
        self.token_ids_N = is_listed_V.nonzero().squeeze(1)
        num_items, width = vectors.shape
        metric = faiss.METRIC_INNER_PRODUCT
        if name == "ivf":
            num_cells = min(4 * isqrt(num_items), max(1, num_items // 39))  # faiss wants 39 items per cell
            self.index = faiss.IndexIVFFlat(faiss.IndexFlatIP(width), width, num_cells, metric)
            self.index.cp.max_points_per_centroid = POINTS_PER_CELL
            self.index.cp.min_points_per_centroid = 1  # fewer items make one cell; faiss would print a warning
            self.index.train(vectors)
            self.index.nprobe = CELLS_PROBED
        else:
            self.index = faiss.IndexHNSWFlat(width, NEIGHBOURS, metric)
        self.index.add(vectors)
        self.is_graph = name == "hnsw"

    def search(
        self, users_BD: Tensor, k: int, *, excluded_BS: Tensor | None = None, allowed_BA: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """List the k items that score highest among the candidates for each user."""
        if allowed_BA is not None:
            return self.exact.search(users_BD, k, excluded_BS=excluded_BS, allowed_BA=allowed_BA)
        num_excluded = 0 if excluded_BS is None else excluded_BS.shape[1]
        num_candidates = min(max(CANDIDATES_AT_LEAST, 2 * k + num_excluded), self.index.ntotal)
        if num_candidates < k:
            return self.exact.search(users_BD, k, excluded_BS=excluded_BS)
        users_BD = users_BD.detach().float()
        found_BM = torch.from_numpy(self.candidates(users_BD, num_candidates)).to(users_BD.device)
        found_BM = found_BM.sort(dim=1).values
        ids_BM = self.token_ids_N[found_BM].where(found_BM >= 0, -1)
        scores_BM, ids_BM = rescore(users_BD, self.exact.items_VD, ids_BM, num_candidates, excluded_BS)
        scores_BK, ids_BK = scores_BM[:, :k], ids_BM[:, :k]
        lowest_B = scores_BM.where(ids_BM > 0, torch.inf).amin(dim=1)
        unsure_B = ~(scores_BK[:, -1] > lowest_B)
        if unsure_B.any():
            excluded = excluded_BS if excluded_BS is None or len(excluded_BS) == 1 else excluded_BS[unsure_B]
            scores_BK[unsure_B], ids_BK[unsure_B] = self.exact.search(users_BD[unsure_B], k, excluded_BS=excluded)
        return scores_BK, ids_BK

    def within(self, allowed_A: Tensor | None, denied_S: Tensor | None) -> ExactIndex | PartOfIndex:
        """Return an exact index of fewer items; see `ExactIndex.within`."""
        return self.exact.within(allowed_A, denied_S)

    def candidates(self, users_BD: Tensor, num_candidates: int) -> Any:
        """Return places in `token_ids_N` found by faiss; −1 where it found no more."""
        settings = import_faiss().SearchParametersHNSW(efSearch=num_candidates) if self.is_graph else None
        return self.index.search(users_BD.numpy(force=True), num_candidates, params=settings)[1]


def import_faiss() -> Any:
    """Import faiss, or raise an error that says how to install it."""
    try:
        import faiss
    except ImportError as error:
        raise ImportError(
            'The indexes "ivf" and "hnsw" need faiss. Install it with: pip install "seqrec[index]"'
        ) from error
    return faiss

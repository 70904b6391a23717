"""A baseline that ignores order: items that the same users interacted with.

Shape suffixes: B users of a batch, L length, V vocabulary, C items of one stretch, N interactions, P pairs of items
with a user in common, E neighbours of all items of a batch's histories. Items are represented by their token ids.
"""

import warnings
from collections.abc import Iterator

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor

from seqrec.errors import InputError
from seqrec.interactions.histories import Histories, as_histories
from seqrec.interactions.special_tokens import NUM_SPECIAL_TOKENS
from seqrec.search.scoring import Scores

__all__ = ["ItemKnnBaseline"]

NUM_NEIGHBOURS = 100
BLOCK_PAIRS = 2**23  # products summed at once, to bound memory


class ItemKnnBaseline:
    """Recommend items similar to those of the history: item-based k nearest neighbours.

    The similarity of two items is the cosine of the sets of users who interacted with them in training,
    c_ij / √(n_i n_j), where n_i users interacted with item i, and c_ij with both. Each item keeps the k items most
    similar to it; ties go to the more popular in training, then to the lower token id. A user's score for an item is
    the sum of its similarities to those items of the history (each counted once) that have it as a neighbour. An item
    that is a neighbour of none of them is not recommended.

    Sarwar et al. 2001, "Item-Based Collaborative Filtering Recommendation Algorithms", with the k neighbours and
    the sum of Deshpande & Karypis 2004, "Item-Based Top-N Recommendation Algorithms", section 4.

    Args:
        train: Training histories, one per user, with `input_ids`.
        vocab_size: V.
        num_neighbours: k.

    Raises:
        InputError: If `num_neighbours` is less than 1.
    """

    device = torch.device("cpu")

    def __init__(self, train: Histories | Dataset, vocab_size: int, num_neighbours: int = NUM_NEIGHBOURS) -> None:
        if num_neighbours < 1:
            raise InputError(f"num_neighbours must be >= 1, got {num_neighbours}.")
        users_N, items_N = user_item_pairs(train)
        # Items are numbered by popularity here, so that the most popular of equally similar items come first.
        by_popularity_V = np.argsort(-np.bincount(items_N, minlength=vocab_size), kind="stable")
        place_V = np.argsort(by_popularity_V)
        parts = [nearest(*block, num_neighbours) for block in similarities(users_N, place_V[items_N], vocab_size)]
        places_P, neighbours_P, similarities_P = (np.concatenate(part) for part in zip(*parts, strict=True))
        self.vocab_size = vocab_size
        self.starts_V = torch.from_numpy(np.searchsorted(places_P, place_V))
        self.num_neighbours_V = torch.from_numpy(np.bincount(places_P, minlength=vocab_size)[place_V])
        self.neighbours_P = torch.from_numpy(by_popularity_V[neighbours_P])
        self.similarities_P = torch.from_numpy(similarities_P)

    def score_users(self, input_ids: Tensor, attention_mask: Tensor | None = None, **columns: Tensor) -> Scores:
        """Score the neighbours of the histories' items.

        Args:
            input_ids: Histories (B, L).
            attention_mask: 1 for items, 0 for padding (B, L); None if there is no padding.
            **columns: Ignored.
        """
        if attention_mask is not None:
            input_ids = input_ids.where(attention_mask.bool(), 0)
        ids_BL = input_ids.sort(dim=1).values
        is_first_BL = ids_BL.diff(dim=1, prepend=torch.full((len(ids_BL), 1), -1)) != 0
        users, places = is_first_BL.nonzero(as_tuple=True)
        items = ids_BL[users, places]
        lengths = self.num_neighbours_V[items]
        before = self.starts_V[items] - (lengths.cumsum(0) - lengths)
        index_E = torch.arange(int(lengths.sum())) + before.repeat_interleave(lengths)
        sums = SummedSimilarities(
            users.repeat_interleave(lengths),
            self.neighbours_P[index_E],
            self.similarities_P[index_E],
            num_users=len(input_ids),
        )
        return Scores(sums.stretch, (len(input_ids), self.vocab_size), self.device)


class SummedSimilarities:
    """Scores that are sums of similarities, or −inf for an item without any."""

    def __init__(self, users_E: Tensor, items_E: Tensor, similarities_E: Tensor, *, num_users: int) -> None:
        self.users_E, self.items_E, self.similarities_E, self.num_users = users_E, items_E, similarities_E, num_users

    def stretch(self, start: int, stop: int) -> Tensor:
        """See `Scores.stretch`."""
        num_users, num_items = self.num_users, stop - start
        inside_E = (self.items_E >= start) & (self.items_E < stop)
        cells = self.users_E[inside_E] * num_items + self.items_E[inside_E] - start
        scores_BC = torch.zeros(num_users * num_items).index_add_(0, cells, self.similarities_E[inside_E])
        return scores_BC.masked_fill_(scores_BC == 0, -torch.inf).view(num_users, num_items)


def user_item_pairs(train: Histories | Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return the row and the item of each training interaction with a known item: two arrays (N,)."""
    events, lengths_R = as_histories(train, ["input_ids"]).compact(["input_ids"])
    users_N, items_N = np.repeat(np.arange(len(lengths_R)), lengths_R), events["input_ids"]
    is_item_N = items_N >= NUM_SPECIAL_TOKENS
    return users_N[is_item_N], items_N[is_item_N].astype(np.int64)


def similarities(
    users_N: np.ndarray, items_N: np.ndarray, vocab_size: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Compute the similarities of all pairs of items with a user in common, one block of items at a time.

    Yields:
        The items, their neighbours, and the similarities (float32), each (P,), in order of item and neighbour.
    """
    num_users = int(users_N.max(initial=0)) + 1
    takers_VU = incidence(items_N, users_N, (vocab_size, num_users))
    taken_UV = takers_VU.t().coalesce()
    items, users = takers_VU.indices()
    item_counts_V = torch.bincount(items, minlength=vocab_size)
    products_V = torch.bincount(items, torch.bincount(users)[users].double(), minlength=vocab_size)
    ends_V, products_up_to_V = item_counts_V.cumsum(0), products_V.cumsum(0)
    start = 0
    while start < vocab_size:
        limit = products_up_to_V[start] - products_V[start] + BLOCK_PAIRS
        stop = max(start + 1, int(torch.searchsorted(products_up_to_V, limit, right=True)))
        chosen = slice(ends_V[start] - item_counts_V[start], ends_V[stop - 1])
        block = incidence(items[chosen] - start, users[chosen], (stop - start, num_users))
        both = sparse_product(block, taken_UV)
        item_P, neighbour_P = both.indices()
        item_P = item_P + start
        cosine_P = both.values() / (item_counts_V[item_P] * item_counts_V[neighbour_P]).sqrt()
        is_other_P = item_P != neighbour_P
        yield item_P[is_other_P].numpy(), neighbour_P[is_other_P].numpy(), cosine_P[is_other_P].numpy()
        start = stop


def incidence(rows: Tensor | np.ndarray, columns: Tensor | np.ndarray, shape: tuple[int, int]) -> Tensor:
    """Make a sparse matrix that is 1 in the given cells, even if some are given repeatedly."""
    cells = torch.stack([torch.as_tensor(rows), torch.as_tensor(columns)])
    matrix = torch.sparse_coo_tensor(cells, torch.ones(cells.shape[1]), shape, check_invariants=False).coalesce()
    matrix.values().fill_(1)
    return matrix


def sparse_product(left: Tensor, right: Tensor) -> Tensor:
    """Multiply sparse matrices."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta", UserWarning)
        return torch.sparse.mm(left, right).coalesce()


def nearest(
    items_P: np.ndarray, neighbours_P: np.ndarray, similarities_P: np.ndarray, num_neighbours: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Keep each item's most similar neighbours; of equally similar ones, those that come first."""
    order = np.lexsort((-similarities_P, items_P))  # stable
    items_P = items_P[order]
    place_P = np.arange(len(items_P)) - np.searchsorted(items_P, items_P)
    kept = order[place_P < num_neighbours]
    return items_P[place_P < num_neighbours], neighbours_P[kept], similarities_P[kept]

"""Lists with empty places are ranked again from more items."""

from dataclasses import dataclass

import torch

from seqrec.search.exact_index import ExactIndex
from seqrec.search.ranked_search import RankedSearch

NUM_TOKENS = 103
ITEMS = torch.arange(NUM_TOKENS, 0, -1.0)[:, None]  # the first item is the best


@dataclass
class MultiplesAlone:
    """Lists only multiples of a user's number."""

    num_candidates: int
    reads_users = False

    def __post_init__(self):
        self.asked = []

    def rank(self, users_BD, seen_BS, scores_BN, token_ids_BN, k):
        self.asked.append(tuple(token_ids_BN.shape))
        is_kept_BN = (token_ids_BN > 0) & (token_ids_BN % seen_BS[:, :1] == 0)
        scores_BN = scores_BN.where(is_kept_BN, -torch.inf)
        scores_BK, place_BK = scores_BN.sort(dim=1, descending=True, stable=True)
        return scores_BK[:, :k], token_ids_BN.where(is_kept_BN, 0).gather(1, place_BK)[:, :k]


def lists(numbers, k=2, num_candidates=5, excluded_BS=None, allowed_BA=None):
    reranker = MultiplesAlone(num_candidates)
    users_BD, seen_BS = torch.ones(len(numbers), 1), torch.tensor(numbers)[:, None]
    search = RankedSearch(ExactIndex(ITEMS), users_BD, seen_BS, excluded_BS, allowed_BA)
    return search.lists(k, [reranker]), reranker.asked


def test_only_users_with_empty_places_are_asked_again():
    (scores_BK, ids_BK), asked = lists([1, 2, 9, 40, 60])
    assert ids_BK.tolist() == [[3, 4], [4, 6], [9, 18], [40, 80], [60, 0]]
    assert asked == [(5, 5), (3, 20), (2, 80)]
    assert torch.equal(scores_BK, ITEMS[ids_BK][:, :, 0].where(ids_BK > 0, -torch.inf))


def test_they_are_not_asked_again_if_there_are_no_more_items():
    (_, ids_BK), asked = lists([7], allowed_BA=torch.tensor([[3, 4, 7, 9]]))
    assert ids_BK.tolist() == [[7, 0]]
    assert asked == [(1, 5)]


def test_users_keep_what_is_excluded_and_allowed():
    excluded_BS = torch.tensor([[3, 4], [6, 7], [9, 0]])
    (_, ids_BK), _ = lists([2, 3, 9], excluded_BS=excluded_BS)
    assert ids_BK.tolist() == [[6, 8], [3, 9], [18, 27]]
    allowed_BA = torch.stack([torch.arange(start, start + 60) for start in (3, 20, 10)])
    (_, ids_BK), _ = lists([2, 15, 9], allowed_BA=allowed_BA)
    assert ids_BK.tolist() == [[4, 6], [30, 45], [18, 27]]
    (_, ids_BK), _ = lists([1, 9, 9], excluded_BS=torch.tensor([[9, 18]]))
    assert ids_BK.tolist() == [[3, 4], [27, 36], [27, 36]]

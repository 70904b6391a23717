"""Leaving out items whose scores are too low."""

import numpy as np
import pytest
import torch

from seqrec.errors import InputError
from seqrec.search.exact_index import ExactIndex
from seqrec.search.ranked_search import RankedSearch
from seqrec.search.score_floor import ScoreFloor, drop_below, read_min_score


@pytest.mark.parametrize("min_score", [-1.0, 0.3, 2])
def test_places_of_lower_scores_become_empty(min_score):
    scores_BK = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    token_ids_BK = np.arange(3, 18).reshape(3, 5)
    found, ids = drop_below(scores_BK.copy(), token_ids_BK.copy(), read_min_score(min_score))
    for row, place in np.ndindex(3, 5):
        is_kept = scores_BK[row, place] >= min_score
        assert found[row, place] == (scores_BK[row, place] if is_kept else -np.inf)
        assert ids[row, place] == (token_ids_BK[row, place] if is_kept else 0)


def test_a_score_that_is_printed_is_its_own_minimum():
    score = np.float32(0.7)  # a little less than 0.7
    assert float(score) < 0.7
    assert drop_below(np.array([[score]]), np.array([[4]]), read_min_score(0.7))[1] == 4


@pytest.mark.parametrize("min_score", ["1", True, float("nan"), float("inf"), [1]])
def test_other_values_are_refused(min_score):
    with pytest.raises(InputError, match=r"^min_score=.* is not a finite number\. Leave it out"):
        read_min_score(min_score)


@pytest.mark.parametrize(("min_score", "is_any_left"), [(1e300, False), (-1e300, True), (10**40, False), (None, None)])
def test_minimums_beyond_float32_are_read(min_score, is_any_left):
    read = read_min_score(min_score)
    if is_any_left is not None:
        assert (drop_below(np.ones((1, 1), dtype=np.float32), np.array([[4]]), read)[1] == 4) == is_any_left
    else:
        assert read is None


class Counting(ExactIndex):
    searches = 0

    def search(self, *args, **options):
        self.searches += 1
        return super().search(*args, **options)


class KeepLast:
    """Keeps the k last candidates."""

    num_candidates, reads_users = 6, False

    def rank(self, users_BD, seen_BS, scores_BN, token_ids_BN, k):
        order_BN = (token_ids_BN > 0).int().argsort(dim=1, stable=True)
        return scores_BN.gather(1, order_BN)[:, -k:], token_ids_BN.gather(1, order_BN)[:, -k:]


def test_rerankers_choose_from_the_others_and_no_deeper():
    scores_V = torch.tensor([0.0, 0, 0, 9, 8, 7, 6, 5, 4, 3, 2])
    index = Counting(scores_V[:, None])
    search = RankedSearch(index, torch.ones(1, 1), torch.zeros(1, 0, dtype=torch.long), None, None)
    scores_BK, ids_BK = search.lists(3, [ScoreFloor(6.5), KeepLast()])
    assert scores_BK.tolist() == [[9, 8, 7]]
    assert ids_BK.tolist() == [[3, 4, 5]]
    assert search.lists(3, [ScoreFloor(7.5), KeepLast()])[1].tolist() == [[0, 3, 4]]
    assert index.searches == 2

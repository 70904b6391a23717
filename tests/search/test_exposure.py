"""Bonuses that give every item a least number of places, on lists small enough to check by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqrec.errors import InputError
from seqrec.evaluation.metrics import count_exposures
from seqrec.search.exposure import ExposureReranker, exposure_bonuses, least_lists, nth_smallest, thresholds

FIRST = 3


def candidates(generator, num_users=40, num_items=30, num_candidates=12):
    """The best candidates of users who mostly like the same items."""
    scores_UI = generator.normal(size=(num_users, num_items)) + 3 * generator.normal(size=num_items)
    places_UN = np.argsort(-scores_UI, axis=1)[:, :num_candidates]
    return np.take_along_axis(scores_UI, places_UN, axis=1).astype(np.float32), places_UN + FIRST


def lists_of(scores_UN, token_ids_UN, bonuses_V, k):
    reranker = ExposureReranker(bonuses_V, token_ids_UN.shape[1])
    arguments = torch.zeros(len(scores_UN), 0), torch.zeros(len(scores_UN), 0, dtype=torch.long)
    scores_BK, top_BK = reranker.rank(*arguments, torch.from_numpy(scores_UN), torch.from_numpy(token_ids_UN), k)
    return scores_BK.numpy(), top_BK.numpy()


def test_an_item_in_no_list_gets_the_last_place_of_the_user_for_whom_it_is_nearly_good_enough():
    scores_UN = np.array([[5, 4, 1], [5, 4, 3], [5, 4, 2]], dtype=np.float32)
    token_ids_UN = np.array([[3, 4, 5]] * 3)
    bonuses_V = exposure_bonuses(scores_UN, token_ids_UN, share=0.5, k=2, vocab_size=6)  # one list at least
    assert bonuses_V[:5].tolist() == [0] * 5
    assert 1 < bonuses_V[5] < 1.001
    scores_UK, top_UK = lists_of(scores_UN, token_ids_UN, bonuses_V, 2)
    assert top_UK.tolist() == [[3, 4], [3, 5], [3, 4]]
    assert scores_UK.tolist() == [[5, 4], [5, 3], [5, 4]]  # its own score


def test_without_a_share_lists_stay_as_they_are():
    scores_UN, token_ids_UN = candidates(np.random.default_rng(0))
    bonuses_V = exposure_bonuses(scores_UN, token_ids_UN, share=0, k=5, vocab_size=33)
    assert bonuses_V.dtype == torch.float32
    assert not bonuses_V.any()
    assert (lists_of(scores_UN, token_ids_UN, bonuses_V, 5)[1] == token_ids_UN[:, :5]).all()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("share", [0.1, 0.3])
def test_more_items_are_in_lists_and_most_candidates_in_enough(seed, share):
    scores_UN, token_ids_UN = candidates(np.random.default_rng(seed))
    bonuses_V = exposure_bonuses(scores_UN, token_ids_UN, share=share, k=5, vocab_size=33)
    own_I = count_exposures(token_ids_UN, 5, num_items=30)
    found_I = count_exposures(lists_of(scores_UN, token_ids_UN, bonuses_V, 5)[1], 5, num_items=30)
    least_I = np.minimum(count_exposures(token_ids_UN, 12, num_items=30), least_lists(share, 40, 5, 30))
    assert found_I.sum() == own_I.sum()
    num_short = np.count_nonzero(own_I < least_I)
    assert num_short >= 3
    assert np.count_nonzero(found_I < least_I) <= num_short / 2


@given(st.integers(0, 2**32), st.integers(1, 4))
def test_thresholds_are_the_kth_best_of_the_others(seed, k):
    raised_UN = np.random.default_rng(seed).integers(0, 4, size=(3, 4)).astype(np.float64)
    for row, found in zip(raised_UN, thresholds(raised_UN, k), strict=True):
        for place, threshold in enumerate(found):
            others = sorted([*np.delete(row, place), -np.inf], reverse=True)
            assert threshold == others[k - 1]


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(-2, 2)), min_size=1), st.integers(1, 3))
def test_the_nth_smallest_gap_of_each_item_is_that_of_a_sorted_list(pairs, n):
    items, gaps = (np.array(part) for part in zip(*pairs, strict=True))
    for item, found in enumerate(nth_smallest(items, gaps, n, 5)):
        own = sorted(gap for of, gap in pairs if of == item)
        expected = max(own[min(n, len(own)) - 1], 0) if own else 0
        assert found == pytest.approx(expected, rel=2e-4, abs=2e-4)
        assert found > expected or not expected


def test_empty_places_stay_last():
    scores_UN = np.array([[2, -np.inf, -np.inf], [3, 2, 1]], dtype=np.float32)
    token_ids_UN = np.array([[5, 0, 0], [3, 4, 5]])
    bonuses_V = exposure_bonuses(scores_UN, token_ids_UN, share=1, k=2, vocab_size=6)
    scores_UK, top_UK = lists_of(scores_UN, token_ids_UN, bonuses_V, 2)
    assert top_UK.tolist()[0] == [5, 0]
    assert scores_UK.tolist()[0] == [2, -np.inf]
    assert (top_UK[1] > 0).all()


@pytest.mark.parametrize(("share", "k", "message"), [(1.5, 2, "share=1.5"), (np.nan, 2, "share=nan"), (0.5, 4, "k=4")])
def test_what_is_out_of_range_is_refused(share, k, message):
    with pytest.raises(InputError, match=message):
        exposure_bonuses(np.ones((2, 3), dtype=np.float32), np.full((2, 3), 3), share=share, k=k, vocab_size=6)

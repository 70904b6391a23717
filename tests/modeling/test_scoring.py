"""Ranks and top-K lists, against sorting everything by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqrec.modeling import scoring
from seqrec.modeling.scoring import rank_targets, top_k

NUM_TOKENS = 30


@pytest.fixture(params=[2**24, 20])
def _chunk_scores(request, monkeypatch):
    """One chunk for the whole catalogue, and many small ones."""
    monkeypatch.setattr(scoring, "CHUNK_SCORES", request.param)
    monkeypatch.setattr(scoring, "CACHED_SCORES", request.param)
    monkeypatch.setattr(scoring, "BLOCK", 4)


def problem(seed):
    """Users and items of few distinct values, so that ties abound; excluded and allowed ids, padded with 0."""
    rng = np.random.default_rng(seed)
    users = torch.tensor(rng.integers(-2, 3, size=(4, 3)), dtype=torch.float32)
    items = torch.tensor(rng.integers(-2, 3, size=(NUM_TOKENS, 3)), dtype=torch.float32)
    excluded = torch.tensor(rng.integers(0, NUM_TOKENS, size=(4, 6)))
    allowed = torch.tensor(rng.integers(0, NUM_TOKENS, size=(4, 15)))
    return users, items, excluded, allowed


def naive_scores(users, items, excluded, allowed):
    """All scores, with −inf where nothing may be recommended, cell by cell."""
    scores = (users @ items.T).numpy().copy()
    for user in range(len(users)):
        for item in range(len(items)):
            barred = excluded is not None and item in excluded[user % len(excluded)]
            left_out = allowed is not None and item not in allowed[user % len(allowed)]
            if item < 3 or barred or left_out:
                scores[user, item] = -np.inf
    return scores


@pytest.mark.usefixtures("_chunk_scores")
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("masks", ["none", "excluded", "allowed", "both", "shared"])
def test_ranks_and_lists_are_those_of_a_full_sort(seed, masks):
    users, items, excluded, allowed = problem(seed)
    excluded = excluded if masks in ("excluded", "both") else excluded[:1] if masks == "shared" else None
    allowed = allowed if masks in ("allowed", "both") else allowed[:1] if masks == "shared" else None
    expected = naive_scores(users, items, excluded, allowed)
    options = {"excluded_BS": excluded, "allowed_BA": allowed}

    scores, token_ids = top_k(users, items, 7, **options)
    np.testing.assert_array_equal(scores.numpy(), -np.sort(-expected, axis=1)[:, :7])
    for user in range(len(users)):
        listed = [int(token_id) for token_id in token_ids[user] if token_id]
        assert len(set(listed)) == len(listed) == min(7, np.isfinite(expected[user]).sum())
        np.testing.assert_array_equal(expected[user, listed], scores[user, : len(listed)].numpy())

    for target in range(NUM_TOKENS):
        ranks = rank_targets(users, items, torch.full((4,), target), **options)
        for user in range(len(users)):
            own = expected[user, target]
            naive = (expected[user] >= own).sum() if np.isfinite(own) else NUM_TOKENS
            assert ranks[user] == naive


@given(st.integers(0, 10**6))
def test_a_rank_of_at_most_k_means_a_place_in_the_list(seed):
    generator = torch.Generator().manual_seed(seed)
    users, items = torch.randn(8, 5, generator=generator), torch.randn(50, 5, generator=generator)
    targets = torch.randint(3, 50, (8,), generator=generator)
    excluded = torch.randint(0, 50, (8, 9), generator=generator)
    ranks = rank_targets(users, items, targets, excluded_BS=excluded)
    _, token_ids = top_k(users, items, 10, excluded_BS=excluded)
    assert torch.equal(ranks <= 10, (token_ids == targets[:, None]).any(dim=1))


def test_ties_count_against_the_target():
    users, items = torch.ones(1, 1), torch.ones(8, 1)
    assert rank_targets(users, items, torch.tensor([4])).tolist() == [5]


def test_a_score_that_is_no_number_never_ranks_well():
    items = torch.ones(8, 1)
    items[4] = torch.nan
    assert rank_targets(torch.ones(1, 1), items, torch.tensor([4])).tolist() == [8]
    assert rank_targets(torch.full((1, 1), torch.nan), torch.ones(8, 1), torch.tensor([4])).tolist() == [8]


def test_refuses_an_empty_list():
    with pytest.raises(ValueError, match="ask for at least 1"):
        top_k(torch.ones(1, 1), torch.ones(8, 1), 0)

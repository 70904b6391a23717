"""Ranks and top-K lists agree with sorting everything by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqrec.search import largest, scoring
from seqrec.search.scoring import NOT_RANKED, Scores, products, rank_targets, top_k

NUM_TOKENS = 30


WHOLE, SMALL = 2**24, 20  # scores of a chunk that holds the whole catalogue, and of chunks that hold 4 items
every_chunk = pytest.mark.parametrize("chunk_scores", [WHOLE, SMALL])


@pytest.fixture
def _small_blocks(monkeypatch):
    """Let small chunks hold few items."""
    monkeypatch.setattr(scoring, "BLOCK", 4)
    monkeypatch.setattr(largest, "BLOCK", 2)


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


def assert_lists(scores_BK, token_ids_BK, expected_BV):
    """Score descending, then token id ascending; places that nothing is left for hold −inf and 0."""
    for scores_K, ids_K, expected_V in zip(scores_BK.numpy(), token_ids_BK.numpy(), expected_BV, strict=True):
        order = np.lexsort([np.arange(len(expected_V)), -expected_V])
        listed = order[np.isfinite(expected_V[order])][: len(ids_K)]
        missing = len(ids_K) - len(listed)
        assert ids_K.tolist() == [*listed.tolist(), *[0] * missing]
        np.testing.assert_array_equal(scores_K, [*expected_V[listed], *[-np.inf] * missing])


@pytest.mark.usefixtures("_small_blocks")
@every_chunk
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("masks", ["none", "excluded", "allowed", "both", "shared"])
def test_ranks_and_lists_are_those_of_a_full_sort(seed, masks, chunk_scores):
    users, items, excluded, allowed = problem(seed)
    excluded = excluded if masks in ("excluded", "both") else excluded[:1] if masks == "shared" else None
    allowed = allowed if masks in ("allowed", "both") else allowed[:1] if masks == "shared" else None
    expected = naive_scores(users, items, excluded, allowed)
    found = Scores.of_vectors(users, items).masked(excluded, allowed, chunk_scores)
    assert len(list(found)) == (1 if chunk_scores == WHOLE else 8)

    assert_lists(*found.top_k(7), expected)

    for target in range(NUM_TOKENS):
        ranks = found.rank(torch.full((4,), target))
        for user in range(len(users)):
            own = expected[user, target]
            naive = (expected[user] >= own).sum() if np.isfinite(own) else NOT_RANKED
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


@pytest.mark.parametrize("value", [torch.nan, -torch.inf])
def test_a_target_whose_score_is_no_number_or_as_low_as_can_be_is_not_ranked(value):
    items = torch.ones(8, 1)
    items[4] = value
    assert rank_targets(torch.ones(1, 1), items, torch.tensor([4])).tolist() == [NOT_RANKED]
    assert rank_targets(torch.full((1, 1), value), torch.ones(8, 1), torch.tensor([4])).tolist() == [NOT_RANKED]


def test_scores_that_are_no_numbers_count_against_the_target():
    items = torch.ones(8, 1)
    items[5:7] = torch.nan
    items[4] = 2
    assert rank_targets(torch.ones(1, 1), items, torch.tensor([4])).tolist() == [3]


@pytest.mark.parametrize("num_items", range(1, 9))
@pytest.mark.parametrize("k", [1, 2, 5, 8, 10, 100])
def test_in_a_tiny_catalogue_lists_hold_all_and_what_is_left_out_is_no_hit(num_items, k):
    """An excluded target, an item outside the allowed ones, a special token, a token id beyond the catalogue."""
    users, items = torch.ones(1, 1), torch.arange(float(num_items + 3))[:, None]
    scores, token_ids = top_k(users, items, k, excluded_BS=torch.tensor([[3]]))
    expected = [*range(num_items + 2, 3, -1), *[0] * k][:k]
    assert token_ids.tolist() == [expected]
    assert scores.isneginf().tolist() == [[token_id == 0 for token_id in expected]]
    options = {"excluded_BS": torch.tensor([[3]]), "allowed_BA": torch.arange(3, num_items + 3)[None]}
    for target in (3, 0, 1, 2, num_items + 3, -1):
        assert rank_targets(users, items, torch.tensor([target]), **options).tolist() == [NOT_RANKED]
    assert rank_targets(users, items, torch.tensor([3]), allowed_BA=torch.tensor([[0]])).tolist() == [NOT_RANKED]


@pytest.mark.usefixtures("_small_blocks")
@every_chunk
@given(seed=st.integers(0, 10**6), num_items=st.integers(1, 40), k=st.integers(1, 60), more=st.integers(0, 30))
def test_a_list_is_the_beginning_of_longer_ones_and_the_same_alone(seed, num_items, k, more, chunk_scores):
    """Few distinct integers, so that scores are exact and most of them equal."""
    rng = np.random.default_rng(seed)
    users = torch.tensor(rng.integers(-1, 2, size=(5, 2)), dtype=torch.float32)
    items = torch.tensor(rng.integers(-1, 2, size=(num_items + 3, 2)), dtype=torch.float32)
    excluded = torch.tensor(rng.integers(0, num_items + 3, size=(5, 4)))

    def lists(rows, length):
        return Scores.of_vectors(users[rows], items).masked(excluded[rows], None, chunk_scores).top_k(length)

    everybody = slice(None)
    scores, token_ids = lists(everybody, k)
    longer_scores, longer_ids = lists(everybody, k + more)
    assert longer_scores[:, :k].equal(scores)
    assert longer_ids[:, :k].equal(token_ids)
    assert_lists(scores, token_ids, naive_scores(users, items, excluded, None))
    for row in range(5):
        one = slice(row, row + 1)
        assert lists(one, k)[1].equal(token_ids[one])


@pytest.mark.parametrize("width", [1, 8, 64, 100])
@pytest.mark.parametrize("num_users", [1, 2, 5, 64])
@pytest.mark.parametrize("num_items", [1, 3, 5, 63, 64, 65, 101, 131, 1685, 3419])
def test_equal_items_score_the_same_wherever_they_stand(num_items, num_users, width):
    torch.manual_seed(num_items)
    users, item = torch.randn(num_users, width), torch.randn(1, width)
    scores = products(users, item.repeat(num_items, 1))
    assert scores.equal(scores[:, :1].expand(-1, num_items))
    torch.testing.assert_close(scores[:, :1], users @ item.T)


@pytest.mark.parametrize("chunk_scores", [20, 2**24])
@pytest.mark.parametrize("num_users", [1, 7])
def test_lists_of_equal_items_are_in_the_order_of_their_ids(num_users, chunk_scores, monkeypatch):
    """Twenty distinct vectors of real numbers, in chunks of 64 items, the last of which is not full, and in one."""
    monkeypatch.setattr(scoring, "CACHED_SCORES", chunk_scores)
    torch.manual_seed(0)
    users, items = torch.randn(num_users, 16), torch.randn(20, 16)[torch.randint(0, 20, (143,))]
    scores, token_ids = top_k(users, items, 140)
    assert set(token_ids[0].tolist()) == set(range(3, 143))
    for scores_K, ids_K in zip(scores, token_ids, strict=True):
        assert len(scores_K.unique()) == 20
        assert (ids_K.diff()[scores_K.diff() == 0] > 0).all()


def test_special_tokens_are_left_out_wherever_a_chunk_begins():
    scores = Scores.of_vectors(torch.ones(1, 1), torch.ones(8, 1))
    for start in range(4):
        assert scores.score(start, 8).isneginf().tolist() == [[token_id < 3 for token_id in range(start, 8)]]


def test_vectors_that_want_gradients_can_be_ranked():
    users, items = torch.randn(2, 4, requires_grad=True), torch.randn(70, 4, requires_grad=True)
    found = Scores.of_vectors(users, items)
    assert found.rank(torch.tensor([5, 9])).shape == (2,)


def test_refuses_an_empty_list():
    with pytest.raises(ValueError, match="k must be at least 1, got"):
        top_k(torch.ones(1, 1), torch.ones(8, 1), 0)

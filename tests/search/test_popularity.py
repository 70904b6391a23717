import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqrec.search.popularity import PopularityBaseline
from seqrec.search.scoring import rank_targets, top_k


def encode(counts, num_users=2):
    baseline = PopularityBaseline(counts)
    histories = torch.zeros(num_users, 4, dtype=torch.long)
    return baseline.encode_users(histories, torch.ones_like(histories)), baseline.encode_items()


@given(st.lists(st.integers(0, 2**60), min_size=1, max_size=30), st.data())
def test_ranks_are_those_of_counts_with_ties_against_the_target(counts, data):
    target = data.draw(st.integers(0, len(counts) - 1))
    users, items = encode([0, 0, 0, *counts], num_users=1)
    rank = rank_targets(users, items, torch.tensor([target + 3])).item()
    assert rank == sum(other >= counts[target] for other in counts)


def test_most_popular_items_are_listed_first_and_seen_ones_left_out():
    users, items = encode([0, 0, 0, 5, 9, 0, 7])
    assert top_k(users, items, 4)[1].tolist() == [[4, 6, 3, 5]] * 2
    seen = torch.tensor([[4, 0], [3, 6]])
    assert top_k(users, items, 3, excluded_BS=seen)[1].tolist() == [[6, 3, 5], [4, 5, 0]]


def test_counts_that_float32_cannot_tell_apart_are_told_apart():
    users, items = encode([0, 0, 0, 2**24, 2**24 + 1, 2**24 + 1, 2**24 + 2])
    targets = torch.tensor([3, 4])
    assert rank_targets(users, items, targets).tolist() == [4, 3]


def test_vectors_have_one_dimension():
    users, items = encode([0, 0, 0, 5, 9], num_users=7)
    assert users.shape == (7, 1)
    assert items.shape == (5, 1)
    assert users.dtype == items.dtype == torch.float32


@pytest.mark.parametrize("counts", [[[0, 0, 0, 1]], [0, 0, 0, 0.5], [0, 0, 0, -1], 3])
def test_counts_that_cannot_be_are_refused(counts):
    with pytest.raises(ValueError, match="Item counts must be"):
        PopularityBaseline(counts)

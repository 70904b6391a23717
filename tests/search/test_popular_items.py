"""Popular items, by counts of all times and of recent windows, against sorting by hand."""

import math

import numpy as np
import pytest
import torch

from seqrec.search.popular_items import PopularItems, interaction_shares

COUNTS = np.array([0, 0, 0, 5, 9, 0, 9, 2])  # of five items, after three special tokens
RECENT = np.array([[0, 0], [0, 0], [0, 0], [3, 0], [0, 0], [3, 1], [4, 0], [0, 0]])  # in a month and in a week


def lists(shares_V, k, hidden_H=None, **options):
    index = PopularItems(shares_V, device=torch.device("cpu"), hidden_H=hidden_H)
    scores, token_ids = index.search(torch.zeros(2, 7), k, **options)
    assert torch.equal(scores[0], scores[1])
    return scores[0].tolist(), token_ids[0].tolist()


def test_the_most_popular_items_come_first_and_ties_by_token_id():
    scores, token_ids = lists(interaction_shares(COUNTS), 6)
    assert token_ids == [4, 6, 3, 7, 5, 0]
    assert scores == pytest.approx([math.log(number / 30) for number in (10, 10, 6, 3, 1)] + [-math.inf])


def test_shares_of_training_interactions_sum_to_one():
    assert interaction_shares(COUNTS)[3:].sum() == pytest.approx(1)


def test_shorter_windows_decide_before_longer_ones():
    scores, token_ids = lists(interaction_shares(COUNTS, RECENT), 5)
    assert token_ids == sorted(range(3, 8), key=lambda item: (*-RECENT[item, ::-1], -COUNTS[item], item))
    assert token_ids == [5, 6, 3, 4, 7]
    assert scores[0] == pytest.approx(math.log((1 + (3 + 1 / 30) / 11) / 2))


def test_neither_excluded_nor_hidden_items_are_listed():
    shares_V = interaction_shares(COUNTS)
    assert lists(shares_V, 4, excluded_BS=torch.tensor([[4, 0]]))[1] == [6, 3, 7, 5]
    assert lists(shares_V, 4, hidden_H=torch.tensor([4, 7]))[1] == [6, 3, 5, 0]
    allowed = torch.tensor([[5, 4, 0]])
    assert lists(shares_V, 3, hidden_H=torch.tensor([4]), allowed_BA=allowed)[1] == [5, 0, 0]


def test_shares_that_float32_cannot_tell_apart_keep_their_order():
    counts = np.array([0, 0, 0, 2**40, 2**40 + 1, 7, 2**40 + 2])
    assert lists(interaction_shares(counts), 4)[1] == [6, 4, 3, 5]

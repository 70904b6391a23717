"""Ranking the best items again agrees with naive code."""

import math

import numpy as np
import pytest
import torch

from seqrec.errors import NonFiniteError
from seqrec.search.reranking import make_weighted_reranker, standardise

TASKS = ["next_item", "rating", "click"]
SEEN = torch.zeros(1, 0, dtype=torch.long)


def predictions(users_BD, token_ids_BN):
    """Made-up predictions of users and items, some of them equal."""
    rating_BN = 1 + (token_ids_BN * 7 + users_BD[:, :1].long()) % 5
    return {"rating": rating_BN.float(), "click": torch.sigmoid(token_ids_BN.sin() * users_BD[:, 1:2])}


def reranker(rank_by, k=5, rerank_from=20, predict=predictions):
    return make_weighted_reranker(predict, rank_by, TASKS, k=k, rerank_from=rerank_from, num_items=100)


def z_scores(values):
    mean = sum(values) / len(values)
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))
    return [(value - mean) / deviation if max(values) > min(values) else 0.0 for value in values]


def naive(rank_by, user_D, scores_N, token_ids_N, k):
    """Rank one user's candidates one by one."""
    pairs = [(id_, score) for id_, score in zip(token_ids_N, scores_N, strict=True) if id_]
    ids = [id_ for id_, _ in pairs]
    found = {name: values[0].tolist() for name, values in predictions(user_D[None], torch.tensor([ids])).items()}
    found["next_item"] = [score for _, score in pairs]
    sums = [0.0] * len(ids)
    for name, weight in rank_by.items():
        sums = [total + weight * z for total, z in zip(sums, z_scores(found[name]), strict=True)]
    best = sorted(zip(sums, ids, strict=True), key=lambda one: (-one[0], one[1]))[:k]
    return best + [(-math.inf, 0)] * (k - len(best))


@pytest.mark.parametrize(
    "rank_by",
    [
        {"next_item": 1},
        {"rating": 1},
        {"next_item": 1, "click": 0.5, "rating": 0.2},
        {"click": -1, "next_item": 0, "rating": 3},
    ],
    ids=str,
)
@pytest.mark.parametrize("num_found", [20, 3, 1])
def test_users_are_ranked_as_by_naive_code(rank_by, num_found):
    torch.manual_seed(0)
    users_BD = torch.randint(1, 9, (6, 2)).float()
    token_ids_BN = torch.stack([torch.randperm(97)[:20] + 3 for _ in range(6)])
    scores_BN = torch.randn(6, 20).sort(dim=1, descending=True).values
    scores_BN[1], scores_BN[2, :4] = 2.0, 0.5
    scores_BN[0, num_found:], token_ids_BN[0, num_found:] = -torch.inf, 0
    found_BK, ids_BK = reranker(rank_by).rank(users_BD, SEEN, scores_BN, token_ids_BN, 5)
    assert found_BK.dtype == torch.float32
    for user, scores, ids, got, got_ids in zip(users_BD, scores_BN, token_ids_BN, found_BK, ids_BK, strict=True):
        expected = naive(rank_by, user, scores.tolist(), ids.tolist(), 5)
        assert got_ids.tolist() == [id_ for _, id_ in expected]
        assert got.tolist() == pytest.approx([score for score, _ in expected], abs=1e-5)


def test_a_user_without_candidates_gets_none():
    rank = reranker({"next_item": 1, "rating": 1}).rank
    scores, ids = rank(torch.ones(1, 2), SEEN, torch.full((1, 20), -torch.inf), torch.zeros(1, 20, dtype=torch.long), 5)
    assert ids.tolist() == [[0] * 5]
    assert scores.tolist() == [[-math.inf] * 5]


def test_fewer_candidates_give_the_beginning_of_the_list():
    torch.manual_seed(1)
    inputs = torch.ones(1, 2), SEEN, torch.randn(1, 20), torch.randperm(97)[None, :20] + 3
    long, short = (reranker({"click": 1}, k=k).rank(*inputs, k)[1] for k in (10, 4))
    assert torch.equal(long[:, :4], short)


def test_z_scores_of_equal_values_are_zero():
    values = torch.tensor([[0.1, 0.1, 0.1, 7.0], [1.0, 2.0, 3.0, 4.0]])
    is_item = torch.tensor([[True, True, True, False], [True] * 4])
    found = standardise(values, is_item)
    assert found[0, :3].tolist() == [0, 0, 0]
    assert found[1].tolist() == pytest.approx(z_scores([1, 2, 3, 4]))


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_numbers_that_are_not_finite_are_refused(value):
    def broken(users_BD, token_ids_BN):
        return {"rating": torch.where(token_ids_BN == 5, value, 1.0)}

    scores, ids = torch.ones(1, 20), torch.arange(20)[None] + 3
    with pytest.raises(NonFiniteError, match=r"^Predictions \(rating\) of the model hold NaN or infinite"):
        reranker({"rating": 1}, predict=broken).rank(torch.ones(1, 2), SEEN, scores, ids, 5)
    with pytest.raises(NonFiniteError, match=r"^Scores of the model hold NaN"):
        reranker({"rating": 1}).rank(torch.ones(1, 2), SEEN, torch.where(ids == 5, value, scores), ids, 5)


@pytest.mark.parametrize(
    ("rank_by", "message"),
    [
        ({}, r"rank_by must be a dictionary of weights, such as \{'next_item': 1, 'rating': 0.2\}, got \{\}"),
        (["rating"], "rank_by must be a dictionary"),
        ({"rating": 1, "like": 2}, "rank_by names 'like', which the model does not predict. It predicts: next_item, "),
        ({"rating": math.nan}, "The weight of 'rating' in rank_by must be a finite number, got nan"),
        ({"rating": True}, "must be a finite number, got True"),
        ({"rating": "1"}, "must be a finite number, got '1'"),
        ({"rating": 0, "click": 0.0}, "All weights in rank_by are 0"),
    ],
)
def test_weights_that_cannot_be_used(rank_by, message):
    with pytest.raises(ValueError, match=message):
        reranker(rank_by)


@pytest.mark.parametrize("rerank_from", [4, 0, True, 5.0, "9", None])
def test_fewer_candidates_than_the_list_holds_are_refused(rerank_from):
    with pytest.raises(ValueError, match=f"^rerank_from={rerank_from!r} is not an integer of at least k=5"):
        reranker({"rating": 1}, rerank_from=rerank_from)


def test_numbers_of_numpy_will_do():
    found = reranker({"rating": np.float32(0.5), "click": np.int64(1)}, rerank_from=np.int64(300))
    assert found.weights == {"rating": 0.5, "click": 1.0}
    assert found.num_candidates == 100

"""Predictions for pairs of users and items agree with one pair at a time."""

import numpy as np
import pytest
import torch

from seqrec.errors import NonFiniteError
from seqrec.search import pair_predictions
from seqrec.search.pair_predictions import predict_pairs

TASKS = ("rating", "click")


def predict(users_BD, item_ids_BC):
    rating_BC = users_BD.sum(dim=1, keepdim=True) + item_ids_BC
    return {"rating": rating_BC, "click": torch.sigmoid(users_BD[:, :1] * item_ids_BC)}


@pytest.fixture(params=[1, 2, 3, 5, 2**14])
def _parts(request, monkeypatch):
    """Parts of few pairs, and one of all."""
    monkeypatch.setattr(pair_predictions, "MAX_PAIRS", request.param)


@pytest.mark.usefixtures("_parts")
@pytest.mark.parametrize(
    "candidates",
    [
        [[4, 9, 4]],
        [[7]],
        [[]],
        [[3], [], [4, 5, 6, 7], [8, 8], [9, 10, 11]],
        [[], [], [], [], []],
    ],
    ids=str,
)
def test_pairs_are_predicted_user_by_user(candidates):
    users_RD = torch.arange(10.0).reshape(5, 2) / 10
    found = predict_pairs(predict, TASKS, users_RD, [np.array(ids, dtype=np.int64) for ids in candidates])
    lists = candidates * 5 if len(candidates) == 1 else candidates
    pairs = [(user, item) for user, ids in zip(users_RD, lists, strict=True) for item in ids]
    for task in TASKS:
        expected = [predict(user[None], torch.tensor([[item]]))[task].item() for user, item in pairs]
        assert found[task].dtype == np.float32
        assert found[task].tolist() == pytest.approx(expected)


def test_predictions_that_are_not_finite_are_refused():
    with pytest.raises(NonFiniteError, match=r"Predictions \(rating\)"):
        predict_pairs(predict, TASKS, torch.tensor([[torch.nan, 1.0]]), [np.array([4])])

"""Ranking a data set, against sorting each row's scores by hand."""

import numpy as np
import pytest
import torch
from datasets import Dataset

from seqrec.evaluation.evaluator import Ranking, rank_dataset


@pytest.fixture
def dataset():
    """Forty histories of many lengths, some longer than the model reads, with targets not in them."""
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(40):
        ids = rng.permutation(np.arange(3, 43))[: rng.integers(2, 30)].tolist()
        rows.append({"input_ids": ids[:-1], "target": ids[-1]})
    return Dataset.from_list(rows)


@torch.no_grad()
def naive(model, row, exclude_seen):
    """Rank one row's target, and list its best items."""
    history = row["input_ids"][-model.config.max_history_length :]
    if not model.config.is_causal:
        history = [*history, model.config.mask_token_id]
    scores = model(torch.tensor([history])).logits[0, -1]
    if exclude_seen:
        scores[row["input_ids"]] = -torch.inf
    rank = int((scores >= scores[row["target"]]).sum())
    return rank, scores.topk(5).indices.tolist()


@pytest.mark.parametrize("exclude_seen", [True, False])
def test_ranks_every_row_as_if_it_were_alone(tiny_model, dataset, exclude_seen):
    tiny_model.train()  # dropout must not reach the ranking
    ranking = rank_dataset(
        tiny_model,
        dataset,
        max_length=tiny_model.config.max_history_length,
        exclude_seen=exclude_seen,
        list_length=5,
        batch_size=7,
    )
    for row, rank, top in zip(dataset, ranking.ranks_U, ranking.top_UK, strict=True):
        assert (rank, top.tolist()) == naive(tiny_model, row, exclude_seen)


def test_a_target_that_was_seen_counts_as_never_recommended(tiny_model):
    dataset = Dataset.from_list([{"input_ids": [5, 6, 7], "target": 6}])
    assert rank_dataset(tiny_model, dataset, max_length=tiny_model.config.max_history_length).ranks_U.tolist() == [43]
    assert (
        rank_dataset(tiny_model, dataset, max_length=tiny_model.config.max_history_length, exclude_seen=False).ranks_U[
            0
        ]
        <= 40
    )


def test_metrics_of_a_ranking():
    ranking = Ranking(np.array([1, 3]), np.array([[3, 4], [4, 5]]))
    metrics = ranking.metrics(np.array([0, 0, 0, 5, 3, 2]), ks=(1, 2, 5))
    assert metrics["hr@1"] == 0.5
    assert metrics["ndcg@5"] == pytest.approx((1 + 0.5) / 2)
    assert metrics["coverage@2"] == 1.0
    assert "coverage@5" not in metrics


def test_refuses_an_empty_data_set(tiny_model, dataset):
    with pytest.raises(ValueError, match="nothing to evaluate"):
        rank_dataset(tiny_model, dataset.select([]), max_length=tiny_model.config.max_history_length)

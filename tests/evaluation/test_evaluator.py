"""Ranks of a data set agree with sorting each row's scores by hand."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from datasets import Dataset
from torch import nn

from seqrec.errors import InputError
from seqrec.evaluation.evaluator import Ranking, rank_dataset
from seqrec.interactions.events import EVENT_COLUMNS, EventColumn
from seqrec.interactions.histories import Histories
from seqrec.search.popularity import PopularityBaseline
from seqrec.search.scoring import NOT_RANKED


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
    if not model.objective.is_causal:
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
    assert rank_dataset(tiny_model, dataset, max_length=tiny_model.config.max_history_length).ranks_U.tolist() == [
        NOT_RANKED
    ]
    assert (
        rank_dataset(tiny_model, dataset, max_length=tiny_model.config.max_history_length, exclude_seen=False).ranks_U[
            0
        ]
        <= 40
    )


class LastRating:
    """An encoder that reads a column beside the items: it likes the item of which the newest rating is the number."""

    config = SimpleNamespace(event_columns=("input_ids", "rating"))

    def encode_users(self, input_ids, attention_mask=None, *, rating):
        assert rating.shape == input_ids.shape
        assert rating.dtype == torch.float32
        newest_B = (input_ids != 0).sum(dim=1) - 1
        assert (rating[input_ids == 0] == -1).all()
        return nn.functional.one_hot(rating[torch.arange(len(rating)), newest_B].long(), 43).float()

    def encode_items(self):
        return torch.eye(43)


@pytest.mark.parametrize("form", [list, lambda rows: rows, Histories.to_dataset])
def test_columns_that_a_model_asks_for_are_handed_to_it(form, monkeypatch):
    monkeypatch.setitem(EVENT_COLUMNS, "rating", EventColumn("rating", dtype="float32", fill=-1))
    columns = {"input_ids": np.arange(3, 11), "rating": np.arange(20, 28), "unread": np.arange(8)}
    rows = Histories(columns, np.array([0, 2, 1]), np.array([4, 3, 1]), {"target": np.array([23, 24, 3])})
    ranking = rank_dataset(LastRating(), form(rows), max_length=2, list_length=1)
    assert ranking.top_UK.tolist() == [[23], [24], [21]]
    assert ranking.ranks_U[:2].tolist() == [1, 1]
    with pytest.raises(InputError, match="no rating; their columns are input_ids, target"):
        rank_dataset(LastRating(), Dataset.from_dict({"input_ids": [[3]], "target": [4]}), max_length=2)


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


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf, 1e30])
@pytest.mark.parametrize("broken", ["items", "users"])
@pytest.mark.parametrize("list_length", [0, 5])
def test_scores_that_cannot_be_finite_are_an_error(tiny_model, dataset, value, broken, list_length):
    """Also where the vectors are finite and their products are not."""
    if broken == "items":
        tiny_model.get_input_embeddings().weight.data[10, 0] = value
    else:
        tiny_model.model.encode_users = lambda input_ids, *_, **__: torch.full((len(input_ids), 16), value)
    with pytest.raises(ValueError, match="not finite"):
        rank_dataset(tiny_model, dataset, max_length=tiny_model.config.max_history_length, list_length=list_length)


def test_unknown_targets_are_not_ranked_and_said_so(tiny_model):
    dataset = Dataset.from_list([{"input_ids": [5, 6], "target": 2}, {"input_ids": [5], "target": 6}])
    with pytest.warns(UserWarning, match="1 of 2 targets"):
        ranks = rank_dataset(tiny_model, dataset, max_length=tiny_model.config.max_history_length).ranks_U
    assert ranks[0] == NOT_RANKED
    assert 1 <= ranks[1] <= 40


@pytest.mark.parametrize("options", [{"max_length": 0}, {"max_length": -3}, {"max_length": 5, "list_length": -1}])
def test_lengths_that_cannot_be_are_refused(tiny_model, dataset, options):
    with pytest.raises(ValueError, match="max_length must be at least 1, got"):
        rank_dataset(tiny_model, dataset, **options)


def test_a_history_may_be_read_whole_however_long(dataset):
    baseline = PopularityBaseline([0, 0, 0, *range(40)])
    found, expected = (rank_dataset(baseline, dataset, max_length=length).ranks_U for length in (sys.maxsize, 40))
    np.testing.assert_array_equal(found, expected)


def test_items_beyond_the_catalogue_are_refused(tiny_model):
    with pytest.raises(ValueError, match="target holds token ids from 43 to 43"):
        rank_dataset(tiny_model, Dataset.from_list([{"input_ids": [5], "target": 43}]), max_length=5)

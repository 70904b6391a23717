"""Metrics of one list per user agree with a naive count, in both conventions."""

from math import log2

import numpy as np
import polars as pl
import pytest

from seqrec.errors import InputError
from seqrec.evaluation.evaluator import rank_dataset
from seqrec.evaluation.metrics import ndcg, recall
from seqrec.evaluation.period_ranking import PeriodRanking, rank_periods
from seqrec.evaluation.period_tables import period_table
from seqrec.interactions.sequences import build_sequences
from seqrec.interactions.splitting import temporal
from seqrec.interactions.tokenization_items import ItemTokenizer
from seqrec.search.scoring import NOT_RANKED


@pytest.fixture
def log():
    """Interactions in which users repeat items."""
    random = np.random.default_rng(0)
    size = 400
    return pl.DataFrame(
        {
            "user_id": random.integers(0, 15, size),
            "item_id": [str(item) for item in random.zipf(1.5, size) % 40],
            "timestamp": np.arange(size) + 1_600_000_000,
        }
    ).sort("user_id", "timestamp")


@pytest.fixture
def test_rows(log):
    """The held-out rows of a temporal split."""
    tokenizer = ItemTokenizer.from_interactions(log, catalogue=pl.Series("item_id", map(str, range(40))))
    return build_sequences(temporal(log, test_fraction=0.25), tokenizer)["test"]


def naive(model, rows, exclude_seen, k, max_length):
    """Loop over users: their first row is the request, the targets of all their rows are relevant."""
    users = {}
    for index, start in enumerate(rows.starts_R.tolist()):
        users.setdefault(start, []).append(index)
    sums = dict.fromkeys(["hr", "recall", "ndcg", "yambda_recall", "gain", "best"], 0.0)
    for indices in users.values():
        request = min(indices, key=lambda index: rows.lengths_R[index])
        ranking = rank_dataset(
            model, rows.select([request]), max_length=max_length, exclude_seen=exclude_seen, list_length=k
        )
        targets = [int(rows.rows["target"][index]) for index in indices]
        hits = [rank for rank, item in enumerate(ranking.top_UK[0].tolist(), start=1) if item in targets]
        gain = sum(1 / log2(1 + rank) for rank in hits)
        sums["hr"] += bool(hits)
        sums["recall"] += len(hits) / len(set(targets))
        sums["yambda_recall"] += len(hits) / len(targets)
        sums["ndcg"] += gain / sum(1 / log2(1 + rank) for rank in range(1, min(len(set(targets)), k) + 1))
        sums["gain"] += gain
        sums["best"] += sum(1 / log2(1 + rank) for rank in range(1, min(len(targets), k) + 1))
    found = {f"{name}@{k}": sums[name] / len(users) for name in ("hr", "recall", "ndcg", "yambda_recall")}
    return {**found, f"yambda_ndcg@{k}": sums["gain"] / sums["best"]}


@pytest.mark.parametrize("model_type", ["sasrec"])
@pytest.mark.parametrize("exclude_seen", [True, False])
def test_agrees_with_a_loop(tiny_model, test_rows, exclude_seen):
    length = tiny_model.config.max_history_length
    ranking = rank_periods(
        tiny_model, test_rows, max_length=length, exclude_seen=exclude_seen, ks=(3, 10), batch_size=4
    )
    assert (ranking.num_events_U > ranking.num_targets_U).any()
    assert ranking.num_events_U.sum() == len(test_rows)
    expected = naive(tiny_model, test_rows, exclude_seen, 3, length) | naive(
        tiny_model, test_rows, exclude_seen, 10, length
    )
    assert ranking.metrics((3, 10)) == pytest.approx(expected)
    assert expected["ndcg@10"] != pytest.approx(expected["yambda_ndcg@10"])


@pytest.mark.parametrize("model_type", ["sasrec"])
def test_the_order_of_rows_is_free(tiny_model, test_rows):
    shuffled = test_rows.select(np.random.default_rng(0).permutation(len(test_rows)))
    first, second = (rank_periods(tiny_model, rows, max_length=10).metrics() for rows in (test_rows, shuffled))
    assert first == pytest.approx(second)


@pytest.mark.parametrize("model_type", ["sasrec"])
def test_lists_may_be_longer_than_the_catalogue(tiny_model, test_rows):
    metrics = rank_periods(tiny_model, test_rows, max_length=10, exclude_seen=False).metrics()
    assert metrics["recall@100"] == metrics["hr@100"] == 1
    assert metrics["yambda_recall@100"] < 1


@pytest.mark.parametrize("model_type", ["sasrec"])
def test_wrong_lengths_are_refused(tiny_model, test_rows):
    with pytest.raises(InputError, match=r"ks must be integers >= 1, got \[0\]"):
        rank_periods(tiny_model, test_rows, max_length=10, ks=[0])


def test_known_values():
    """Without repeats, NDCG and recall are those of `metrics`; the pooled NDCG is 1.5 / (1 + 1 + 1/log2(3))."""
    ranking = PeriodRanking(np.array([[True, False, False], [False, False, True]]), np.array([1, 2]), np.array([1, 2]))
    ranks = np.array([[1, 0], [3, NOT_RANKED]])
    found = ranking.metrics([3])
    assert found["ndcg@3"] == pytest.approx(ndcg(ranks, 3).mean())
    assert found["recall@3"] == pytest.approx(recall(ranks, 3).mean()) == 0.75
    assert found["yambda_ndcg@3"] == pytest.approx(1.5 / (2 + 1 / log2(3)))
    first, second = period_table(found).splitlines()
    assert first.split() == ["once", "per", "user", "k", "hr", "recall", "ndcg", "yambda_recall", "yambda_ndcg"]
    assert second.split()[:3] == ["3", "1.0000", "0.7500"]

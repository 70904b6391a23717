import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.functional import retrieval

from seqrec.evaluation import metrics
from seqrec.evaluation.metrics import RANKING_METRICS, count_exposures, list_metrics, ranking_metrics
from seqrec.search.scoring import NOT_RANKED

NUM_ITEMS = 12
SPECIAL = 3


@st.composite
def rank_matrices(draw):
    """Ranks of one to four targets a user, in any order, padded anywhere with 0."""
    rows = draw(
        st.lists(st.lists(st.integers(1, NUM_ITEMS), min_size=1, max_size=4, unique=True), min_size=1, max_size=6)
    )
    return np.array([draw(st.permutations(row + [0] * (4 - len(row)))) for row in rows])


@st.composite
def recommended_lists(draw):
    """Lists of distinct items, some of them cut short, and training counts, some of them 0."""
    k = draw(st.integers(1, 6))
    rows = draw(
        st.lists(
            st.lists(st.integers(SPECIAL, SPECIAL + NUM_ITEMS - 1), max_size=k, unique=True),
            min_size=1,
            max_size=8,
        ).filter(any)
    )
    counts = draw(st.lists(st.integers(0, 50), min_size=NUM_ITEMS, max_size=NUM_ITEMS).filter(any))
    return np.array([row + [0] * (k - len(row)) for row in rows]), np.array([0] * SPECIAL + counts)


def naive_ranking_metrics(targets, k):
    """Walk down one user's list, as the definitions read."""
    hits = [position in targets for position in range(1, k + 1)]
    found = [position for position, hit in enumerate(hits, 1) if hit]
    best = min(len(targets), k)
    return {
        "hr": float(any(hits)),
        "recall": sum(hits) / len(targets),
        "precision": sum(hits) / k,
        "mrr": 1 / found[0] if found else 0.0,
        "ndcg": sum(1 / math.log2(r + 1) for r in found) / sum(1 / math.log2(r + 1) for r in range(1, best + 1)),
        "map": sum(sum(hits[:r]) / r for r in found) / best,
    }


@given(rank_matrices(), st.integers(1, NUM_ITEMS + 3))
def test_ranking_metrics_are_what_a_walk_down_the_list_finds(ranks, k):
    for row, targets in enumerate(ranks):
        expected = naive_ranking_metrics(set(targets[targets > 0].tolist()), k)
        for name, metric in RANKING_METRICS.items():
            assert metric(ranks, k)[row] == pytest.approx(expected[name]), name


@given(rank_matrices(), st.integers(1, NUM_ITEMS))
def test_ranking_metrics_agree_with_torchmetrics(ranks, k):
    others = {
        "hr": retrieval.retrieval_hit_rate,
        "recall": retrieval.retrieval_recall,
        "precision": retrieval.retrieval_precision,
        "mrr": retrieval.retrieval_reciprocal_rank,
        "ndcg": retrieval.retrieval_normalized_dcg,
    }
    scores = torch.arange(NUM_ITEMS, 0, -1).float()
    for row, targets in enumerate(ranks):
        relevant = torch.zeros(NUM_ITEMS, dtype=torch.long)
        relevant[targets[targets > 0] - 1] = 1
        for name, other in others.items():
            expected = other(scores, relevant, top_k=k).item()
            assert RANKING_METRICS[name](ranks, k)[row] == pytest.approx(expected, abs=1e-6), name
        # Cut off at k, torchmetrics divides by the targets found; over the whole list the two are one.
        expected = retrieval.retrieval_average_precision(scores, relevant).item()
        assert RANKING_METRICS["map"](ranks, NUM_ITEMS)[row] == pytest.approx(expected, abs=1e-6)


@given(rank_matrices(), st.integers(1, NUM_ITEMS))
def test_ranking_metrics_lie_between_0_and_1(ranks, k):
    for name, metric in RANKING_METRICS.items():
        values = metric(ranks, k)
        assert values.shape == (len(ranks),), name
        assert values.dtype == np.float64, name
        assert ((values >= 0) & (values <= 1 + 1e-12)).all(), name


@given(rank_matrices(), st.integers(1, NUM_ITEMS))
def test_longer_lists_find_no_less(ranks, k):
    for name in ("hr", "recall", "mrr"):
        assert (RANKING_METRICS[name](ranks, k + 1) >= RANKING_METRICS[name](ranks, k)).all(), name
    for name in ("ndcg", "map"):  # with one target the best list is the same for every k
        assert (RANKING_METRICS[name](ranks.max(1), k + 1) >= RANKING_METRICS[name](ranks.max(1), k)).all(), name


@given(rank_matrices(), st.integers(1, NUM_ITEMS), st.randoms())
def test_order_of_users_and_of_targets_does_not_matter(ranks, k, random):
    users = random.sample(range(len(ranks)), len(ranks))
    targets = random.sample(range(ranks.shape[1]), ranks.shape[1])
    for metric in RANKING_METRICS.values():
        np.testing.assert_array_equal(metric(ranks, k)[users], metric(ranks[users][:, targets], k))


@given(st.lists(st.integers(1, 10**9), min_size=1), st.integers(1, 100))
def test_one_target_is_a_matrix_of_one_column(ranks, k):
    for metric in RANKING_METRICS.values():
        np.testing.assert_array_equal(metric(ranks, k), metric(np.array(ranks)[:, None], k))


def test_a_perfect_list_scores_1_even_where_targets_are_more_than_k():
    for name in ("hr", "ndcg", "mrr", "precision", "map"):
        assert RANKING_METRICS[name]([[1, 2, 3]], 2) == pytest.approx(1.0), name


def test_targets_that_tie_share_the_worse_rank():
    assert metrics.ndcg([[2, 2]], 10) == pytest.approx(2 / math.log2(3) / (1 + 1 / math.log2(3)))
    assert metrics.average_precision([[2, 2]], 10) == pytest.approx((1 / 2 + 2 / 2) / 2)


def test_ranking_metrics_averages_each_metric_at_each_k():
    found = ranking_metrics([1, 3, 20], (1, 10))
    assert set(found) == {
        f"{name}@{k}" for name in ("hr", "ndcg", "mrr", "recall", "precision", "map") for k in (1, 10)
    }
    assert found["hr@1"] == pytest.approx(1 / 3)
    assert found["ndcg@10"] == pytest.approx(1.5 / 3)
    assert found["mrr@10"] == pytest.approx((1 + 1 / 3) / 3)
    assert found["recall@10"] == found["hr@10"] == pytest.approx(2 / 3)
    assert found["precision@10"] == pytest.approx(0.2 / 3)
    assert found["map@10"] == pytest.approx(found["mrr@10"])
    assert all(type(value) is float for value in found.values())
    assert ranking_metrics([1], ()) == {}


@pytest.mark.parametrize(
    ("ranks", "said"),
    [
        ([], "at least one"),
        (np.zeros((2, 0), dtype=int), "at least one"),
        (3, "int64 of shape \\(\\)"),
        ([1.0, 2.0], "float64"),
        ([True, False], "bool"),
        ([[[1]]], "\\(1, 1, 1\\)"),
        ([2, 0], "lowest given is 0"),
        ([[2, -100]], "lowest given is -100"),
        ([[2, 0], [0, 0]], "1 of 2 rows.*row 1, \\[0, 0\\]"),
        ([[4, 0], [1, 1], [1, 1]], "2 of 3 rows.*row 1, \\[1, 1\\]"),
    ],
)
def test_ranks_that_cannot_be_are_refused(ranks, said):
    for metric in RANKING_METRICS.values():
        with pytest.raises(ValueError, match=said):
            metric(ranks, 10)


@pytest.mark.parametrize("k", [0, -1, 2.0, "10", None])
def test_a_k_that_cuts_off_nowhere_is_refused(k):
    for metric in RANKING_METRICS.values():
        with pytest.raises(ValueError, match="k must be an integer >= 1"):
            metric([1], k)
    with pytest.raises(ValueError, match="k must be an integer >= 1"):
        count_exposures([[3]], k, num_items=1)


def naive_list_metrics(top, counts, k):
    recommended = [int(item) for row in top for item in row[:k] if item]
    exposures = [recommended.count(item) for item in range(SPECIAL, len(counts))]
    differences = sum(abs(one - other) for one in exposures for other in exposures)
    return {
        f"coverage@{k}": len(set(recommended)) / len(exposures),
        f"novelty@{k}": np.mean([-math.log2(max(counts[item], 1) / counts.sum()) for item in recommended]),
        f"popularity@{k}": np.mean([counts[item] for item in recommended]),
        f"gini@{k}": differences / (2 * len(exposures) * len(recommended)),  # mean difference over twice the mean
    }


@given(recommended_lists())
def test_list_metrics_are_what_loops_find(lists):
    top, counts = lists
    if top[:, 0].any():
        for k in range(1, top.shape[1] + 1):
            assert list_metrics(top, counts, [k]) == pytest.approx(naive_list_metrics(top, counts, k))


@given(recommended_lists(), st.randoms())
def test_list_metrics_have_bounds_and_know_no_order(lists, random):
    top, counts = lists
    k = top.shape[1]
    found = list_metrics(top, counts, [k])
    assert 0 < found[f"coverage@{k}"] <= 1
    assert 0 <= found[f"gini@{k}"] <= 1 - 1 / NUM_ITEMS + 1e-12
    assert counts[SPECIAL:].min() <= found[f"popularity@{k}"] <= counts.max()
    assert -1e-12 <= found[f"novelty@{k}"] <= math.log2(counts.sum()) + 1e-12
    users, places = random.sample(range(len(top)), len(top)), random.sample(range(k), k)
    assert list_metrics(top[users][:, places], counts, [k]) == found
    items = random.sample(range(NUM_ITEMS), NUM_ITEMS)
    renamed = np.concatenate([range(SPECIAL), SPECIAL + np.argsort(items)])
    other = list_metrics(renamed[top], np.concatenate([counts[:SPECIAL], counts[SPECIAL:][items]]), [k])
    assert other == pytest.approx(found)


@given(recommended_lists())
def test_longer_lists_cover_no_less(lists):
    top, counts = lists
    ks = range(1, top.shape[1] + 1)
    found = list_metrics(top, counts, ks)
    covered = [found[f"coverage@{k}"] for k in ks]
    assert covered == sorted(covered)


def test_list_metrics_have_known_answers():
    found = list_metrics([[3, 4], [3, 0]], [0, 0, 0, 4, 2, 2, 0], [2])
    assert found == {
        "coverage@2": 0.5,
        "novelty@2": pytest.approx((1 + 2 + 1) / 3),
        "popularity@2": pytest.approx((4 + 2 + 4) / 3),
        "gini@2": pytest.approx((-3 * 0 - 1 * 0 + 1 * 1 + 3 * 2) / (4 * 3)),
    }


def test_an_item_without_training_interactions_is_as_novel_as_one_with_a_single_one():
    counts = [0, 0, 0, 7, 1, 0]
    assert list_metrics([[5]], counts, [1])["novelty@1"] == list_metrics([[4]], counts, [1])["novelty@1"] == 3.0


def test_one_item_is_all_there_is_to_recommend():
    assert list_metrics([[3], [3]], [0, 0, 0, 5], [1]) == {
        "coverage@1": 1.0,
        "novelty@1": 0.0,
        "popularity@1": 5.0,
        "gini@1": 0.0,
    }


def test_empty_lists_cover_nothing_and_average_to_no_number():
    found = list_metrics([[0, 0]], [0, 0, 0, 5], [1])
    assert found.pop("coverage@1") == 0.0
    assert all(math.isnan(value) for value in found.values())


def test_no_k_gives_no_list_metrics():
    assert list_metrics(np.zeros((2, 0), dtype=int), [0, 0, 0, 5], []) == {}


@pytest.mark.parametrize(
    ("top", "said"),
    [
        ([3, 4], "shape \\(2,\\)"),
        ([[3.0]], "float64"),
        (np.zeros((0, 1), dtype=int), "at least one list"),
        ([[3], [2]], "1 of 2 .*token id 2\\).*ids 3 to 4"),
        ([[5]], "token id 5"),
        ([[-1]], "token id -1"),
    ],
)
def test_lists_of_what_is_no_item_are_refused(top, said):
    with pytest.raises(ValueError, match=said):
        list_metrics(top, [0, 0, 0, 5, 1], [1])


def test_lists_shorter_than_k_are_refused():
    with pytest.raises(ValueError, match="k=2 exceeds the length of the lists, 1"):
        list_metrics([[3]], [0, 0, 0, 5], [2])


@pytest.mark.parametrize(
    "counts", [[0, 0, 0, 0], [0, 0, 0], [0, 1, 0, 2], [0, 0, 0, 2, -1], [0, 0, 0, 1.5], [[0, 0, 0, 1]]]
)
def test_counts_that_cannot_be_are_refused(counts):
    with pytest.raises(ValueError, match="Item counts must be"):
        list_metrics([[3]], counts, [1])


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.uint64])
def test_any_integers_do(dtype):
    assert list_metrics(np.array([[3, 4]], dtype), np.array([0, 0, 0, 2, 2], dtype), [2]) == {
        "coverage@2": 1.0,
        "novelty@2": 1.0,
        "popularity@2": 2.0,
        "gini@2": 0.0,
    }
    assert ranking_metrics(np.array([2], dtype), [2])["mrr@2"] == 0.5


@pytest.mark.parametrize("k", [1, 10, 10**6])
@pytest.mark.parametrize("ranks", [[NOT_RANKED, NOT_RANKED], [[NOT_RANKED, NOT_RANKED], [NOT_RANKED, 0]]])
def test_what_is_not_ranked_is_no_hit_at_any_k(ranks, k):
    assert set(ranking_metrics(ranks, [k]).values()) == {0}


def test_a_k_that_would_hold_what_is_not_ranked_is_refused():
    with pytest.raises(ValueError, match=f"< {NOT_RANKED}, got {NOT_RANKED}"):
        ranking_metrics([1], [NOT_RANKED])

"""Item-kNN agrees with a computation on dense matrices."""

import numpy as np
import pytest
import torch
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st

import seqrec.evaluation.item_knn as item_knn
from seqrec.evaluation.evaluator import rank_dataset
from seqrec.evaluation.item_knn import ItemKnnBaseline
from seqrec.interactions.history_collator import HistoryCollator

NUM_ITEMS = 12
V = NUM_ITEMS + 3
HISTORIES = st.lists(st.lists(st.integers(2, V - 1), min_size=1, max_size=8), min_size=1, max_size=12)


def sequences(histories):
    return Dataset.from_list([{"input_ids": history} for history in histories])


def naive_scores(train, history, k):
    """Score a history over dense similarities, the k largest of each item, ties by popularity, then by token id."""
    taken_UV = np.zeros((len(train), V))
    for user, items in enumerate(train):
        taken_UV[user, items] = 1
    taken_UV[:, :3] = 0
    counts_V = np.bincount(np.concatenate(train), minlength=V)
    both_VV = taken_UV.T @ taken_UV
    norms_V = np.sqrt(np.maximum(both_VV.diagonal(), 1))
    cosine_VV = both_VV / np.outer(norms_V, norms_V)
    np.fill_diagonal(cosine_VV, 0)
    for row_V in cosine_VV:
        row_V[np.lexsort((-counts_V, -row_V.round(6)))[k:]] = 0
    return cosine_VV[sorted(set(history))].sum(axis=0)


def scores(baseline, histories, **options):
    batch = HistoryCollator(100)([{"input_ids": history} for history in histories])
    found = baseline.score_users(batch["input_ids"], batch.get("attention_mask")).masked(None, **options)
    return torch.cat([chunk for _, chunk in found], dim=1).numpy()


@given(HISTORIES, HISTORIES, st.integers(1, NUM_ITEMS), st.sampled_from([1, 16, 2**23]))
def test_scores_are_sums_of_the_largest_cosines(train, histories, k, block_pairs):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(item_knn, "BLOCK_PAIRS", block_pairs)
        baseline = ItemKnnBaseline(sequences(train), V, num_neighbours=k)
    expected = np.array([naive_scores(train, history, k) for history in histories])
    expected = np.where(expected == 0, -np.inf, expected)
    np.testing.assert_allclose(scores(baseline, histories), expected, rtol=1e-5)


def test_chunks_make_no_difference():
    rng = np.random.default_rng(0)
    train = [rng.integers(3, 303, size=30).tolist() for _ in range(60)]
    baseline = ItemKnnBaseline(sequences(train), 303)
    whole = scores(baseline, train[:4])
    np.testing.assert_array_equal(scores(baseline, train[:4], chunk_scores=256), whole)
    assert np.isfinite(whole).mean() > 0.5


@pytest.mark.parametrize("exclude_seen", [True, False])
def test_ranks_and_lists_as_models_are(exclude_seen):
    rng = np.random.default_rng(1)
    train = [rng.choice(np.arange(3, V), size=5, replace=False).tolist() for _ in range(20)]
    rows = [{"input_ids": history[:-1], "target": history[-1]} for history in train]
    ranking = rank_dataset(
        ItemKnnBaseline(sequences(train), V, num_neighbours=4),
        Dataset.from_list(rows),
        max_length=100,
        exclude_seen=exclude_seen,
        list_length=NUM_ITEMS,
        batch_size=7,
    )
    for row, rank, top in zip(rows, ranking.ranks_U, ranking.top_UK, strict=True):
        expected = naive_scores(train, row["input_ids"], 4).round(5)
        if exclude_seen:
            expected[row["input_ids"]] = 0
        score = expected[row["target"]]
        assert rank == ((expected >= score).sum() if score else V)
        listed = top[top > 0]
        assert set(listed) == set(np.flatnonzero(expected))
        assert (np.diff(expected[listed]) <= 0).all()


def test_of_equally_similar_items_the_more_popular_is_kept():
    """Items 4 and 9 were each taken once with 3, and as often alone; 9 has one interaction more, a repeat."""
    baseline = ItemKnnBaseline(sequences([[3, 4], [3, 9, 9]]), V, num_neighbours=1)
    assert np.flatnonzero(np.isfinite(scores(baseline, [[3]])[0])).tolist() == [9]


def test_a_repeat_counts_once_and_an_unknown_item_not_at_all():
    baseline = ItemKnnBaseline(sequences([[3, 4, 4, 2], [3, 4, 5, 2]]), V)
    once, repeated, unknown = scores(baseline, [[3, 5], [3, 5, 3, 3], [2]])
    np.testing.assert_array_equal(once, repeated)
    assert once[4] == pytest.approx(1 + 1 / np.sqrt(2))
    assert not np.isfinite(unknown).any()


def test_padding_is_no_item_whatever_it_holds():
    baseline = ItemKnnBaseline(sequences([[3, 4], [5, 6]]), V)
    padded = baseline.score_users(torch.tensor([[3, 5]]), torch.tensor([[1, 0]])).top_k(3)
    assert padded[1].tolist() == [[4, 0, 0]]


def test_nobody_took_two_items():
    baseline = ItemKnnBaseline(sequences([[3], [4], [4, 4]]), V)
    assert not np.isfinite(scores(baseline, [[3, 4]])).any()


def test_items_that_belong_together_are_found():
    rng = np.random.default_rng(2)
    groups = np.arange(3, 303).reshape(30, 10)
    train = [rng.choice(groups[rng.integers(30)], size=6, replace=False).tolist() for _ in range(900)]
    rows = [{"input_ids": group[:5].tolist(), "target": int(group[7])} for group in groups]
    ranking = rank_dataset(ItemKnnBaseline(sequences(train), 303), Dataset.from_list(rows), max_length=100)
    assert ranking.ranks_U.max() <= 5


def test_refuses_to_keep_no_neighbour():
    with pytest.raises(ValueError, match="num_neighbours must be >= 1, got 0"):
        ItemKnnBaseline(sequences([[3, 4]]), V, num_neighbours=0)

"""Metrics of lists, compared with loops over users and pairs."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqrec.errors import InputError
from seqrec.evaluation import list_categories, list_quality
from seqrec.evaluation.list_categories import category_metrics
from seqrec.evaluation.list_quality import intra_list_distance, mean_known, popularity_lift
from seqrec.interactions.histories import Histories
from seqrec.interactions.item_categories import ItemCategories

NUM_ITEMS = 8
SPECIAL = 3
NAMES = ("Drama", "Comedy", "War", "Western")


@st.composite
def cases(draw):
    """Lists and histories of some users, and categories of the items, any of them empty for some."""
    ids = st.integers(SPECIAL, SPECIAL + NUM_ITEMS - 1)
    k = draw(st.integers(1, 5))
    lists = draw(st.lists(st.lists(ids, max_size=k, unique=True), min_size=1, max_size=5))
    history = st.lists(st.one_of(ids, st.just(2)), max_size=6)  # 2 is the unknown item
    histories = draw(st.lists(history, min_size=len(lists), max_size=len(lists)))
    codes = draw(st.lists(st.lists(st.integers(0, 3), max_size=3, unique=True), min_size=NUM_ITEMS, max_size=NUM_ITEMS))
    return k, lists, histories, codes


def padded(lists, k):
    return np.array([row + [0] * (k - len(row)) for row in lists]).reshape(len(lists), k)


def as_categories(codes):
    width = max(1, *map(len, codes))
    rows = [[-1] * width] * SPECIAL + [row + [-1] * (width - len(row)) for row in codes]
    return ItemCategories(NAMES, np.array(rows))


def as_histories(rows):
    """Histories that begin within longer columns, as those of held-out rows do."""
    columns = [np.array(row, dtype=np.int32) for row in ([3, 4], *rows)]
    found = Histories.from_lists({"input_ids": columns})
    return found.select(np.arange(1, len(rows) + 1))


def cosine(one, other):
    lengths = math.hypot(*one) * math.hypot(*other)
    return sum(a * b for a, b in zip(one, other, strict=True)) / lengths if lengths else 0.0


def naive_distance(vectors):
    pairs = list(combinations(vectors, 2))
    return sum(1 - cosine(*pair) for pair in pairs) / len(pairs) if pairs else math.nan


def naive_mean(values):
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def naive_shares(items, codes):
    weights = dict.fromkeys(range(4), 0.0)
    for item in items:
        for code in codes[item - SPECIAL] if item >= SPECIAL else ():
            weights[code] += 1 / len(codes[item - SPECIAL])
    total = sum(weights.values())
    return [weight / total for weight in weights.values()] if total else None


def naive_kl(p, q):
    return sum(a * math.log2(a / b) for a, b in zip(p, q, strict=True) if a)


@given(cases(), st.integers(0, 2**32))
def test_the_distance_is_the_mean_over_pairs(case, seed):
    k, lists, _, _ = case
    vectors_VD = np.random.default_rng(seed).normal(size=(SPECIAL + NUM_ITEMS, 3)).astype(np.float32)
    vectors_VD[5] = 0
    expected = [naive_distance([vectors_VD[item].tolist() for item in row]) for row in lists]
    found = intra_list_distance(padded(lists, k), vectors_VD, k)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_distance_is_cut_off_at_k_and_the_same_in_blocks(monkeypatch):
    generator = np.random.default_rng(0)
    vectors_VD = generator.normal(size=(SPECIAL + NUM_ITEMS, 4))
    top_UK = np.array([generator.permutation(NUM_ITEMS)[:6] + SPECIAL for _ in range(9)])
    whole = intra_list_distance(top_UK, vectors_VD, 3)
    np.testing.assert_array_equal(whole, intra_list_distance(top_UK[:, :3], vectors_VD, 3))
    assert (whole != intra_list_distance(top_UK, vectors_VD, 6)).all()
    monkeypatch.setattr(list_quality, "BLOCK_VALUES", 24)  # two users at once
    np.testing.assert_array_equal(intra_list_distance(top_UK, vectors_VD, 3), whole)


def test_equal_items_have_no_distance_and_opposite_ones_the_distance_2():
    vectors = [[0, 0]] * SPECIAL + [[1, 1], [3, 3], [-2, -2]]
    np.testing.assert_allclose(intra_list_distance([[3, 4], [3, 5]], vectors, 2), [0, 2], atol=1e-12)


@given(cases())
def test_metrics_by_category_are_those_of_loops(case):
    k, lists, histories, codes = case
    kl, js, distances = [], [], []
    for row, history in zip(lists, histories, strict=True):
        vectors = [[float(code in codes[item - SPECIAL]) for code in range(4)] for item in row]
        distances.append(naive_distance([vector for vector in vectors if any(vector)]))
        p, q = naive_shares(history, codes), naive_shares(row, codes)
        if p and q:
            average = [(a + b) / 2 for a, b in zip(p, q, strict=True)]
            kl.append(naive_kl(p, [0.99 * b + 0.01 * a for a, b in zip(p, q, strict=True)]))
            js.append((naive_kl(p, average) + naive_kl(q, average)) / 2)
    in_lists = [{code for item in row for code in codes[item - SPECIAL]} for row in lists]
    found = category_metrics(padded(lists, k), as_histories(histories), as_categories(codes), k)
    expected = {
        f"intra_list_distance@{k}": naive_mean(distances),
        f"categories_per_list@{k}": sum(map(len, in_lists)) / len(lists),
        f"category_coverage@{k}": len(set().union(*in_lists)) / 4,
        f"calibration_kl@{k}": naive_mean(kl),
        f"calibration_js@{k}": naive_mean(js),
    }
    assert found == pytest.approx(expected, abs=1e-9, nan_ok=True)


@given(cases())
def test_metrics_by_category_are_the_same_in_blocks_of_users(case):
    k, lists, histories, codes = case
    arguments = padded(lists, k), as_histories(histories), as_categories(codes), k
    whole = category_metrics(*arguments)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(list_categories, "BLOCK_SUMS", 1)  # one user at once
        assert category_metrics(*arguments) == pytest.approx(whole, nan_ok=True)


def test_a_calibrated_list_diverges_less_than_one_of_another_genre():
    categories = as_categories([[0], [0], [1], [1], [2], [2], [0, 1], [3]])
    history = as_histories([[3, 5, 3, 5]])
    calibrated, narrow, other = (
        category_metrics(np.array([row]), history, categories, 2) for row in ([4, 6], [3, 4], [7, 8])
    )
    for name in ("calibration_kl@2", "calibration_js@2"):
        assert calibrated[name] == pytest.approx(0)
        assert 0 < narrow[name] < other[name]
    assert other["calibration_js@2"] == pytest.approx(1)


@given(cases(), st.lists(st.integers(0, 9), min_size=NUM_ITEMS, max_size=NUM_ITEMS))
def test_the_lift_compares_means_of_lists_and_histories(case, counts):
    k, lists, histories, _ = case
    own, listed = [], []
    for row, history in zip(lists, histories, strict=True):
        known = [counts[item - SPECIAL] for item in history if item >= SPECIAL]
        if row and known:
            own.append(sum(known) / len(known))
            listed.append(sum(counts[item - SPECIAL] for item in row) / len(row))
    expected = (sum(listed) - sum(own)) / sum(own) if sum(own) else math.nan
    found = popularity_lift(padded(lists, k), as_histories(histories), np.array([0] * SPECIAL + counts), k)
    assert found == pytest.approx(expected, abs=1e-9, nan_ok=True)


def test_lists_twice_as_popular_as_histories_have_the_lift_1():
    counts = np.array([0, 0, 0, 4, 8])
    assert popularity_lift([[4]], as_histories([[3]]), counts, 1) == 1
    assert popularity_lift([[3]], as_histories([[4]]), counts, 1) == -0.5


def test_the_mean_leaves_out_undefined_values():
    assert mean_known(np.array([1.0, math.nan, 2.0])) == 1.5
    assert math.isnan(mean_known(np.array([math.nan])))


@pytest.mark.parametrize("metric", ["distance", "categories", "lift"])
@pytest.mark.parametrize(("lists", "k", "message"), [([[3, 11]], 2, "are not items"), ([[3, 4]], 3, "exceeds")])
def test_lists_that_are_none_are_refused(metric, lists, k, message):
    history, counts = as_histories([[3]]), np.ones(SPECIAL + NUM_ITEMS, dtype=np.int64)
    compute = {
        "distance": lambda: intra_list_distance(lists, np.ones((SPECIAL + NUM_ITEMS, 2)), k),
        "categories": lambda: category_metrics(lists, history, as_categories([[0]] * NUM_ITEMS), k),
        "lift": lambda: popularity_lift(lists, history, counts, k),
    }
    with pytest.raises(InputError, match=message):
        compute[metric]()

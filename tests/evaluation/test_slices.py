import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqrec.evaluation.confidence import confidence_intervals
from seqrec.evaluation.metrics import hit_rate, ndcg
from seqrec.evaluation.slices import popularity_thirds, slice_confidence, slice_metrics

# Items 3 to 8 have 30 interactions in all: 10 | 6, 4 | 4, 3, 3.
ITEM_COUNTS = np.array([0, 0, 0, 10, 6, 4, 4, 3, 3])


def naive_third(count, counts):
    more = sum(other for other in counts if other > count)
    if more < sum(counts) / 3:
        return 0
    return 1 if more < 2 * sum(counts) / 3 else 2


def test_slices_have_known_answers():
    found = slice_metrics(
        [1, 3, 11, 1, 2],
        lengths_U=[1, 10, 11, 201, 1000],
        target_counts_U=[10, 6, 4, 4, 3],
        item_counts_V=ITEM_COUNTS,
    )
    second = 1 / np.log2(3)
    assert found == {
        "history_length": {
            "1-10": {"num_users": 2, "hr@10": 1.0, "ndcg@10": 0.75},
            "11-50": {"num_users": 1, "hr@10": 0.0, "ndcg@10": 0.0},
            ">200": {"num_users": 2, "hr@10": 1.0, "ndcg@10": pytest.approx((1 + second) / 2)},
        },
        "short_history": {
            "short": {"num_users": 1, "hr@10": 1.0, "ndcg@10": 1.0},
            "longer": {"num_users": 4, "hr@10": 0.75, "ndcg@10": pytest.approx((1.5 + second) / 4)},
        },
        "target_popularity": {
            "head": {"num_users": 1, "hr@10": 1.0, "ndcg@10": 1.0},
            "middle": {"num_users": 3, "hr@10": pytest.approx(2 / 3), "ndcg@10": pytest.approx(1.5 / 3)},
            "tail": {"num_users": 1, "hr@10": 1.0, "ndcg@10": pytest.approx(second)},
        },
        "target_count": {
            "rare": {"num_users": 3, "hr@10": pytest.approx(2 / 3), "ndcg@10": pytest.approx((1 + second) / 3)},
            "frequent": {"num_users": 2, "hr@10": 1.0, "ndcg@10": 0.75},
        },
    }


def test_intervals_are_those_of_each_slice_s_ranks():
    ranks, lengths = np.array([1, 3, 11, 1, 2, 40, 5]), np.array([1, 10, 11, 201, 1000, 12, 13])
    rows = {"lengths_U": lengths, "target_counts_U": np.array([10, 6, 4, 4, 3, 10, 0]), "item_counts_V": ITEM_COUNTS}
    found, means = slice_confidence(ranks, **rows), slice_metrics(ranks, **rows)
    assert {group: [*by] for group, by in found.items()} == {group: [*by] for group, by in means.items()}
    assert found["history_length"]["11-50"] == confidence_intervals(ranks[[2, 5, 6]])
    assert found["target_count"]["cold"] == confidence_intervals(ranks[[6]])
    for group, by in found.items():
        for name, intervals in by.items():
            low, high = intervals["ndcg@10"]
            assert low <= means[group][name]["ndcg@10"] + 1e-12
            assert means[group][name]["ndcg@10"] <= high + 1e-12


@pytest.mark.parametrize(
    ("length", "name"),
    [
        (0, "0"),
        (1, "1-10"),
        (10, "1-10"),
        (11, "11-50"),
        (50, "11-50"),
        (51, "51-200"),
        (200, "51-200"),
        (201, ">200"),
    ],
)
def test_each_length_has_its_slice(length, name):
    found = slice_metrics([1], lengths_U=[length], target_counts_U=[4], item_counts_V=ITEM_COUNTS)
    assert list(found["history_length"]) == [name]


def test_short_histories_have_at_most_two_items():
    found = slice_metrics([1] * 4, lengths_U=[0, 1, 2, 3], target_counts_U=[4] * 4, item_counts_V=ITEM_COUNTS)
    assert {name: one["num_users"] for name, one in found["short_history"].items()} == {"short": 3, "longer": 1}
    found = slice_metrics([1], lengths_U=[2], target_counts_U=[4], item_counts_V=ITEM_COUNTS)
    assert list(found["short_history"]) == ["short"]
    found = slice_metrics([1], lengths_U=[3], target_counts_U=[4], item_counts_V=ITEM_COUNTS)
    assert "short_history" not in found


@pytest.mark.parametrize(("count", "name"), [(0, "cold"), (1, "rare"), (5, "rare"), (6, "frequent"), (10, "frequent")])
def test_each_count_has_its_slice(count, name):
    found = slice_metrics([1], lengths_U=[1], target_counts_U=[count], item_counts_V=ITEM_COUNTS)
    assert list(found["target_count"]) == [name]


@given(st.lists(st.integers(0, 20), min_size=1, max_size=30).filter(any), st.integers(0, 25))
def test_thirds_are_counted_from_the_most_popular_item(counts, count):
    found = popularity_thirds([*counts, count], np.array(counts))
    assert found.tolist() == [naive_third(one, counts) for one in [*counts, count]]
    assert found[np.argmax(counts)] == 0


def test_a_target_never_in_training_is_of_the_tail():
    assert popularity_thirds([0, 5], np.array([5])).tolist() == [2, 0]
    assert popularity_thirds([0, 5], np.array([5, 0])).tolist() == [2, 0]


@given(
    st.lists(
        st.tuples(st.integers(1, 20), st.integers(0, 300), st.sampled_from([0, *ITEM_COUNTS[3:].tolist()])),
        min_size=1,
    )
)
def test_slices_share_out_all_rows(rows):
    ranks, lengths, counts = np.array(rows).T
    found = slice_metrics(ranks, lengths_U=lengths, target_counts_U=counts, item_counts_V=ITEM_COUNTS, k=5)
    for by in found.values():
        num_users = [one["num_users"] for one in by.values()]
        assert 0 not in num_users
        assert sum(num_users) == len(rows)
        assert np.average([one["hr@5"] for one in by.values()], weights=num_users) == pytest.approx(
            hit_rate(ranks, 5).mean()
        )
        assert np.average([one["ndcg@5"] for one in by.values()], weights=num_users) == pytest.approx(
            ndcg(ranks, 5).mean()
        )


def test_arrays_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match=r"lengths_U must have shape \(2,\), one number per row, got \(1,\)"):
        slice_metrics([1, 2], lengths_U=[1], target_counts_U=[4, 4], item_counts_V=ITEM_COUNTS)
    with pytest.raises(ValueError, match="target_counts_U must have"):
        slice_metrics([1, 2], lengths_U=[1, 1], target_counts_U=[4, 4, 4], item_counts_V=ITEM_COUNTS)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.uint32, np.uint64])
def test_any_integers_do(dtype):
    counts = ITEM_COUNTS.astype(dtype)
    found = slice_metrics([1, 2], lengths_U=[3, 3], target_counts_U=counts[[3, 8]], item_counts_V=counts)
    assert list(found["target_popularity"]) == ["head", "tail"]


@pytest.mark.parametrize("name", ["lengths_U", "target_counts_U"])
def test_negative_numbers_are_refused(name):
    numbers = {"lengths_U": [3], "target_counts_U": [4]} | {name: [-5]}
    with pytest.raises(ValueError, match=f"{name} must not be negative; the lowest given is -5"):
        slice_metrics([1], item_counts_V=ITEM_COUNTS, **numbers)


def test_bad_ranks_and_counts_are_refused():
    with pytest.raises(ValueError, match="Ranks begin at 1"):
        slice_metrics([0], lengths_U=[1], target_counts_U=[4], item_counts_V=ITEM_COUNTS)
    with pytest.raises(ValueError, match="Item counts must be"):
        slice_metrics([1], lengths_U=[1], target_counts_U=[4], item_counts_V=[0, 0, 0])

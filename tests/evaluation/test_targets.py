"""Rankable and reachable targets agree with checking row by row."""

from dataclasses import replace

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st

from seqrec.evaluation.targets import find_repeats, require_rankable, share_beyond_reach, warn_of_repeats
from seqrec.interactions.histories import Histories, as_histories

VOCAB_SIZE = 13


def rows(*pairs):
    return Dataset.from_dict({"input_ids": [ids for ids, _ in pairs], "target": [target for _, target in pairs]})


@pytest.fixture
def some_rows():
    """Histories of 0 to 8 items, several of which hold the target, some of which is unknown."""
    rng = np.random.default_rng(0)
    histories = [rng.integers(2, VOCAB_SIZE, rng.integers(0, 9)).tolist() for _ in range(50)]
    return rows(*zip(histories, rng.integers(2, VOCAB_SIZE, 50).tolist(), strict=True))


@pytest.mark.parametrize("chosen", [slice(None), slice(3, 40, 2), slice(0, 0)])
def test_repeats_are_those_found_row_by_row(some_rows, chosen):
    some_rows = some_rows.select(range(50)[chosen])
    expected = [row["target"] in row["input_ids"] for row in some_rows]
    assert find_repeats(some_rows).tolist() == expected
    unknown = [row["target"] == 2 for row in some_rows]
    share = share_beyond_reach(some_rows, exclude_seen=True)
    assert share == (np.mean(np.logical_or(expected, unknown)) if expected else 0)
    assert share_beyond_reach(some_rows, exclude_seen=False) == (np.mean(unknown) if unknown else 0)


@st.composite
def overlapping_views(draw):
    """Histories that are stretches of one log, each with a target that it may hold or not."""
    items = draw(st.lists(st.integers(2, 8), max_size=15))
    bounds = st.tuples(st.integers(0, len(items)), st.integers(0, len(items)), st.integers(2, 9))
    drawn = draw(st.lists(bounds.map(lambda row: (*sorted(row[:2]), row[2])), max_size=9))
    starts_R, ends_R, targets_R = np.array(drawn, dtype=np.int64).reshape(-1, 3).T
    columns = {"input_ids": np.array(items, dtype=np.int32)}
    return Histories(columns, starts_R, ends_R - starts_R, {"target": targets_R})


@given(overlapping_views())
def test_repeats_in_overlapping_histories_are_those_found_row_by_row(histories):
    assert find_repeats(histories).tolist() == [row["target"] in row["input_ids"] for row in histories]


def test_events_that_no_history_holds_are_not_checked():
    histories = Histories(
        {"input_ids": np.array([99, 3, 4, 0])}, np.array([1, 1]), np.array([1, 2]), {"target": np.array([4, 5])}
    )
    require_rankable(histories, VOCAB_SIZE)
    with pytest.raises(ValueError, match="input_ids holds token ids from 0 to 4"):
        require_rankable(replace(histories, lengths_R=np.array([1, 3])), VOCAB_SIZE)


def test_many_repeats_are_warned_of_with_the_flags_that_include_them():
    dataset = rows(([3, 4], 4), ([3, 4], 5), ([5], 5), ([], 3))
    with pytest.warns(UserWarning, match=r"50% of the validation .*--exclude_seen false.*--include_seen"):
        warn_of_repeats(dataset, exclude_seen=True)
    with pytest.warns(UserWarning, match="of the test targets"):
        warn_of_repeats(dataset, exclude_seen=True, split="test")


def test_nothing_is_said_of_few_repeats_of_none_or_where_seen_items_may_be_recommended():
    warn_of_repeats(rows(([3], 3), *[([3], 4)] * 10), exclude_seen=True)
    warn_of_repeats(rows(([3], 3)), exclude_seen=False)
    warn_of_repeats(rows(([3], 3)).select([]), exclude_seen=True)


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (rows(([3], 4)).select([]), "nothing to evaluate"),
        (rows(([3], 4)).remove_columns("target"), "no target; their columns are input_ids"),
        (Dataset.from_dict({"text": ["a"]}), "no input_ids and no target"),
        (rows(([3, 13], 4)), "input_ids holds token ids from 3 to 13, but the model's items have ids 3 to 12"),
        (rows(([3, -1], 4)), "input_ids holds token ids from -1"),
        (rows(([0], 4)), "input_ids holds token ids from 0"),
        (rows(([3], 13)), "target holds token ids from 13"),
        (rows(([3], -100)), "target holds token ids from -100"),
        (rows(([3], 1)), "target holds token ids from 1"),
        (rows(([3], None), ([3], 4)), "target must hold token ids, all integers and none missing"),
        (rows(([3], 4.0)), "target must hold token ids.*float64"),
        (rows((["50"], 4)), "input_ids holds list<.*string>, but histories hold one number per event"),
    ],
)
def test_rows_that_a_model_cannot_rank_are_refused_in_one_line(dataset, message):
    with pytest.raises(ValueError, match=message) as caught:
        require_rankable(as_histories(dataset, ["input_ids", "target"]), VOCAB_SIZE)
    assert "\n" not in str(caught.value)


def test_rows_of_empty_histories_and_unknown_items_can_be_ranked():
    require_rankable(as_histories(rows(([], 3), ([], 12))), VOCAB_SIZE)
    require_rankable(as_histories(rows(([2], 3))), VOCAB_SIZE)


def test_unknown_targets_are_counted_in_a_warning():
    with pytest.warns(UserWarning, match="2 of 3 targets are items that the model does not know"):
        require_rankable(as_histories(rows(([3], 2), ([3], 2), ([3], 4))), VOCAB_SIZE)

"""Recent popularity agrees with a loop over all events, for every request."""

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqrec.evaluation.evaluator import rank_dataset
from seqrec.evaluation.recent_popularity import RecentPopularityBaseline
from seqrec.interactions.data_arguments import DataArguments
from seqrec.interactions.histories import Histories
from seqrec.interactions.preparation import prepare
from seqrec.interactions.prepared_sets import PreparedData
from seqrec.search.scoring import NOT_RANKED

V = 12
DAY = 86_400
NEW_YEAR = 1_704_067_200  # 2024
EVENTS = st.lists(st.tuples(st.integers(2, V - 1), st.integers(0, 30)), min_size=1, max_size=40)


def naive_order(events, time, window):
    """Return each item's key at one request: interactions in the window, then all before; greater is better."""
    recent, before = np.zeros(V, dtype=int), np.zeros(V, dtype=int)
    for item, when in events:
        recent[item] += time - window <= when < time
        before[item] += when < time
    return list(zip(recent.tolist(), before.tolist(), strict=True))


def scores(baseline, times, **options):
    times = torch.from_numpy(np.asarray(times))
    found = baseline.score_users(torch.zeros(len(times), 1, dtype=torch.int64), target_timestamp=times)
    return torch.cat([chunk for _, chunk in found.masked(None, **options)], dim=1).numpy()


def baseline_of(events, window=7, vocab_size=V):
    items, times = (np.array(column) for column in zip(*events, strict=True))
    return RecentPopularityBaseline(items, times, vocab_size, window=window)


@given(EVENTS, st.lists(st.integers(-2, 40), min_size=1, max_size=6), st.integers(1, 12))
def test_scores_order_items_by_interactions_in_the_window_and_then_before_it(events, times, window):
    found = scores(baseline_of(events, window), times)
    for time, scores_V in zip(times, found, strict=True):
        keys = naive_order(events, time, window)
        assert np.floor(scores_V[3:]).tolist() == [recent for recent, _ in keys[3:]]
        for first in range(3, V):
            for second in range(3, V):
                assert (scores_V[first] < scores_V[second]) == (keys[first] < keys[second])
        assert (scores_V[:3] == -np.inf).all()


@given(EVENTS)
def test_a_request_scores_the_same_alone_and_among_others(events):
    baseline = baseline_of(events)
    times = [9, 3, 31, 3, 20]
    together = scores(baseline, times)
    for time, scores_V in zip(times, together, strict=True):
        np.testing.assert_array_equal(scores(baseline, [time])[0], scores_V)


def test_chunks_make_no_difference():
    rng = np.random.default_rng(0)
    events = list(zip(rng.zipf(1.3, 4000) % 300 + 3, rng.integers(0, 500, 4000), strict=True))
    baseline = baseline_of(events, vocab_size=303)
    times = rng.integers(0, 500, 20).tolist()
    np.testing.assert_array_equal(scores(baseline, times, chunk_scores=64 * 20), scores(baseline, times))


def test_the_window_begins_its_length_before_the_request_and_ends_just_before_it():
    """Item 3 was taken when the window begins, 4 one moment earlier, 5 at the request, 6 one moment earlier."""
    found = scores(baseline_of([(3, 13), (4, 12), (5, 20), (6, 19)]), [20])[0]
    assert np.floor(found[3:7]).tolist() == [1, 0, 0, 1]
    assert found[5] == found[7] == 0
    assert found[4] > 0


def test_without_recent_events_it_is_popularity_before_the_request():
    baseline = baseline_of([(4, 0), (4, 1), (5, 1), (6, 99), (6, 99), (6, 99)])
    assert baseline.score_users(torch.zeros(1, 1), target_timestamp=torch.tensor([50])).top_k(3)[1].tolist() == [
        [4, 5, 3]
    ]
    assert (scores(baseline, [0])[0, 3:] == 0).all()


def test_times_of_decimals_are_compared_exactly():
    baseline = baseline_of([(3, 0.25), (4, 0.5)], window=1)
    assert np.floor(scores(baseline, [0.5, 1.25, 1.5])[:, 3:5]).tolist() == [[1, 0], [1, 1], [0, 1]]


def frame(days, per_day=DAY, kind=int):
    """Three users who take the same items on the given days of 2024, one after another."""
    rows = [
        (user, f"i{item}", kind((NEW_YEAR // DAY + day) * per_day + user)) for user in range(3) for item, day in days
    ]
    return pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")


DAYS = [(1, 0), (2, 1), (3, 5), (4, 20), (5, 21), (6, 40)]


@pytest.mark.parametrize("per_second", [1, 1000])
@pytest.mark.parametrize("kind", [int, float])
def test_seven_days_are_found_in_every_unit(per_second, kind):
    data = prepare(DataArguments(), interactions=frame(DAYS, DAY * per_second, kind))
    baseline = RecentPopularityBaseline.of_data(data)
    at = data.sequences["validation"].rows["target_timestamp"]
    token = dict(zip(data.tokenizer.item_ids, range(3, 99), strict=False))
    for user, scores_V in enumerate(scores(baseline, at.tolist())):
        found = {item: int(scores_V[place]) for item, place in token.items()}
        assert found == {"i1": 0, "i2": 0, "i3": 0, "i4": 3, "i5": user, "i6": 0}


def test_datetimes_are_times_and_positions_are_not():
    rows = frame(DAYS).with_columns(timestamp=pl.from_epoch("timestamp"))
    dated = prepare(DataArguments(), interactions=rows)
    assert RecentPopularityBaseline.of_data(dated).window == 7 * DAY
    assert RecentPopularityBaseline.of_data(dated, num_days=30).window == 30 * DAY
    for times in (pl.int_range(pl.len()), pl.int_range(pl.len()) * 1.0, 2000 + pl.int_range(pl.len())):
        ordered = frame(DAYS).with_columns(timestamp=times)
        assert RecentPopularityBaseline.of_data(prepare(DataArguments(), interactions=ordered)) is None


def naive_rank(table, row, *, exclude_seen):
    """Rank a held-out target by loops over the table."""
    events = [(item, time) for item, time in zip(table["item"], table["timestamp"], strict=True)]
    keys = naive_order(events, row["target_timestamp"], 7 * DAY)
    rivals = [item for item in range(3, V) if item != row["target"]]
    if exclude_seen:
        rivals = [item for item in rivals if item not in row["input_ids"]]
        if row["target"] in row["input_ids"]:
            return NOT_RANKED
    return 1 + sum(keys[item] >= keys[row["target"]] for item in rivals)


@pytest.mark.parametrize("exclude_seen", [True, False])
@pytest.mark.parametrize("split_method", ["leave_one_out", "temporal"])
def test_ranks_count_the_events_of_all_users_and_parts(split_method, exclude_seen, tmp_path):
    """Times are whole days, so that many are equal; a prepared set gives the same ranks as the table."""
    rng = np.random.default_rng(0)
    table = pl.DataFrame(
        {
            "user_id": rng.integers(0, 30, 150),
            "item_id": rng.integers(0, V - 3, 150).astype(str),
            "timestamp": NEW_YEAR + DAY * rng.integers(0, 40, 150),
        }
    )
    alone = pl.DataFrame({"user_id": [98, 99], "item_id": ["0", "1"], "timestamp": [NEW_YEAR + DAY * 39] * 2})
    table = pl.concat([table, alone])  # held out without a history if split in time
    data = prepare(DataArguments(split_method=split_method), interactions=table)
    token = {item: place for place, item in enumerate(data.tokenizer.item_ids, start=3)}
    events = table.with_columns(item=pl.col("item_id").replace_strict(token))
    data.save(tmp_path / "set")
    for source in (data, PreparedData.load(tmp_path / "set")):
        baseline = RecentPopularityBaseline.of_data(source)
        for split in ("validation", "test"):
            rows = source.sequences[split]
            ranking = rank_dataset(baseline, rows, max_length=1, exclude_seen=exclude_seen, batch_size=4)
            expected = [naive_rank(events, row, exclude_seen=exclude_seen) for row in rows]
            assert ranking.ranks_U.tolist() == expected


def test_rows_need_the_time_of_the_request():
    rows = Histories.from_lists({"input_ids": [[3, 4]]}, {"target": [5]})
    with pytest.raises(ValueError, match="The histories have no target_timestamp"):
        rank_dataset(baseline_of([(3, 1)]), rows, max_length=1)


def test_it_refuses_events_without_times_and_an_empty_window():
    with pytest.raises(ValueError, match=r"There are 2 items, but 1 times. Give each event one of each."):
        RecentPopularityBaseline(np.array([3, 4]), np.array([1]), V, window=7)
    with pytest.raises(ValueError, match="window must be longer than 0, got 0"):
        baseline_of([(3, 1)], window=0)

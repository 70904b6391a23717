"""Counts of recent interactions, compared with counting one by one."""

import math

import numpy as np
import pytest
import torch

from seqrec.configuration.configuration_sasrec import SasRecConfig
from seqrec.errors import InputError
from seqrec.modeling.modeling_sasrec import SasRecForNextItem
from seqrec.modeling.recent_counts import RecentCounts, days_of

DAY = 86_400
FIRST_DAY = 15_000
WINDOWS = [2, 9]
VOCAB_SIZE = 15


@pytest.fixture
def log():
    """Token ids and times of 200 interactions in twenty days, in no order."""
    random = np.random.default_rng(0)
    return random.integers(3, VOCAB_SIZE, 200), FIRST_DAY * DAY + random.integers(0, 20 * DAY, 200)


@pytest.fixture
def counts(log):
    found = RecentCounts(SasRecConfig(vocab_size=VOCAB_SIZE, popularity_windows=WINDOWS))
    found.set_events(*log)
    return found


def counted(log, token_id, day, window):
    """Count the interactions of an item in a window before a day, one by one."""
    return sum(item == token_id and (day - window) * DAY <= time < day * DAY for item, time in zip(*log, strict=True))


DAYS = [FIRST_DAY - 5, FIRST_DAY, FIRST_DAY + 1, FIRST_DAY + 7, FIRST_DAY + 7, FIRST_DAY + 20, FIRST_DAY + 400]


@pytest.mark.parametrize("largest", [2**27, 0], ids=["tabulated", "computed"])
def test_counts_of_the_catalogue(log, largest, monkeypatch):
    monkeypatch.setattr("seqrec.modeling.recent_counts.LARGEST_TABLE", largest)
    counts = RecentCounts(SasRecConfig(vocab_size=VOCAB_SIZE, popularity_windows=WINDOWS))
    counts.set_events(*log)
    assert (counts.logs_TWV is None) == (largest == 0)
    found_CWV = counts.of_catalogue(torch.tensor(DAYS))
    expected = [
        [[math.log1p(counted(log, token_id, day, window)) for token_id in range(VOCAB_SIZE)] for window in WINDOWS]
        for day in DAYS
    ]
    torch.testing.assert_close(found_CWV, torch.tensor(expected))


def test_counts_of_single_items_are_those_of_the_catalogue(counts):
    of_catalogue_CWV = counts.of_catalogue(torch.tensor(DAYS))
    found_CVW = counts.of_items(torch.tensor(DAYS)[:, None], torch.arange(VOCAB_SIZE))
    assert torch.equal(found_CVW, of_catalogue_CWV.transpose(1, 2))


def test_the_latest_counts_are_those_after_the_last_event(counts, log):
    day = int(log[1].max() // DAY) + 1
    assert counts.latest_day == day
    expected = counts.of_catalogue(torch.tensor(day)).T
    assert torch.equal(counts.latest(), expected)
    assert torch.equal(counts.latest(torch.tensor([[4, 9]])), expected[torch.tensor([[4, 9]])])


def test_times_before_1970():
    assert days_of(torch.tensor([-1, -DAY, -DAY - 1, 0, DAY - 1])).tolist() == [-1, -1, -2, 0, 0]
    found = RecentCounts(SasRecConfig(vocab_size=5, popularity_windows=[1]))
    found.set_events(np.array([3, 4]), np.array([-1, -DAY - 1]))
    expected = [0, 0, 0, 0, math.log(2)]
    for day, counts_V in ((-1, expected), (0, [0, 0, 0, math.log(2), 0])):
        torch.testing.assert_close(found.of_catalogue(torch.tensor([day]))[0, 0], torch.tensor(counts_V))
        torch.testing.assert_close(found.of_items(torch.tensor(day), torch.arange(5))[:, 0], torch.tensor(counts_V))


@pytest.mark.parametrize("events", [([], []), ([3, 4], [0])])
def test_events_that_cannot_be_counted_are_refused(events):
    counts = RecentCounts(SasRecConfig(vocab_size=5, popularity_windows=[1]))
    with pytest.raises(InputError, match="Give one time for each item"):
        counts.set_events(*map(np.array, events))


def test_new_items_have_no_interactions(log):
    model = SasRecForNextItem(SasRecConfig(vocab_size=VOCAB_SIZE, popularity_windows=WINDOWS, request_time="target"))
    model.set_events(*log)
    before = model.encode_items()
    model.resize_token_embeddings(VOCAB_SIZE + 2, mean_resizing=False)
    after = model.encode_items()
    assert torch.equal(after[:VOCAB_SIZE], before)
    assert not after[VOCAB_SIZE:, -2:].any()


@pytest.mark.parametrize("windows", [[0], [7, 7], [-1], [40_000]])
def test_impossible_windows_are_refused(windows):
    with pytest.raises(InputError, match="different numbers of days from 1 to 36500"):
        SasRecConfig(popularity_windows=windows)


def test_a_training_without_events_is_refused():
    model = SasRecForNextItem(SasRecConfig(vocab_size=VOCAB_SIZE, popularity_windows=WINDOWS))
    ids = torch.tensor([[3, 4]])
    with pytest.raises(InputError, match=r"Call model\.set_events\(items, times\)"):
        model(input_ids=ids, timestamps=ids * DAY, labels=torch.tensor([[4, 5]]))


def test_the_first_weights_rank_by_recent_popularity(log):
    model = SasRecForNextItem(SasRecConfig(vocab_size=VOCAB_SIZE, popularity_windows=WINDOWS)).eval()
    users = model.encode_users(input_ids=torch.tensor([[3, 4]]), timestamps=torch.tensor([[0, 1]]))
    assert users[0, -2:].tolist() == [0.5, 0.5]

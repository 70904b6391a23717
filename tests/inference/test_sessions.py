"""Sessions: histories that grow by one event at a time."""

import warnings
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
import torch

from seqrec import Recommender

HISTORY = ["item 5", "item 9", "item 7"]
LATER = ["item 1", "item 2", "item 30", "item 4"]
START = 1_717_113_600
ROTARY = {"position_embedding_type": "rotary"}
TIMED = {**ROTARY, "time_encoding": "relative", "request_time": "target"}


def same(found, expected):
    """Return whether two lists hold the same items with the same scores, whatever the order of ties."""
    scores, expected_scores = ({one.item_id: one.score for one in each} for each in (found, expected))
    return scores == pytest.approx(expected_scores, abs=1e-4)


@pytest.fixture(params=[ROTARY, {}], ids=["rotary", "default"])
def choices(request):
    return request.param


@pytest.mark.parametrize("options", [{}, {"exclude_seen": False, "deny": ["item 3"]}, {"diversity": 0.5}], ids=str)
def test_a_session_gives_the_lists_of_its_whole_history(recommender, options):
    session, history = recommender.session(HISTORY), list(HISTORY)
    assert session.uses_cache == recommender.model.supports_cache
    for item_id in [*LATER, *LATER, *LATER, "item 0"]:  # longer than the model reads
        assert same(session.recommend(k=40, **options), recommender.recommend(history, k=40, **options))
        session.add(item_id)
        history.append(item_id)
        assert session.item_ids == history
    assert not session.uses_cache
    assert same(session.recommend(k=40, **options), recommender.recommend(history, k=40, **options))


def test_only_new_events_are_computed(recommender):
    if not recommender.model.supports_cache:
        pytest.skip("each event changes the states of the others")
    queries = []
    attention = recommender.model.model.layers[0]
    attention.register_forward_pre_hook(lambda module, inputs: queries.append(inputs[0].shape[1]))
    session = recommender.session(HISTORY)
    session.recommend()
    session.recommend(k=3)
    session.add("item 1")
    session.recommend()
    session.add("item 2")
    session.add("item 3")
    session.recommend()
    assert queries == [3, 1, 2]


@pytest.mark.filterwarnings("ignore:1 of 4 histories hold no known item")
def test_sessions_are_answered_in_one_batch(recommender):
    histories = [list(HISTORY), ["item 1"], [], [f"item {index}" for index in range(30)]]
    sessions = recommender.session(histories)
    for new in (["item 20", "item 21", "item 22", "item 23"], ["item 8", None, "item 9", None]):
        found = recommender.recommend(sessions, k=40)
        assert all(map(same, found, recommender.recommend(histories, k=40)))
        for history, session, item_id in zip(histories, sessions, new, strict=True):
            if item_id is not None:
                history.append(item_id)
                session.add(item_id)
    allow = [["item 3", "item 4"], ["item 5"], ["item 6"], ["item 35"]]
    found = recommender.recommend(sessions, k=40, allow=allow)
    assert all(map(same, found, recommender.recommend(histories, k=40, allow=allow)))


def test_many_sessions_are_divided_into_batches(recommender, monkeypatch):
    monkeypatch.setattr("seqrec.inference.sessions.MAX_KEYS", 16)
    generator = np.random.default_rng(0)
    histories = [[f"item {item}" for item in generator.permutation(40)[: 1 + index % 9]] for index in range(30)]
    sessions = recommender.session(histories)
    for _ in range(3):
        assert all(map(same, recommender.recommend(sessions, k=40), recommender.recommend(histories, k=40)))
        for index in generator.permutation(30)[:20]:
            histories[index].append("item 39")
            sessions[index].add("item 39")


def test_an_empty_session_begins_with_popular_items(recommender):
    session = recommender.session()
    with pytest.warns(UserWarning, match="1 of 1 histories hold no known item"):
        assert session.recommend(k=3).is_popularity
    session.add("item 5")
    assert same(session.recommend(k=3), recommender.recommend(["item 5"], k=3))


def test_unknown_items_are_left_out_or_refused(recommender):
    with pytest.warns(UserWarning, match="1 of 3 items in this history"):
        session = recommender.session(["item 5", "x", "item 9"])
    with pytest.warns(UserWarning, match="1 of 1 items in this history"):
        session.add("y")
    assert session.item_ids == ["item 5", "item 9"]
    assert session.recommend().unknown_items == ("x", "y")
    with pytest.raises(ValueError, match="not in the vocabulary"):
        session.add("z", unknown="error")
    assert len(session) == 2


def test_a_session_follows_its_recommender(recommender):
    session = recommender.session(HISTORY)
    best = session.recommend(k=1)[0].item_id
    recommender.hide_items([best])
    assert same(session.recommend(k=40), recommender.recommend(HISTORY, k=40))
    with torch.no_grad():
        recommender.model.model.final_norm.weight.mul_(2)
    session.forget()
    assert same(session.recommend(k=40), recommender.recommend(HISTORY, k=40))
    recommender.add_items(pl.DataFrame({"item_id": ["new"], "similar_to": ["item 5"]}))
    session.add("new")
    assert same(session.recommend(k=40), recommender.recommend([*HISTORY, "new"], k=40))


def test_a_failure_leaves_the_session_usable(recommender, monkeypatch):
    session = recommender.session(HISTORY)
    session.recommend()
    session.add("item 1")
    with monkeypatch.context() as patch:
        patch.setattr(recommender.model.model.layers[1], "forward", lambda *inputs: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            session.recommend()
    assert same(session.recommend(k=40), recommender.recommend([*HISTORY, "item 1"], k=40))


def test_what_does_not_fit_is_refused(recommender, tiny_model, tokenizer, items):
    session = recommender.session(HISTORY)
    other = Recommender(tiny_model, tokenizer, items).session(HISTORY)
    for history, options, message in (
        (session, {"timestamps": [1, 2, 3]}, "A session knows its events, so leave timestamps out"),
        (session, {"device": ["tv"]}, "leave device out"),
        (session, {"at": 5}, "at=5 has no effect"),
        ([session, HISTORY], {}, "Some of the histories are sessions and others are not"),
        ([session, other], {}, "of different recommenders"),
        ([session, session], {}, "A session occurs more than once"),
        (session, {"k": 0}, "k=0 is not an integer"),
    ):
        with pytest.raises(ValueError, match=message):
            recommender.recommend(history, **options)
    for event, columns, message in (
        (["item 1"], {}, "Add one item at a time, by its id"),
        ("item 1", {"device": "tv"}, "does not read device"),
        (1.5, {}, "id"),
    ):
        with pytest.raises(ValueError, match=message):
            session.add(event, **columns)
    assert session.item_ids == HISTORY


@pytest.mark.parametrize("choices", [TIMED, {**TIMED, "request_time": "last_event"}], ids=["target", "last_event"])
class TestTimes:
    def test_times_of_events_and_requests_are_read(self, recommender):
        asks = recommender.model.config.request_time == "target"
        session = recommender.session(HISTORY, timestamps=[START, START + 60, START + 4000])
        history, times = list(HISTORY), [START, START + 60, START + 4000]
        for index, item_id in enumerate(LATER):
            for later in (10, 10**6):
                at = {"at": times[-1] + later} if asks else {}
                expected = recommender.recommend(history, k=40, timestamps=times, **at)
                assert same(session.recommend(k=40, **at), expected)
            times.append(times[-1] + 7 ** (index + 3))
            history.append(item_id)
            session.add(item_id, at=datetime.fromtimestamp(times[-1], UTC) if index % 2 else times[-1])

    @pytest.mark.filterwarnings("ignore:.*reads when its items are asked for")
    def test_times_that_do_not_fit_are_refused(self, recommender):
        session = recommender.session(HISTORY[:2], timestamps=["2024-05-31", "2024-06-01"])
        for at, message in (
            (None, "Pass at=, the time of this event, or at='now'"),
            ("2024-05-30", r"of 2024-05-30.* is earlier than the last one of the session, of 2024-06-01"),
            (datetime(2024, 7, 1, tzinfo=UTC), "Some times in `timestamps` have a time zone"),
            ("tomorrow", "not an ISO date"),
        ):
            with pytest.raises(ValueError, match=message):
                session.add("item 7", at=at)
        assert session.item_ids == HISTORY[:2]
        session.add("item 7", at="2024-06-01")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            session.add("item 8", at="2025-06-01")
        assert len(session) == 4
        assert session.recommend()

    def test_now_is_a_time(self, recommender):
        session = recommender.session()
        session.add("item 1", at="now")
        asks = recommender.model.config.request_time == "target"
        assert session.recommend(**({"at": "now"} if asks else {}))

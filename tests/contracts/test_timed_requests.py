"""Contract tests of requests with times, for every architecture that reads times and both protocols of requests."""

import warnings
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from transformers import pipeline

from seqrec import Recommender
from seqrec.evaluation.evaluator import rank_dataset
from seqrec.interactions.sequences import build_sequences
from seqrec.interactions.splitting import leave_one_out

HISTORY = ["item 5", "item 9", "item 7"]
TIMES = [1717113600, 1717156800, 1717156801]  # 2024-05-31 at 0:00:00, 12:00:00 and 12:00:01
DATES = [datetime.fromtimestamp(time, UTC).replace(tzinfo=None) for time in TIMES]
AT = TIMES[-1] + 7200
K = 10


@pytest.fixture(params=["last_event", "target"])
def request_time(request):
    return request.param


@pytest.fixture
def choices(request_time):
    return {"time_encoding": "relative", "request_time": request_time}


@pytest.fixture
def tiny_model(tiny_model):
    """The model, whose encoding of time is not that of the start, which has no effect."""
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in tiny_model.named_parameters():
            if "time" in name:
                parameter.normal_(std=2)
    return tiny_model


@pytest.fixture
def asked(request_time):
    """The time of the request, for models that read it."""
    return {"at": AT} if request_time == "target" else {}


@pytest.fixture
def interactions():
    """Interactions of 30 users at gaps between a second and a month, in random order."""
    generator = np.random.default_rng(0)
    rows = [
        {"user_id": user, "item_id": f"item {item}", "timestamp": int(time)}
        for user in range(30)
        for item, time in zip(
            generator.permutation(40)[: generator.integers(3, 20)],
            TIMES[0] + np.exp(generator.uniform(0, 14, 20)).astype(int).cumsum(),
            strict=False,
        )
    ]
    return pl.DataFrame(rows)


def ids(found):
    return [one.item_id for one in found]


def answers(lists):
    return [[(one.item_id, one.score) for one in found] for found in lists]


@pytest.mark.parametrize("factor", [1, 1000])
@pytest.mark.filterwarnings("ignore:The numbers in")
def test_a_list_holds_the_target_as_often_as_evaluation_says(recommender, interactions, request_time, factor):
    """Batches and lists are the same, to the bit."""
    table = interactions.with_columns(pl.col("timestamp") * factor).sort("user_id", "timestamp")
    rows = build_sequences(leave_one_out(table), recommender.tokenizer)["test"]
    ranking = rank_dataset(
        recommender.model, rows, max_length=recommender.model.config.max_history_length, list_length=K
    )
    name = recommender.tokenizer.convert_ids_to_tokens
    events = table.group_by("user_id", maintain_order=True).agg("item_id", "timestamp").rows()
    histories, times = [items[:-1] for _, items, _ in events], [times[:-1] for *_, times in events]
    at = [times[-1] for *_, times in events]
    asked = {"at": at} if request_time == "target" else {}
    found = recommender.recommend(histories, k=K, timestamps=times, **asked)
    for target, rank, top, one in zip(rows["target"], ranking.ranks_U, ranking.top_UK, found, strict=True):
        assert ids(one) == name(top.tolist())
        assert (name(int(target)) in ids(one)) == (rank <= K)
    assert 0 < (ranking.ranks_U <= K).sum() < len(ranking.ranks_U)


def test_the_scores_depend_on_the_times(recommender, asked, request_time):
    found = recommender.recommend(HISTORY, k=40, timestamps=TIMES, **asked)
    moved = recommender.recommend(HISTORY, k=40, timestamps=[TIMES[0] - 10**7, *TIMES[1:]], **asked)
    assert answers([found]) != answers([moved])
    if request_time == "target":
        assert answers([found]) != answers([recommender.recommend(HISTORY, k=40, timestamps=TIMES, at=AT + 10**7)])


@pytest.mark.filterwarnings("ignore:1 of . histories hold no known item")
def test_a_batch_is_its_histories_one_by_one(recommender, asked):
    histories = [HISTORY, ["item 1"], [], [f"item {index}" for index in range(30)]]
    times = [TIMES, TIMES[:1], [], [TIMES[0] + 977 * index for index in range(30)]]
    together = recommender.recommend(histories, k=5, timestamps=times, **asked)
    for history, own, found in zip(histories, times, together, strict=True):
        alone = recommender.recommend(history, k=5, timestamps=own, **asked)
        assert ids(found) == ids(alone)
        assert [one.score for one in found] == pytest.approx([one.score for one in alone], abs=1e-4)


@pytest.mark.filterwarnings("ignore:The numbers in")
def test_times_of_any_kind_are_the_same_times(recommender, request_time):
    def ask(timestamps, at, history=HISTORY):
        asked = {"at": at} if request_time == "target" else {}
        return recommender.recommend(history, k=5, timestamps=timestamps, **asked)

    expected = ask(TIMES, AT)
    at = DATES[-1] + timedelta(hours=2)
    zone = timezone(timedelta(hours=5))
    assert ask([1000 * time for time in TIMES], 1000 * AT) == expected
    assert ask(np.array(TIMES), np.int64(AT)) == expected
    assert ask(DATES, at) == expected
    assert ask(np.array(DATES, dtype="datetime64[ns]"), np.datetime64(at)) == expected
    assert ask(pd.Series(DATES), pd.Timestamp(at)) == expected
    assert ask(pl.Series(DATES), at) == expected
    assert ask([date.isoformat() for date in DATES], at.isoformat()) == expected
    zoned = [date.replace(tzinfo=UTC).astimezone(zone) for date in DATES]
    assert ask(zoned, at.replace(tzinfo=UTC)) == expected
    assert ids(ask(pl.Series([TIMES, TIMES[:2]]), [AT, AT], [HISTORY, HISTORY[:2]])[0]) == ids(expected)
    assert ids(ask(np.array([DATES, DATES], dtype="datetime64[ns]"), [at, at], [HISTORY, HISTORY])[1]) == ids(expected)


def test_every_user_of_a_frame_is_asked_for_at_the_same_time(recommender, asked):
    rows = {"user_id": [7, 3, 7, 7], "item_id": ["item 9", "item 1", "item 7", "item 5"]}
    times = [TIMES[1], TIMES[0], TIMES[2], TIMES[0]]
    expected = recommender.recommend([["item 1"], HISTORY], 5, timestamps=[TIMES[:1], TIMES], **asked)
    for column in (times, [DATES[TIMES.index(time)] for time in times], [1000 * time for time in times]):
        found = recommender.recommend_frame(pl.DataFrame({**rows, "timestamp": column}), k=5, **asked)
        assert found["item_id"].to_list() == ids(expected[0]) + ids(expected[1])
        assert found["score"].to_list() == pytest.approx([one.score for one in (*expected[0], *expected[1])], abs=1e-5)


@pytest.mark.filterwarnings("ignore:.*no class of seqrec")
def test_the_pipeline_answers_alike(recommender, asked, request_time, tmp_path):
    recommender.save_pretrained(tmp_path)
    pipe = pipeline("next-item-recommendation", str(tmp_path), device="cpu")
    expected = answers([recommender.recommend(HISTORY, k=5, timestamps=TIMES, **asked)])
    request = {"history": HISTORY, "timestamps": TIMES}
    assert [[(one["item_id"], one["score"]) for one in pipe({**request, **asked}, top_k=5)]] == expected
    assert [[(one["item_id"], one["score"]) for one in pipe(request, top_k=5, **asked)]] == expected
    with pytest.raises(ValueError, match="reads when events happened, and no times were given"):
        pipe(HISTORY)
    with pytest.raises(
        ValueError, match=r"may have 'timestamps', " + ("'at', " if asked else "") + "'allow', 'deny', but"
    ):
        pipe({"history": HISTORY, "when": TIMES})
    assert Recommender.from_pretrained(tmp_path, device="cpu").model.config.request_time == request_time


def test_items_are_sorted_with_their_times(recommender, asked):
    expected = recommender.recommend(HISTORY, k=5, timestamps=TIMES, **asked)
    backwards = {"history": HISTORY[::-1], "timestamps": TIMES[::-1], **asked}
    with pytest.warns(UserWarning, match="timestamps of 1 of 1 histories go backwards .* Their items were sorted"):
        assert recommender.recommend(k=5, **backwards) == expected
    with pytest.raises(ValueError, match=r"go backwards \(first: .* at item 2\). Give .* or pass unsorted='sort'"):
        recommender.recommend(k=5, unsorted="error", **backwards)
    with pytest.warns(UserWarning, match="1 of 2 histories go backwards"):
        both = recommender.recommend([HISTORY, HISTORY[::-1]], k=5, timestamps=[TIMES, TIMES[::-1]], **asked)
    assert [ids(found) for found in both] == [ids(expected)] * 2
    for unsorted in (None, "Sort", True):
        with pytest.raises(ValueError, match="unsorted must be 'sort' or 'error'"):
            recommender.recommend(k=5, **{**backwards, "unsorted": unsorted})


def test_events_of_the_same_time_keep_their_order(recommender, asked):
    times = [TIMES[0]] * 3
    assert recommender.recommend(HISTORY, timestamps=times, unsorted="error", **asked)
    with pytest.warns(UserWarning, match="go backwards"):
        found = recommender.recommend(["item 1", *HISTORY], timestamps=[TIMES[1], *times], **asked)
    assert found == recommender.recommend([*HISTORY, "item 1"], timestamps=[*times, TIMES[1]], **asked)


def test_unknown_items_take_their_times_with_them(recommender, asked):
    with pytest.warns(UserWarning, match="1 of 4 items in this history are not in the vocabulary"):
        found = recommender.recommend(["item 5", "x9", *HISTORY[1:]], timestamps=[TIMES[0], *TIMES], **asked)
    assert found == recommender.recommend(HISTORY, timestamps=TIMES, **asked)


@pytest.mark.parametrize(
    ("timestamps", "message"),
    [
        (None, "reads when events happened, and no times were given"),
        (TIMES[:2], "`timestamps` has 2 values for a history of 3 items"),
        ([TIMES], "which is no time"),
        ("2024-05-31", "`timestamps` must be a list of times, one for each item"),
        (TIMES[0], "`timestamps` must be a list of times, one for each item"),
        ([0, 1, 2], "`timestamps` holds no times: they are numbers from 0 to 2"),
        ([*DATES[:2], pd.NaT], "1 of 3 times in `timestamps` are missing"),
        ([*TIMES[:2], float("nan")], "1 of 3 times in `timestamps` are missing"),
        ([DATES[0].replace(tzinfo=UTC), *DATES[1:]], "1 of 3 times in `timestamps` have a time zone"),
    ],
    ids=str,
)
def test_times_that_do_not_fit_are_refused(recommender, timestamps, message):
    with pytest.raises(ValueError, match=message):
        recommender.recommend(HISTORY, timestamps=timestamps)


def test_times_of_several_histories_are_one_list_for_each(recommender):
    histories = [HISTORY, ["item 1"]]
    for timestamps, message in [
        ([TIMES], "`timestamps` has 1 lists for 2 histories"),
        ([TIMES, TIMES], "`timestamps` has 3 values for a history of 1 items"),
        (TIMES[:2], "must be a list of times"),
        ([DATES, [DATES[0].replace(tzinfo=UTC)]], "have a time zone and others have none"),
    ]:
        with pytest.raises(ValueError, match=message):
            recommender.recommend(histories, timestamps=timestamps)


def test_a_table_without_times_is_refused(recommender):
    frame = pl.DataFrame({"user_id": [1, 1], "item_id": ["item 1", "item 2"], "timestamp": [1, 2]})
    with pytest.raises(
        ValueError, match=r"reads when events happened, but the column timestamp holds no times: .* 1 to 2"
    ):
        recommender.recommend_frame(frame)


def test_times_to_come_are_told(recommender, asked):
    ahead = [2_000_000_000 + 10**9] * 3
    later = {"at": ahead[0] + 1} if asked else {}
    name = "at" if asked else "timestamps"
    with pytest.warns(UserWarning, match=f"`{name}` holds times in the future .latest: 2065-01-24"):
        recommender.recommend(HISTORY, timestamps=ahead, **later)


class TestKnownRequestTime:
    """Models that know the time of the request."""

    @pytest.fixture
    def request_time(self):
        return "target"

    def test_without_it_lists_are_as_of_the_last_event(self, recommender):
        with pytest.warns(UserWarning, match="`at` was not given: the lists are as of each history's last event"):
            found = recommender.recommend(HISTORY, timestamps=TIMES)
        assert found == recommender.recommend(HISTORY, timestamps=TIMES, at=TIMES[-1])
        frame = pl.DataFrame({"user_id": 1, "item_id": HISTORY, "timestamp": TIMES})
        with pytest.warns(UserWarning, match="`at` was not given"):
            assert recommender.recommend_frame(frame)["item_id"].to_list() == ids(found)

    def test_now_is_a_time(self, recommender):
        now = datetime.now(UTC)
        recent = [now - timedelta(days=3), now - timedelta(days=2), now - timedelta(days=1)]
        found = recommender.recommend(HISTORY, timestamps=recent, at="now")
        assert ids(found) == ids(recommender.recommend(HISTORY, timestamps=recent, at=datetime.now(UTC)))
        naive = [time.replace(tzinfo=None) for time in recent]
        assert ids(recommender.recommend(HISTORY, timestamps=naive, at="now")) == ids(found)

    def test_each_history_may_have_its_own(self, recommender):
        both = recommender.recommend([HISTORY, HISTORY], timestamps=[TIMES, TIMES], at=[AT, AT + 10**6])
        for found, at in zip(both, (AT, AT + 10**6), strict=True):
            assert ids(found) == ids(recommender.recommend(HISTORY, timestamps=TIMES, at=at))

    @pytest.mark.parametrize(
        ("at", "message"),
        [
            (TIMES[-1] - 1, "`at` is before the last event of 1 of 1 histories .first: 2024-05-31 12:00:00 is before"),
            (DATES[0], "`at` is before the last event"),
            (DATES[0].replace(tzinfo=UTC), "`at` has a time zone, but the timestamps have none"),
            (pd.NaT, "1 of 1 times in `at` are missing"),
            (float("nan"), "1 of 1 times in `at` are missing"),
            ("tomorrow", "`at` holds 'tomorrow', which is not an ISO date"),
            (5, "`at` holds no times"),
            ([AT], "`at` has 1 times for 1 histories. Give one time"),
        ],
        ids=str,
    )
    def test_a_time_that_cannot_be_is_refused(self, recommender, at, message):
        with pytest.raises(ValueError, match=message):
            recommender.recommend(HISTORY, timestamps=DATES, at=at)

    def test_a_frame_is_not_asked_for_in_its_past(self, recommender):
        rows = {"user_id": [1, 2, 2], "item_id": HISTORY, "timestamp": TIMES}
        with pytest.raises(ValueError, match="`at` is before the last event of 1 of 2 histories"):
            recommender.recommend_frame(pl.DataFrame(rows), at=TIMES[0])


def test_a_model_that_is_not_told_refuses_the_time_of_the_request(recommender, request_time):
    if request_time == "target":
        pytest.skip("This model is told.")
    with pytest.raises(ValueError, match="at='now' has no effect: the model is not told when the next item is asked"):
        recommender.recommend(HISTORY, timestamps=TIMES, at="now")


class TestWithoutTimes:
    """Models that read no times."""

    @pytest.fixture
    def choices(self):
        return {}

    def test_timestamps_are_ignored_silently(self, recommender, tmp_path):
        expected = recommender.recommend(HISTORY, k=5)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for timestamps in (TIMES, TIMES[::-1], [0, 1, 2]):
                assert recommender.recommend(HISTORY, k=5, timestamps=timestamps) == expected
        pipe = pipeline("next-item-recommendation", recommender.model, tokenizer=recommender.tokenizer, device="cpu")
        found = pipe({"history": HISTORY, "timestamps": TIMES}, top_k=5)
        assert [one["item_id"] for one in found] == ids(expected)

    def test_the_time_of_the_request_has_no_effect(self, recommender):
        frame = pl.DataFrame({"user_id": 1, "item_id": HISTORY, "timestamp": TIMES})
        for ask in (recommender.recommend, recommender.recommend_frame):
            with pytest.raises(ValueError, match=r"at='now' has no effect: the model reads no times\. Leave it out"):
                ask(HISTORY if ask == recommender.recommend else frame, at="now")

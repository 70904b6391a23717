"""A recommender whose scores follow recent popularity, and new interactions to count."""

import json
import math

import polars as pl
import pytest
import torch
from transformers import pipeline

from seqrec.errors import InputError
from seqrec.hub.weights_hash import weights_sha256
from seqrec.inference.recommender import Recommender
from seqrec.testing.popularity_contract import set_some_events

DAY = 86_400
WINDOWS = {"popularity_windows": [7], "request_time": "target"}
HISTORY = ["item 1", "item 5"]
TIMES = {"timestamps": ["2026-11-01", "2026-11-02"], "at": "2026-11-03"}


@pytest.fixture
def choices():
    return WINDOWS


@pytest.fixture
def log():
    """Interactions of all users: ten people watched item 30 yesterday, and many more item 31 last month."""
    items = ["item 30"] * 10 + ["item 31"] * 40 + ["unknown"] * 3
    days = ["2026-11-04"] * 10 + ["2026-10-01"] * 40 + ["2026-11-04"] * 3
    return pl.DataFrame(
        {"user_id": range(53), "item_id": items, "timestamp": pl.Series(days).str.to_date().cast(pl.Datetime)}
    )


def scores(recommender):
    found = recommender.recommend(HISTORY, k=len(recommender.items), exclude_seen=False, **TIMES)
    return {one.item_id: one.score for one in found}


def test_new_counts_change_the_scores_of_their_items_alone(recommender, log):
    before = scores(recommender)
    with pytest.warns(UserWarning, match="1 of 3 items in the table are not in the vocabulary"):
        recommender.update_popularity(log)
    after = scores(recommender)
    changed = {item_id for item_id, score in after.items() if not math.isclose(score, before[item_id], abs_tol=1e-5)}
    assert changed == {"item 30"}
    user = recommender.model.encode_users(
        torch.from_numpy(recommender.tokenizer.encode_item_ids(HISTORY))[None],
        timestamps=torch.tensor([[1793491200, 1793577600]]),
        request_times=torch.tensor([[1793577600, 1793664000]]),
    )
    assert math.isclose(after["item 30"] - before["item 30"], user[0, -1].item() * math.log(11), rel_tol=1e-4)


@pytest.mark.filterwarnings("ignore:1 of 3 items")
def test_old_counts_are_told(recommender, log):
    recommender.update_popularity(log)
    recommender.recommend(HISTORY, timestamps=TIMES["timestamps"], at="2026-11-05")
    with pytest.warns(UserWarning, match="counts end on 2026-11-04, 9 days before the request"):
        recommender.recommend(HISTORY, timestamps=TIMES["timestamps"], at="2026-11-14")


@pytest.mark.filterwarnings("ignore:1 of 3 items", "ignore:1 of 1 histories hold no known item")
def test_empty_histories_are_answered_by_recent_counts(recommender, log, tmp_path):
    assert [one.item_id for one in recommender.recommend([], k=2)] == ["item 0", "item 1"]
    recommender.update_popularity(log)
    found = recommender.recommend([], k=3)
    assert [one.item_id for one in found] == ["item 30", "item 0", "item 1"]
    shares = [(10 + 11 / 860) / 11, 41 / 860 / 11, 40 / 860 / 11]
    assert [one.score for one in found] == pytest.approx([math.log(share) for share in shares])
    frame = pl.DataFrame({"user_id": ["a"], "item_id": ["unknown"], "timestamp": ["2026-11-03"]})
    with pytest.warns(UserWarning, match="1 of 1 items in the table are not in the vocabulary"):
        answer = recommender.recommend_frame(frame, 3, at="2026-11-05", deny=["item 0"])
    assert answer["item_id"].to_list() == ["item 30", "item 1", "item 2"]
    recommender.save_pretrained(tmp_path)
    pipe = pipeline("next-item-recommendation", model=str(tmp_path), device="cpu")
    assert [one["score"] for one in pipe([], top_k=3)] == [one.score for one in found]


@pytest.mark.filterwarnings("ignore:1 of 3 items")
def test_saving_keeps_new_counts(recommender, log, tmp_path):
    recommender.update_popularity(log)
    recommender.save_pretrained(tmp_path)
    assert scores(Recommender.from_pretrained(tmp_path)) == pytest.approx(scores(recommender), abs=1e-5)


@pytest.mark.filterwarnings("ignore:1 of 3 items")
def test_new_counts_do_not_invalidate_metrics(recommender, log, tmp_path):
    recommender.save_pretrained(tmp_path / "before")
    recommender.record["metrics.json"] = json.dumps(
        {"weights_sha256": weights_sha256(tmp_path / "before"), "model": {"test": {"ndcg@10": 0.25}}}
    ).encode()
    recommender.update_popularity(log)
    recommender.save_pretrained(tmp_path / "after")
    assert Recommender.from_pretrained(tmp_path / "after").metrics == recommender.metrics


def test_similar_items_do_not_depend_on_popularity(recommender):
    before = recommender.similar_items("item 3")
    set_some_events(recommender.model)
    assert Recommender(recommender.model, recommender.tokenizer, recommender.items).similar_items("item 3") == before


@pytest.mark.filterwarnings("ignore:1 of 3 items")
def test_a_table_without_times_is_refused(recommender, log):
    with pytest.raises(InputError, match="times"):
        recommender.update_popularity(log.with_columns(timestamp=pl.int_range(pl.len())))


class TestOtherModels:
    @pytest.fixture
    def choices(self):
        return {}

    def test_a_model_without_windows_refuses_counts(self, recommender, log):
        with pytest.raises(InputError, match=r"does not read recent popularity\. Train one with popularity_windows"):
            recommender.update_popularity(log)

"""A recommender remembers the columns of the table that it was trained on."""

import json

import pytest

from seqrec import Recommender
from seqrec.errors import InputError, SavedFolderError

NAMES = {"user_id": "customer", "item_id": "sku", "timestamp": "at"}


@pytest.fixture
def model_type():
    return "sasrec"


def with_record(recommender, metrics):
    content = metrics if isinstance(metrics, bytes) else json.dumps(metrics).encode()
    return Recommender(recommender.model, recommender.tokenizer, recommender.items, record={"metrics.json": content})


@pytest.fixture
def ours():
    import polars as pl

    return pl.DataFrame({"user_id": [1, 1, 2], "item_id": ["item 5", "item 9", "item 7"], "timestamp": [1, 2, 3]})


def test_frames_by_the_names_of_training_by_ours_and_by_given_ones(recommender, ours):
    remembering = with_record(recommender, {"protocol": {"columns": NAMES}})
    assert remembering.columns == NAMES
    expected = recommender.recommend_frame(ours, k=5)
    assert expected.columns == ["user_id", "rank", "item_id", "score"]
    for table in (ours, ours.rename(NAMES), ours.rename({"item_id": "sku"})):
        assert remembering.recommend_frame(table, k=5).equals(expected)
    misleading = ours.rename({"item_id": "article"}).with_columns(sku=ours["item_id"].reverse())
    assert remembering.recommend_frame(misleading, k=5, columns={"item_id": "article"}).equals(expected)
    assert not remembering.recommend_frame(misleading, k=5).equals(expected)
    with pytest.raises(
        InputError, match=r"no column 'sku' \(as in training\) or 'item_id'. It has: user_id, timestamp"
    ):
        remembering.recommend_frame(ours.drop("item_id"), k=5)


def test_metrics_of_the_training(recommender):
    assert recommender.metrics is None
    assert recommender.columns == {}
    metrics = {"protocol": {}, "model": {"test": {"ndcg@10": 0.25}}}
    assert with_record(recommender, metrics).metrics == metrics
    assert with_record(recommender, metrics).columns == {}


@pytest.mark.parametrize(("content", "message"), [(b"{", "is not valid JSON"), (b"[]", "must hold a JSON object")])
def test_broken_metrics(recommender, ours, content, message):
    broken = with_record(recommender, content)
    with pytest.raises(SavedFolderError, match=f"metrics.json {message}"):
        _ = broken.metrics
    assert broken.columns == {}
    assert broken.recommend_frame(ours, k=5).equals(recommender.recommend_frame(ours, k=5))

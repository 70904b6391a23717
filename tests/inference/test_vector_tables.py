"""Vectors of users and items, as tables: their products are the scores."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from seqrec.errors import InputError

HISTORIES = [["item 5", "item 9", "item 7"], ["item 1"], [f"item {index}" for index in range(20)]]
TIMES = [[86_400 * (19_000 + place) for place in range(len(history))] for history in HISTORIES]
AT = 86_400 * 19_100
CHOICES = {
    "items": {},
    "cosine": {"logit_scale": 5.0},
    "times": {"time_encoding": "relative", "request_time": "target"},
    "popularity": {"popularity_windows": [7], "request_time": "last_event"},
}
every_choice = pytest.mark.parametrize("choices", CHOICES.values(), ids=CHOICES)


def asked(recommender):
    """Return the times of requests, as far as the model reads them."""
    config = recommender.model.config
    if not config.reads_time:
        return {}
    return {"timestamps": TIMES} | ({"at": AT} if config.request_time == "target" else {})


def with_counts(recommender):
    """Give a model that reads recent popularity counts of its own."""
    if recommender.model.config.popularity_windows:
        days = range(19_060, 19_100)
        columns = {"user_id": days, "item_id": [f"item {day % 7}" for day in days], "timestamp": days}
        recommender.update_popularity(pl.DataFrame(columns).with_columns(pl.col("timestamp") * 86_400))
    return recommender


@every_choice
def test_products_of_the_tables_are_the_scores_of_recommend(recommender):
    with_counts(recommender)
    users = recommender.user_embeddings(HISTORIES, **asked(recommender))
    items = recommender.item_embeddings()
    assert users["history"].to_list() == [0, 1, 2]
    assert items["item_id"].to_list() == recommender.item_ids
    scores = users["vector"].to_numpy() @ items["vector"].to_numpy().T
    lists = recommender.recommend(HISTORIES, k=20, exclude_seen=False, **asked(recommender))
    for own, found in zip(scores, lists, strict=True):
        expected = [own[recommender.item_ids.index(one.item_id)] for one in found]
        assert [one.score for one in found] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("kind", ["polars", "pandas", "file"])
def test_users_of_a_table_have_the_vectors_of_their_histories(recommender, kind, tmp_path):
    rows = [(user, item, time) for user, history in enumerate(HISTORIES) for time, item in enumerate(history)]
    frame = pl.DataFrame(rows, schema=["user", "item_id", "timestamp"], orient="row").sample(fraction=1, shuffle=True)
    frame.write_csv(tmp_path / "table.csv")
    columns = {name: frame[name].to_list() for name in frame.columns}
    source = {"polars": frame, "pandas": pd.DataFrame(columns), "file": str(tmp_path / "table.csv")}[kind]
    found = recommender.user_embeddings(source, columns={"user_id": "user"}).sort("user_id")
    assert list(map(int, found["user_id"])) == [0, 1, 2]
    expected = recommender.user_embeddings(HISTORIES)["vector"].to_numpy()
    np.testing.assert_allclose(found["vector"].to_numpy(), expected, atol=1e-5)


def test_tables_can_be_written_and_read_again(recommender, tmp_path):
    for name in ("item", "user"):
        table = recommender.item_embeddings() if name == "item" else recommender.user_embeddings(HISTORIES)
        assert table.schema["vector"] == pl.Array(pl.Float32, 16)
        table.write_parquet(tmp_path / "table.parquet")
        assert pl.read_parquet(tmp_path / "table.parquet").equals(table)


@pytest.mark.parametrize("model_type", ["sasrec"])
def test_one_history_needs_no_index(recommender):
    assert recommender.user_embeddings(HISTORIES[0]).columns == ["vector"]


@pytest.mark.parametrize("model_type", ["sasrec"])
def test_titles_stand_next_to_ids_if_there_are_any(recommender):
    assert recommender.item_embeddings().columns == ["item_id", "title", "vector"]
    recommender.items = type(recommender.items)(recommender.items.frame.drop("title"))
    assert recommender.item_embeddings().columns == ["item_id", "vector"]


@pytest.mark.parametrize("model_type", ["sasrec"])
def test_a_user_without_a_known_item_has_no_vector(recommender):
    with pytest.warns(UserWarning, match="1 of 2 histories hold no known item; their vectors are null"):
        found = recommender.user_embeddings([["item 1"], []])
    assert found["vector"].is_null().to_list() == [False, True]
    assert found.schema["vector"] == pl.Array(pl.Float32, 16)


@pytest.mark.parametrize("model_type", ["sasrec"])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"source": "table.csv", "timestamps": [1]}, "timestamps goes with histories, but a table was given"),
        ({"source": pl.DataFrame(), "device": ["tv"]}, "device goes with histories, but a table was given"),
        ({"source": [["item 1"]], "columns": {"user_id": "uid"}}, "`columns` names the columns of a table"),
        ({"source": "missing.csv"}, "missing.csv"),
        ({"source": 7}, "A history is a list of item ids"),
        ({"source": [1.5]}, "Item ids are strings or integers"),
    ],
)
def test_what_cannot_be_read_is_refused(recommender, arguments, message):
    with pytest.raises(InputError, match=message) as raised:
        recommender.user_embeddings(**arguments)
    assert "\n" not in str(raised.value)

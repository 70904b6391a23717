"""Predictions for tables of pairs are those of `Recommender.predict` for the histories before them."""

import warnings
from datetime import datetime, timedelta

import pandas as pd
import polars as pl
import pytest
import torch

from seqrec.testing.tiny_inputs import with_numbers

TASKS = ["rating", "click"]
DAY = 86_400
START = 1_717_113_600  # 2024-05-31
HISTORIES = {"ann": ["item 5", "item 9", "item 7"], "bob": ["item 1"], "eve": ["item 2", "item 3"]}


@pytest.fixture
def model_type():
    return "sasrec"


@pytest.fixture
def choices():
    return {"tasks": ["next_item", *TASKS], "rating_scale": [1, 5]}


@pytest.fixture
def tiny_model(tiny_model):
    torch.manual_seed(0)
    return with_numbers(tiny_model)


@pytest.fixture
def log():
    """Interactions a day apart, in random order."""
    rows = [
        (user, item_id, START + DAY * day) for user, history in HISTORIES.items() for day, item_id in enumerate(history)
    ]
    table = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")
    return table.sample(fraction=1, shuffle=True, seed=0)


def rows_of(table):
    return table.select(TASKS).rows()


def assert_rows(found, expected):
    for values, others in zip(rows_of(found), expected, strict=True):
        assert values == pytest.approx(others, abs=1e-5)


def one_by_one(recommender, pairs):
    """Predict each pair of a history and an item alone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [rows_of(recommender.predict(history, [item_id]))[0] for history, item_id in pairs]


def test_pairs_without_times_are_predicted_from_all_interactions(recommender, log):
    pairs = pl.DataFrame(
        {"item_id": ["item 4", "item 4", "item 30", "item 4"], "user_id": ["eve", "ann", "ann", "eve"]}
    )
    found = recommender.predict_frame(pairs, log)
    assert found.columns == ["user_id", "item_id", *TASKS]
    assert found.select("user_id", "item_id").equals(pairs.select("user_id", "item_id"))
    users = zip(pairs["user_id"], pairs["item_id"], strict=True)
    assert_rows(found, one_by_one(recommender, [(HISTORIES[user], item_id) for user, item_id in users]))


def test_pairs_with_times_are_predicted_from_what_was_before(recommender, log):
    cases = [("ann", 3 * DAY, 3), ("ann", 2 * DAY, 2), ("eve", DAY + 1, 2), ("ann", 2 * DAY + 1, 3), ("ann", 1, 1)]
    pairs = pl.DataFrame(
        {
            "user_id": [user for user, _, _ in cases],
            "item_id": [f"item {index}" for index in range(5)],
            "timestamp": [START + time for _, time, _ in cases],
            "other": [0] * 5,
        }
    )
    found = recommender.predict_frame(pairs, log)
    assert found.columns == ["user_id", "item_id", "timestamp", *TASKS]
    assert found["timestamp"].equals(pairs["timestamp"])
    expected = [(HISTORIES[user][:num], f"item {index}") for index, (user, _, num) in enumerate(cases)]
    assert_rows(found, one_by_one(recommender, expected))


@pytest.mark.parametrize("unit", ["datetime", "milliseconds", "text"])
def test_times_of_both_tables_are_compared_in_any_unit(recommender, log, unit):
    times = [START + 2 * DAY, START + DAY + 1]
    dates = [datetime(2024, 5, 31) + timedelta(seconds=time - START) for time in times]
    given = {"datetime": dates, "milliseconds": [1000 * time for time in times], "text": [str(date) for date in dates]}
    pairs = {"user_id": ["ann", "ann"], "item_id": ["item 4"] * 2}
    found = recommender.predict_frame(pl.DataFrame({**pairs, "timestamp": given[unit]}), log)
    expected = recommender.predict_frame(pl.DataFrame({**pairs, "timestamp": times}), log)
    assert rows_of(found) == rows_of(expected)


def test_users_without_interactions_before_get_predictions_of_the_item(recommender, log):
    pairs = pl.DataFrame(
        {"user_id": ["zoe", "ann", "ann"], "item_id": ["item 4"] * 3, "timestamp": [START + DAY, START, START + 1]}
    )
    with pytest.warns(
        UserWarning, match="2 of 3 histories hold no known item; predictions for them depend on the item"
    ):
        found = recommender.predict_frame(pairs, log)
    assert_rows(found, one_by_one(recommender, [([], "item 4"), ([], "item 4"), (["item 5"], "item 4")]))


def test_histories_may_be_a_column(recommender, tmp_path):
    histories = [["item 5", "item 9"], ["item 1"], ["item 5", "item 9"]]
    item_ids = ["item 3", "item 4", "item 6"]
    lists = pl.DataFrame({"history": histories, "item_id": item_ids})
    text = pl.DataFrame({"history": [" , ".join(one) for one in histories], "item_id": item_ids})
    text.write_csv(tmp_path / "pairs.csv")
    lists.write_parquet(tmp_path / "pairs.parquet")
    expected = one_by_one(recommender, zip(histories, item_ids, strict=True))
    for pairs in (lists, text, lists.to_pandas(), tmp_path / "pairs.csv", tmp_path / "pairs.parquet"):
        found = recommender.predict_frame(pairs)
        assert found.columns == ["item_id", *TASKS]
        assert_rows(found, expected)


def test_ids_of_users_are_compared_as_text_and_stay_as_they_are(recommender, log):
    numbers = log.with_columns(pl.col("user_id").replace_strict({"ann": 1, "bob": 2, "eve": 3}))
    pairs = pd.DataFrame({"user_id": ["1", "3"], "item_id": ["item 4", "item 4"]})
    found = recommender.predict_frame(pairs, numbers)
    assert found["user_id"].to_list() == ["1", "3"]
    assert_rows(found, one_by_one(recommender, [(HISTORIES["ann"], "item 4"), (HISTORIES["eve"], "item 4")]))
    same = recommender.predict_frame(pairs.astype({"user_id": int}), numbers)
    assert same["user_id"].to_list() == [1, 3]
    assert rows_of(same) == rows_of(found)


def test_new_items_have_the_mean_bias_of_similar_ones(recommender):
    similar = ["item 3", "item 4"]
    before = recommender.predict(["item 5"], similar)
    recommender.add_items(pl.DataFrame({"item_id": ["new"], "similar_to": [similar]}))
    weights = [head.id_bias.weight[:, 0] for _, head in recommender.model.task_heads.items()]
    token_ids = recommender.tokenizer.encode_item_ids(similar)
    assert [weight[-1].item() for weight in weights] == pytest.approx(
        [weight[token_ids].mean().item() for weight in weights]
    )
    assert weights[0][-1] != 0
    assert rows_of(recommender.predict(["item 5"], similar)) == rows_of(before)


def test_columns_may_have_other_names(recommender, log):
    names = {"user_id": "uid", "item_id": "sku", "timestamp": "ts"}
    pairs = pl.DataFrame({"uid": ["ann"], "sku": ["item 4"], "ts": [START + DAY]})
    found = recommender.predict_frame(pairs, log.rename(names), columns=names)
    assert found.columns == ["user_id", "item_id", "timestamp", *TASKS]
    assert_rows(found, one_by_one(recommender, [(["item 5"], "item 4")]))


def test_impressions_are_no_part_of_histories(recommender, log):
    shown = log.with_columns(pl.lit("item 20").alias("item_id"), pl.col("timestamp") + 10, click=0)
    table = pl.concat([log.with_columns(click=1), shown])
    pairs = pl.DataFrame({"user_id": ["ann", "eve"], "item_id": ["item 4"] * 2, "timestamp": [START + DAY + 20] * 2})
    assert recommender.predict_frame(pairs, table).equals(recommender.predict_frame(pairs, log))
    lists = recommender.recommend_frame(table, k=39)
    assert lists.filter(item_id="item 20")["user_id"].n_unique() == 3
    assert recommender.recommend_frame(log, k=5).equals(recommender.recommend_frame(table, k=5))
    with pytest.warns(UserWarning, match="3 of 3 histories hold no known item"):
        found = recommender.recommend_frame(shown, k=2)
    assert found["item_id"].to_list() == ["item 0", "item 1"] * 3


@pytest.mark.parametrize("choices", [{"tasks": ["next_item", "like"]}], ids=["like"])
def test_rows_that_were_not_liked_are_events(recommender, log):
    table = log.with_columns(like=0)
    assert recommender.recommend_frame(table, k=5).equals(recommender.recommend_frame(log, k=5))


@pytest.mark.parametrize(
    "choices", [{"tasks": ["next_item", *TASKS], "rating_scale": [1, 5], "past_labels": ["rating"]}], ids=["past"]
)
def test_past_labels_are_read_from_the_table(recommender, log):
    pairs = pl.DataFrame({"user_id": ["ann"], "item_id": ["item 4"]})
    rated = log.sort("timestamp").with_columns(rating=pl.Series([1.0, None, 5, 2, 3, 4]))
    ratings = rated.filter(user_id="ann").sort("timestamp")["rating"].to_list()
    expected = recommender.predict(HISTORIES["ann"], ["item 4"], rating=ratings)
    assert_rows(recommender.predict_frame(pairs, rated), rows_of(expected))
    without = recommender.predict(HISTORIES["ann"], ["item 4"])
    assert_rows(recommender.predict_frame(pairs, log), rows_of(without))
    assert rows_of(without) != rows_of(expected)


@pytest.mark.parametrize(
    "choices",
    [{"tasks": ["next_item", *TASKS], "rating_scale": [1, 5], "time_encoding": "relative", "request_time": "target"}],
    ids=["target"],
)
def test_the_time_of_a_pair_is_that_of_its_request(recommender, log):
    with torch.no_grad():
        for name, parameter in recommender.model.named_parameters():
            if "time" in name:
                parameter.normal_(std=2)
    times = [START + 2 * DAY, START + 9 * DAY, START + 2 * DAY]
    pairs = pl.DataFrame({"user_id": ["ann", "eve", "eve"], "item_id": ["item 4"] * 3, "timestamp": times})
    found = recommender.predict_frame(pairs, log)
    asked = [(["item 5", "item 9"], times[0]), (HISTORIES["eve"], times[1]), (HISTORIES["eve"], times[2])]
    expected = [
        rows_of(
            recommender.predict(one, ["item 4"], timestamps=[START + DAY * day for day in range(len(one))], at=time)
        )[0]
        for one, time in asked
    ]
    assert_rows(found, expected)
    assert len({*expected}) == 3
    at = recommender.predict_frame(pairs.drop("timestamp"), log, at=times[1])
    assert rows_of(at)[1] == pytest.approx(expected[1], abs=1e-5)
    with pytest.raises(ValueError, match="The pairs have a column timestamp, so `at` has no effect"):
        recommender.predict_frame(pairs, log, at="now")
    with pytest.raises(ValueError, match="Besides the items of a history, the model reads timestamps, request_times"):
        recommender.predict_frame(pl.DataFrame({"history": [["item 1"]], "item_id": ["item 4"]}))


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (
            {"user_id": ["ann"]},
            "The pairs have no column 'item_id'. They have: user_id. Name the one that holds the it",
        ),
        ({"item_id": ["item 4"]}, "The pairs have no column 'user_id'. They have: item_id."),
        ({"user_id": ["ann"], "item_id": ["x9"]}, "1 of 1 candidates are not in the vocabulary (first: 'x9')"),
        ({"user_id": ["ann", None], "item_id": ["item 4"] * 2}, "1 of 2 rows have no user_id (first: row 2)"),
        ({"user_id": ["ann"], "item_id": ["item 4"], "timestamp": ["soon"]}, "1 of 1 timestamps could not be read"),
        ({"user_id": ["ann"], "item_id": ["item 4"], "timestamp": [3]}, "holds numbers that are no times in the pairs"),
    ],
)
def test_pairs_that_cannot_be_used(recommender, log, pairs, message):
    with pytest.raises(ValueError) as raised:  # noqa: PT011, compared as it is written
        recommender.predict_frame(pl.DataFrame(pairs), log)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (
            {"user_id": ["ann"], "item_id": ["item 4"]},
            "no column 'history'. They have: user_id, item_id. Add the items",
        ),
        (
            {"history": [5], "item_id": ["item 4"]},
            "A history is a list of item ids or text such as '50,181', but 5 was",
        ),
    ],
)
def test_pairs_whose_histories_cannot_be_used(recommender, pairs, message):
    with pytest.raises(ValueError) as raised:  # noqa: PT011, compared as it is written
        recommender.predict_frame(pl.DataFrame(pairs))
    assert message in str(raised.value)

"""Contract tests of predicted labels, for every architecture."""

import warnings

import numpy as np
import polars as pl
import pytest
import torch
from transformers import pipeline

from seqrec import Recommender
from seqrec.errors import NonFiniteError
from seqrec.testing.tiny_inputs import with_numbers

HISTORY = ["item 5", "item 9", "item 7"]
HISTORIES = [["item 1"], HISTORY, [f"item {index}" for index in range(30)]]
TASKS = ["rating", "like", "click"]


@pytest.fixture
def choices():
    return {"tasks": ["next_item", *TASKS], "rating_scale": [1, 5]}


@pytest.fixture
def tiny_model(tiny_config, tiny_model):
    """A model whose heads predict different values; one of them is calibrated."""
    torch.manual_seed(0)
    with_numbers(tiny_model)
    if "like" in tiny_config.label_tasks:
        tiny_model.set_calibration("like", 0.5, -1.0)
    return tiny_model


def by_hand(recommender, history, item_ids):
    """Predict with the model's own methods."""
    model, look_up = recommender.model, recommender.tokenizer.encode_item_ids
    newest = history[-model.config.max_history_length :]
    with torch.no_grad():
        users_1D = model.encode_users(torch.from_numpy(look_up(newest))[None])
        found = model.predict_tasks(users_1D, torch.from_numpy(look_up(item_ids))[None])
    return {task: values[0].tolist() for task, values in found.items()}


def assert_close(found, expected):
    """Compare two tables of predictions, which sums in another order may round differently."""
    assert found.columns == expected.columns
    assert found["item_id"].equals(expected["item_id"])
    for task in found.columns[-3:]:
        assert found[task].to_list() == pytest.approx(expected[task].to_list(), abs=1e-5)


def test_they_are_the_model_s_own(recommender):
    item_ids = ["item 30", "item 2", "item 30", "item 5"]
    found = recommender.predict(HISTORY, item_ids)
    assert found.columns == ["item_id", *TASKS]
    assert found.dtypes == [pl.String, *[pl.Float32] * 3]
    assert found["item_id"].to_list() == item_ids
    for task, expected in by_hand(recommender, HISTORY, item_ids).items():
        assert found[task].to_list() == pytest.approx(expected, abs=1e-5)
    assert found["rating"].is_between(1, 5).all()
    assert found["like"].is_between(0, 1).all()
    assert found["rating"].n_unique() == 3


def test_several_histories_have_the_same_candidates_or_their_own(recommender):
    same = recommender.predict(HISTORIES, ["item 3", "item 4"])
    own_lists = [["item 3"], [], ["item 4", "item 3", "item 8"]]
    own = recommender.predict(HISTORIES, own_lists)
    assert same.columns == own.columns == ["history", "item_id", *TASKS]
    assert same["history"].to_list() == [0, 0, 1, 1, 2, 2]
    assert own["history"].to_list() == [0, 2, 2, 2]
    assert own["item_id"].to_list() == ["item 3", "item 4", "item 3", "item 8"]
    for found in (same, own):
        for row in found.iter_rows(named=True):
            expected = by_hand(recommender, HISTORIES[row["history"]], [row["item_id"]])
            assert [row[task] for task in TASKS] == pytest.approx([expected[task][0] for task in TASKS], abs=1e-5)


def test_many_histories_are_those_one_by_one(recommender, monkeypatch):
    monkeypatch.setattr("seqrec.inference.label_predictor.PART", 4)
    histories = [[f"item {(3 * start + step) % 40}" for step in range(1 + start % 7)] for start in range(11)]
    together = recommender.predict(histories, ["item 3", "item 4"])
    alone = pl.concat([recommender.predict(history, ["item 3", "item 4"]) for history in histories])
    assert_close(together.drop("history"), alone)


def test_no_candidates_give_an_empty_table(recommender):
    found = recommender.predict(HISTORY, [])
    assert (found.height, found.columns) == (0, ["item_id", *TASKS])


@pytest.mark.parametrize("kind", [tuple, np.array, pl.Series, iter])
def test_candidates_come_in_any_container(recommender, kind):
    item_ids = ["item 3", "item 4"]
    assert recommender.predict(HISTORY, kind(item_ids)).equals(recommender.predict(HISTORY, item_ids))


@pytest.mark.parametrize(
    ("candidates", "message"),
    [
        (
            ["item 3", "x9", "x8"],
            r"^2 of 3 candidates are not in the vocabulary \(first: 'x9'\), so nothing can be pre",
        ),
        (["<|pad|>"], r"1 of 1 candidates are not in the vocabulary \(first: '<|pad|>'\)"),
        ("item 3", "candidates must be a list of item ids, or one list per history, but 'item 3' was given"),
        ({"item 3"}, "a set was given, which has no order"),
        ([["item 3"], ["item 4"]], "candidates has 2 lists for 1 histories. Give one list for each, or one for all"),
        ([1.5], "Item ids are strings or integers, but 1.5 was given in candidates"),
        (["\ud800"], "An item id in candidates cannot be encoded as UTF-8"),
    ],
)
def test_candidates_that_cannot_be_used(recommender, candidates, message):
    with pytest.raises(ValueError, match=message) as raised:
        recommender.predict(HISTORY, candidates)
    assert "\n" not in str(raised.value)


def test_hidden_and_seen_items_are_predicted_too(recommender):
    before = recommender.predict(HISTORY, ["item 3", "item 5"])
    recommender.hide_items(["item 3"])
    assert recommender.predict(HISTORY, ["item 3", "item 5"]).equals(before)


def test_unknown_items_of_a_history_are_left_out(recommender):
    with pytest.warns(UserWarning, match=r"1 of 4 items in this history are not in the vocabulary \(first: 'x9'\)"):
        found = recommender.predict([*HISTORY[:2], "x9", HISTORY[2]], ["item 3"])
    assert found.equals(recommender.predict(HISTORY, ["item 3"]))
    with pytest.raises(ValueError, match="Pass unknown='skip'"):
        recommender.predict(["x9"], ["item 3"], unknown="error")


@pytest.mark.filterwarnings("ignore:1 of 1 items in this history are not in the vocabulary")
def test_without_a_known_item_predictions_depend_on_the_item(recommender):
    with pytest.warns(
        UserWarning, match="2 of 3 histories hold no known item; predictions for them depend on the item"
    ):
        found = recommender.predict([[], HISTORY, ["x9"]], ["item 3", "item 4"])
    first, second, third = found.partition_by("history", include_key=False)
    assert_close(first, third)
    assert second["rating"].to_list() == pytest.approx(by_hand(recommender, HISTORY, ["item 3", "item 4"])["rating"])
    assert first["rating"].n_unique() == 2
    assert first["rating"].is_finite().all()


@pytest.mark.parametrize("choices", [{}], ids=["next_item"])
def test_a_model_of_the_next_item_predicts_nothing_else(recommender):
    message = "The model predicts only the next item. Train one with further tasks"
    for ask in (lambda: recommender.predict(HISTORY, ["item 3"]), lambda: recommender.predict_frame("nowhere.csv")):
        with pytest.raises(ValueError, match=message):
            ask()
    with pytest.raises(ValueError, match="rank_by names 'rating', which the model does not predict"):
        recommender.recommend(HISTORY, k=3, rank_by={"rating": 1})


def test_numbers_that_are_not_finite_are_refused(recommender):
    with torch.no_grad():
        recommender.model.task_heads.heads["rating"].id_bias.weight[6] = torch.nan
    with pytest.raises(NonFiniteError, match=r"Predictions \(rating\)"):
        recommender.predict(HISTORY, ["item 2", "item 3"])
    recommender.predict(HISTORY, ["item 2"])
    with pytest.raises(NonFiniteError, match=r"Predictions \(rating\)"):
        recommender.recommend(HISTORY, k=3, rank_by={"rating": 1})


@pytest.mark.parametrize(
    "choices", [{"tasks": ["next_item", "rating"], "rating_scale": [1, 5], "past_labels": ["rating"]}], ids=["past"]
)
def test_past_labels_are_read(recommender, tmp_path):
    item_ids = ["item 3", "item 4"]
    without = recommender.predict(HISTORY, item_ids)
    assert recommender.predict(HISTORY, item_ids, rating=[None] * 3).equals(without)
    low, high = (recommender.predict(HISTORY, item_ids, rating=[None, value, 3]) for value in (1, 5))
    assert not low.equals(high)
    assert not low.equals(without)
    several = recommender.predict([HISTORY, HISTORY], item_ids, rating=[[None, 1, 3], [None, 5, 3]])
    assert several["rating"].to_list() == pytest.approx([*low["rating"], *high["rating"]], abs=1e-5)
    recommender.save_pretrained(tmp_path)
    found = pipeline("next-item-recommendation", model=str(tmp_path), device="cpu")(
        {"history": HISTORY, "candidates": item_ids, "rating": [None, 5, 3]}
    )
    assert [one["rating"] for one in found] == pytest.approx(high["rating"].to_list(), abs=1e-5)


def test_saving_and_loading_changes_no_prediction(recommender, tmp_path):
    item_ids = recommender.item_ids
    expected = recommender.predict(HISTORIES, item_ids)
    recommender.save_pretrained(tmp_path)
    loaded = Recommender.from_pretrained(tmp_path, device="cpu")
    assert_close(loaded.predict(HISTORIES, item_ids), expected)


def test_new_items_are_predicted_and_known_ones_keep_their_predictions(recommender):
    before = recommender.predict(HISTORY, recommender.item_ids)
    recommender.add_items(pl.DataFrame({"item_id": ["new"], "similar_to": ["item 3|item 4"]}))
    after = recommender.predict(HISTORY, [*before["item_id"], "new"])
    assert_close(after[:-1], before)
    assert after["rating"].is_finite().all()


def test_pipelines_predict_the_same(recommender, folder):
    pipe = pipeline("next-item-recommendation", model=str(folder), device="cpu")
    item_ids = ["item 3", "item 4"]
    alone = pipe({"history": HISTORY, "candidates": item_ids})
    several = pipe({"history": HISTORIES, "candidates": item_ids})
    mixed = pipe([{"history": HISTORY, "candidates": item_ids}, {"history": HISTORY}], top_k=3)
    expected = recommender.predict(HISTORIES, item_ids).partition_by("history", include_key=False)
    for found, table in zip([alone, *several, mixed[0]], [expected[1], *expected, expected[1]], strict=True):
        assert [list(one) for one in found] == [["item_id", *TASKS]] * 2
        for task in TASKS:
            assert [one[task] for one in found] == pytest.approx(table[task].to_list(), abs=1e-5)
    assert [one["item_id"] for one in mixed[1]] == [one.item_id for one in recommender.recommend(HISTORY, k=3)]
    with pytest.raises(ValueError, match=r"candidates are not in the vocabulary \(first: 'x9'\)"):
        pipe({"history": HISTORY, "candidates": ["x9"]})
    with pytest.raises(ValueError, match="allow and deny have no effect on predictions for candidates"):
        pipe({"history": HISTORY, "candidates": item_ids, "deny": ["item 4"]})


def test_pipelines_rank_by_several_scores_too(recommender, folder):
    pipe = pipeline("next-item-recommendation", model=str(folder), device="cpu")
    options = {"rank_by": {"next_item": 1, "rating": 2}, "rerank_from": 20}
    for history, found in zip(HISTORIES, pipe(HISTORIES, top_k=5, **options), strict=True):
        expected = recommender.recommend(history, 5, **options)
        assert [one["item_id"] for one in found] == [one.item_id for one in expected]
        assert [one["score"] for one in found] == pytest.approx([one.score for one in expected], abs=1e-5)
    assert recommender.recommend(HISTORY, 5) != recommender.recommend(HISTORY, 5, **options)


@pytest.mark.parametrize("choices", [{}], ids=["next_item"])
def test_a_pipeline_of_the_next_item_refuses_candidates(folder):
    pipe = pipeline("next-item-recommendation", model=str(folder), device="cpu")
    with pytest.raises(ValueError, match="The model predicts only the next item"):
        pipe({"history": HISTORY, "candidates": ["item 3"]})


def z_scores(values):
    values = np.array(values, dtype=np.float64)
    return (values - values.mean()) / values.std() if values.max() > values.min() else values * 0


def naive(recommender, history, k, rank_by, rerank_from, **options):
    """Rank the best items again, one user at a time."""
    best = recommender.recommend(history, k=rerank_from, **options)
    item_ids = [one.item_id for one in best]
    predicted = recommender.predict(history, item_ids)
    scores = {"next_item": [one.score for one in best], **{task: predicted[task].to_list() for task in TASKS}}
    sums = sum(weight * z_scores(scores[name]) for name, weight in rank_by.items())
    order = sorted(range(len(best)), key=lambda place: -sums[place])
    return [(item_ids[place], sums[place]) for place in order[:k]]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"exclude_seen": False},
        {"deny": ["item 3", "item 12"]},
        {"allow": [f"item {index}" for index in range(0, 40, 3)]},
    ],
    ids=str,
)
@pytest.mark.parametrize("rerank_from", [5, 12, 40])
def test_lists_are_ranked_again_as_by_naive_code(recommender, options, rerank_from):
    recommender.hide_items(["item 30"])
    rank_by = {"next_item": 1, "click": 0.5, "rating": -0.2}
    together = recommender.recommend(HISTORIES, k=5, rank_by=rank_by, rerank_from=rerank_from, **options)
    for history, found in zip(HISTORIES, together, strict=True):
        expected = naive(recommender, history, 5, rank_by, rerank_from, **options)
        assert [one.item_id for one in found] == [item_id for item_id, _ in expected]
        assert [one.score for one in found] == pytest.approx([score for _, score in expected], abs=1e-4)
        alone = recommender.recommend(history, k=5, rank_by=rank_by, rerank_from=rerank_from, **options)
        assert [one.item_id for one in alone] == [one.item_id for one in found]


def test_by_the_next_item_alone_the_order_stays(recommender):
    expected = [one.item_id for one in recommender.recommend(HISTORY, k=10)]
    found = recommender.recommend(HISTORY, k=10, rank_by={"next_item": 2.5})
    assert [one.item_id for one in found] == expected
    assert [one.item_id for one in recommender.recommend(HISTORY, k=10, rank_by={"next_item": 1}, rerank_from=10)] == (
        expected
    )


def test_a_single_task_sorts_by_its_predictions(recommender):
    found = recommender.recommend(HISTORY, k=37, rank_by={"rating": 1}, rerank_from=40)
    assert recommender.predict(HISTORY, [one.item_id for one in found])["rating"].is_sorted(descending=True)


def test_tables_are_ranked_again_as_histories_are(recommender):
    rows = [(user, item_id, time) for user, history in enumerate(HISTORIES) for time, item_id in enumerate(history)]
    table = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")
    options = {"rank_by": {"next_item": 1, "like": 2}, "rerank_from": 20}
    found = recommender.recommend_frame(table, k=4, **options)
    lists = recommender.recommend(HISTORIES, k=4, **options)
    assert found["item_id"].to_list() == [one.item_id for best in lists for one in best]
    assert found["score"].to_list() == pytest.approx([one.score for best in lists for one in best], abs=1e-5)


def test_without_a_known_item_the_popular_ones_are_recommended_all_the_same(recommender):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = recommender.recommend([[], HISTORY], k=3, rank_by={"rating": 1})
        assert found[0] == recommender.recommend([], k=3)
    assert found[0].is_popularity
    assert [one.item_id for one in found[1]] == [
        one.item_id for one in recommender.recommend(HISTORY, k=3, rank_by={"rating": 1})
    ]


@pytest.mark.parametrize("model_type", ["sasrec"])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank_by": {"buy": 1}}, "rank_by names 'buy', which the model does not predict. It predicts: next_item, rat"),
        ({"rank_by": {"rating": 0}}, "All weights in rank_by are 0"),
        ({"rank_by": {"rating": 1}, "rerank_from": 9}, "rerank_from=9 is not an integer of at least k=10"),
    ],
)
def test_what_cannot_be_ranked_by(recommender, options, message):
    with pytest.raises(ValueError, match=message):
        recommender.recommend(HISTORY, k=10, **options)
    with pytest.raises(ValueError, match=message):
        recommender.recommend_frame(
            pl.DataFrame({"user_id": [1], "item_id": ["item 1"], "timestamp": [1]}), k=10, **options
        )

"""Hidden items: known, but never recommended, whatever the road to a list."""

import json
import sys

import numpy as np
import polars as pl
import pytest
from transformers import pipeline

from seqrec import Catalogue, Recommender
from seqrec.errors import InputError
from seqrec.evaluation.evaluator import rank_dataset
from seqrec.interactions.histories import Histories
from seqrec.modeling.saved_items import items_as_json
from seqrec.testing.popularity_contract import set_some_events

HISTORY = ["item 5", "item 9", "item 7"]
HISTORIES = [HISTORY, ["item 1"], [f"item {index}" for index in range(30)], []]
HIDDEN = ["item 0", "item 9", "item 33"]
FRAME = pl.DataFrame({"user_id": 1, "item_id": HISTORY, "timestamp": range(3)})
POPULAR = "ignore:1 of . histories hold no known item"


def scores(found):
    return {one.item_id: one.score for one in found}


def without(expected):
    return {item_id: score for item_id, score in expected.items() if item_id not in HIDDEN}


@pytest.mark.filterwarnings(POPULAR)
def test_lists_are_the_same_but_for_hidden_items(recommender):
    options = {"k": 40, "exclude_seen": False}
    before, weights = recommender.recommend(HISTORIES, **options), recommender.model
    recommender.hide_items(HIDDEN)
    assert recommender.model is weights
    for history, found, expected in zip(HISTORIES, recommender.recommend(HISTORIES, **options), before, strict=True):
        assert scores(found) == without(scores(expected))
        assert scores(recommender.recommend(history, **options)) == pytest.approx(scores(found), abs=1e-4)
    frame = recommender.recommend_frame(FRAME, 40, exclude_seen=False)
    assert dict(frame.select("item_id", "score").iter_rows()) == pytest.approx(without(scores(before[0])), abs=1e-4)
    recommender.show_items(HIDDEN)
    assert recommender.recommend(HISTORIES, **options) == before
    assert "hidden" not in recommender.items.to_frame().columns


def test_hidden_items_still_count_in_histories(recommender):
    recommender.hide_items(HIDDEN)
    assert recommender.recommend(HISTORY) != recommender.recommend([HISTORY[0], HISTORY[2]])
    assert [one.item_id for one in recommender.recommend(HISTORY, allow=["item 33", "item 4"])] == ["item 4"]
    with pytest.warns(UserWarning, match="No item is left to recommend"):
        assert recommender.recommend_frame(FRAME, allow=["item 33"]).is_empty()


def test_hidden_items_resemble_no_item(recommender):
    before = scores(recommender.similar_items("item 9", k=39))
    recommender.hide_items(HIDDEN)
    assert scores(recommender.similar_items("item 9", k=39)) == without(before)
    recommender.show_items(["item 33"])
    assert "item 33" in scores(recommender.similar_items("item 9", k=39))


@pytest.mark.filterwarnings(POPULAR)
def test_they_stay_hidden_in_the_saved_model_its_pipeline_and_a_larger_catalogue(recommender, tmp_path):
    recommender.hide_items(HIDDEN)
    expected = recommender.recommend(HISTORIES, k=20)
    recommender.save_pretrained(tmp_path)
    loaded = Recommender.from_pretrained(tmp_path)
    assert loaded.recommend(HISTORIES, k=20) == expected
    answers = pipeline("next-item-recommendation", model=str(tmp_path), device="cpu")(HISTORIES, top_k=20)
    assert [scores_of(one) for one in answers] == [scores(one) for one in expected]
    loaded.add_items(pl.DataFrame({"item_id": ["x"], "similar_to": ["item 9"], "hidden": ["no"]}))
    assert loaded.items.is_hidden.nonzero()[0].tolist() == [0, 9, 33]
    assert "x" in scores(loaded.recommend(HISTORY, k=41))
    loaded.save_pretrained(tmp_path / "grown")
    assert Recommender.from_pretrained(tmp_path / "grown").items == loaded.items


def scores_of(answer):
    return {one["item_id"]: one["score"] for one in answer}


class TestWithoutPyarrow:
    @pytest.fixture
    def model_type(self):
        return "sasrec"

    def test_the_pipeline_reads_them_from_json(self, recommender, tmp_path, monkeypatch):
        recommender.hide_items(HIDDEN)
        recommender.save_pretrained(tmp_path)
        assert json.loads((tmp_path / "items.json").read_text())["hidden"] == [0, 9, 33]
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        answer = pipeline("next-item-recommendation", model=str(tmp_path), device="cpu")(HISTORY, top_k=40)
        assert not set(HIDDEN) & scores_of(answer).keys()
        assert answer[0]["title"]

    @pytest.mark.parametrize("hidden", [[40], [-1], [True], "3", {"3": 1}, [[3]]])
    def test_broken_lists_are_ignored_with_the_file(self, recommender, tmp_path, monkeypatch, hidden):
        recommender.save_pretrained(tmp_path)
        content = json.loads((tmp_path / "items.json").read_text())
        (tmp_path / "items.json").write_text(json.dumps({**content, "hidden": hidden}))
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        answer = pipeline("next-item-recommendation", model=str(tmp_path), device="cpu")(HISTORY, top_k=40)
        assert len(answer) == 37
        assert "title" not in answer[0]

    def test_a_catalogue_without_hidden_items_is_saved_as_before(self):
        assert "hidden" not in items_as_json(["a"], [1], [None])


class TestApproximateSearch:
    @pytest.fixture
    def model_type(self):
        return "sasrec"

    @pytest.mark.parametrize("index", ["ivf", "hnsw"])
    def test_the_lists_are_those_of_the_exact_index(self, recommender, index):
        pytest.importorskip("faiss")
        approximate = Recommender(recommender.model, recommender.tokenizer, recommender.items, index=index)
        for one in (recommender, approximate):
            one.hide_items(HIDDEN)
        for options in ({}, {"deny": ["item 3"]}, {"allow": ["item 33", "item 4"]}, {"exclude_seen": False}):
            expected = recommender.recommend(HISTORY, 38, **options)
            assert scores(approximate.recommend(HISTORY, 38, **options)) == pytest.approx(scores(expected), abs=1e-4)
        approximate.show_items(HIDDEN)
        assert len(approximate.recommend(HISTORY, 40)) == 37


class TestOneModel:
    @pytest.fixture
    def model_type(self):
        return "sasrec"

    def test_evaluation_ranks_hidden_items_too(self, recommender):
        rows = Histories.from_lists({"input_ids": [np.array([8, 12])]}, rows={"target": np.array([36])})
        before = rank_dataset(recommender.model, rows, max_length=10).ranks_U
        recommender.hide_items(HIDDEN)
        assert rank_dataset(recommender.model, rows, max_length=10).ranks_U.tolist() == before.tolist()

    @pytest.mark.parametrize("ids", [HIDDEN, set(HIDDEN), np.array(HIDDEN), pl.Series(HIDDEN), iter(HIDDEN)])
    def test_ids_in_any_container(self, recommender, ids):
        recommender.hide_items(ids)
        assert recommender.items.is_hidden.sum() == 3

    def test_items_without_effect_are_told(self, recommender):
        recommender.hide_items(HIDDEN)
        with pytest.warns(UserWarning, match=r"1 of 2 items are already hidden \(first: 'item 9'\)"):
            recommender.hide_items(["item 9", "item 2"])
        with pytest.warns(UserWarning, match=r"1 of 2 items are not hidden \(first: 'item 3'\)"):
            recommender.show_items(["item 9", "item 3"])
        with pytest.warns(UserWarning, match=r"1 of 2 items in hide_items are not in the vocabulary \(first: 'x'\)"):
            recommender.hide_items(["x", "item 3"])
        recommender.hide_items([])
        assert recommender.items.is_hidden.nonzero()[0].tolist() == [0, 2, 3, 33]

    @pytest.mark.parametrize(
        ("ids", "message"),
        [
            (
                ["x", "y"],
                r"None of the 2 items in hide_items is in the vocabulary \(first: 'x'\), whose",
            ),
            ([f"item {row}" for row in range(40)], "With these 40 items, all 40 items .* Leave out at least one"),
            ("item 1", r"Expected a list of item ids in hide_items, but 'item 1' was given"),
            (None, "None was given"),
            (["\ud800", "item 1"], "An item id in hide_items cannot be encoded as UTF-8"),
            ([None], "Item ids are strings or integers, but None was given"),
        ],
    )
    def test_what_cannot_be_hidden_changes_nothing(self, recommender, ids, message):
        items, retriever = recommender.items, recommender.retriever
        with pytest.raises(InputError, match=message):
            recommender.hide_items(ids)
        assert recommender.items is items
        assert recommender.retriever is retriever

    def test_the_last_items_cannot_be_hidden_one_by_one(self, recommender):
        recommender.hide_items([f"item {row}" for row in range(39)])
        assert [one.item_id for one in recommender.recommend(HISTORY)] == ["item 39"]
        with pytest.raises(InputError, match="all 40 items of the catalogue would be hidden"):
            recommender.hide_items(["item 39"])

    def test_hidden_is_true_or_false(self, items):
        for column in (["no"] * 40, [None] + [True] * 39):
            with pytest.raises(InputError, match="must hold true or false in the column hidden"):
                Catalogue(items.with_columns(hidden=pl.Series(column)))

    def test_another_catalogue_takes_over_by_id(self, items):
        hidden = Catalogue(items).with_hidden([3, 7])
        other = Catalogue(items.reverse()[:38]).with_hidden_of(hidden)
        assert [other.item_ids[row] for row in other.is_hidden.nonzero()[0]] == ["item 4"]
        assert Catalogue(items).with_hidden_of(Catalogue(items)) == Catalogue(items)


class TestRecentPopularity:
    @pytest.fixture
    def choices(self):
        return {"popularity_windows": [7]}

    @pytest.mark.filterwarnings(POPULAR)
    def test_scores_of_others_stay_the_same(self, recommender):
        set_some_events(recommender.model)
        times = {"timestamps": [1.7e9 + np.arange(len(history)) for history in HISTORIES]}
        recommender.retriever = recommender.make_retriever()
        before = recommender.recommend(HISTORIES, 40, **times)
        recommender.hide_items(HIDDEN)
        for found, expected in zip(recommender.recommend(HISTORIES, 40, **times), before, strict=True):
            assert scores(found) == without(scores(expected))

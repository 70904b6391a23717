"""Diverse lists by raw ids, by a recommender and by the pipeline, for every architecture."""

import os
import subprocess
import sys
import warnings

import numpy as np
import polars as pl
import pytest
from transformers import pipeline

from seqrec import Recommender
from seqrec.interactions.catalogue import Catalogue
from seqrec.testing.tiny_inputs import NUM_ITEMS

TASK = "next-item-recommendation"
HISTORY = ["item 5", "item 9", "item 7"]
HISTORIES = [["item 1"], HISTORY, [f"item {index}" for index in range(12)], ["item 30", "item 31"]]
GENRES = ("War|Drama", "Comedy", "Drama", None)
OPTIONS = [
    {"diversity": 0.4},
    {"diversity": 0.4, "method": "dpp"},
    {"diversity": 0.4, "method": "dpp", "diversify_by": "genres"},
    {"diversity": 0.4, "method": "calibrated", "diversify_by": "genres"},
    {"max_per": {"genres": 2, "maker": 2}},
    {"popularity_penalty": 0.5},
    {"exploration": 1.0, "seed": 3},
    {"diversity": 0.4, "max_per": {"genres": 3}, "popularity_penalty": 0.5, "exploration": 1.0, "seed": 3},
]


ONE = pytest.mark.parametrize("model_type", ["sasrec"])


@pytest.fixture
def items(items):
    genres = [GENRES[row % 4] for row in range(NUM_ITEMS)]
    return items.with_columns(genres=pl.Series(genres), maker=pl.Series([row % 9 for row in range(NUM_ITEMS)]))


def ids_of(found):
    return [one.item_id for one in found]


def plain(found):
    """Lists as the pipeline gives them."""
    return [{"item_id": one.item_id, "score": one.score, "title": one.title} for one in found]


def table_of(histories):
    rows = [(user, item_id, time) for user, history in enumerate(histories) for time, item_id in enumerate(history)]
    return pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")


def test_recommender_and_pipeline_give_the_same_lists_alone_and_together(recommender, folder):
    pipe = pipeline(TASK, model=str(folder), device="cpu")
    for options in OPTIONS:
        together = recommender.recommend(HISTORIES, k=5, rerank_from=20, **options)
        alone = [recommender.recommend(history, k=5, rerank_from=20, **options) for history in HISTORIES]
        assert [ids_of(found) for found in together] == [ids_of(found) for found in alone]
        assert pipe(HISTORY, top_k=5, rerank_from=20, **options) == plain(alone[1])
        frame = recommender.recommend_frame(table_of(HISTORIES), k=5, rerank_from=20, **options)
        assert frame["item_id"].to_list() == [item_id for found in alone for item_id in ids_of(found)]
        by_score = {one.item_id: one.score for one in recommender.recommend(HISTORY, k=36)}
        for one in alone[1]:
            assert one.score == pytest.approx(by_score[one.item_id], abs=1e-5)
        assert len({*ids_of(alone[1])}) == 5


@ONE
def test_lists_differ_from_the_best_items(recommender):
    best = ids_of(recommender.recommend(HISTORY, k=5))
    for options in OPTIONS:
        assert ids_of(recommender.recommend(HISTORY, k=5, **options)) != best, options


@ONE
def test_without_diversity_lists_are_the_same_to_the_bit(recommender, folder, monkeypatch):
    expected = recommender.recommend(HISTORIES, k=7)
    frame = recommender.recommend_frame(table_of(HISTORIES), k=7)
    alone = recommender.recommend(HISTORY, k=7)
    off = {"diversity": 0, "max_per": None, "popularity_penalty": 0.0, "exploration": 0, "rerank_from": 9}
    monkeypatch.setattr("seqrec.search.diversity.Diversifier.rank", None)
    assert recommender.recommend(HISTORIES, k=7, **off) == expected
    assert recommender.recommend_frame(table_of(HISTORIES), k=7, **off).equals(frame)
    assert pipeline(TASK, model=str(folder), device="cpu")(HISTORY, top_k=7, **off) == plain(alone)


@ONE
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_items_that_may_not_be_listed_are_not(recommender, options):
    recommender.hide_items(["item 30"])
    listed = {*ids_of(recommender.recommend(HISTORY, k=30, rerank_from=40, deny=["item 2"], **options))}
    assert not listed & {"item 30", "item 2", *HISTORY}
    allowed = [f"item {index}" for index in range(0, 40, 2)]
    listed = ids_of(recommender.recommend(HISTORY, k=6, allow=allowed, **options))
    assert {*listed} <= {*allowed} - {"item 30"}
    seen = ids_of(recommender.recommend(HISTORY, k=37, rerank_from=40, exclude_seen=False, diversity=1.0))
    assert {*HISTORY} <= {*seen}


@ONE
def test_lists_are_full_though_the_best_items_are_of_one_category(recommender):
    drama = [item_id for row, item_id in enumerate(recommender.item_ids) if row % 4 == 2]
    best = ids_of(recommender.recommend(HISTORY, k=40, allow=drama))
    recommender.items = Catalogue(
        recommender.items.frame.with_columns(genres=pl.when(pl.col("item_id").is_in(best)).then(pl.lit("Drama")))
    )
    allow = [*best[:6], "item 0"]
    found = ids_of(recommender.recommend(HISTORY, k=3, allow=allow, max_per={"genres": 2}, rerank_from=3))
    assert len(found) == 3
    assert "item 0" in found
    assert len(recommender.recommend(HISTORY, k=3, allow=best[:6], max_per={"genres": 2})) == 2


@ONE
@pytest.mark.parametrize("choices", [{"tasks": ["next_item", "rating"], "rating_scale": [1, 5]}], ids=["rating"])
def test_scores_are_those_of_rank_by(recommender):
    ranked = recommender.recommend(HISTORY, k=20, rank_by={"rating": 1}, rerank_from=20)
    scores = {one.item_id: one.score for one in ranked}
    found = recommender.recommend(HISTORY, k=5, rank_by={"rating": 1}, rerank_from=20, max_per={"genres": 1})
    assert [one.score for one in found] == [scores[one.item_id] for one in found]
    assert found[0] == ranked[0]
    assert ids_of(found) != ids_of(ranked)[:5]
    diverse = recommender.recommend(HISTORY, k=5, rank_by={"rating": 1}, rerank_from=20, diversity=0.9)
    assert {*ids_of(diverse)} <= {*scores}


@ONE
def test_histories_without_known_items_get_diverse_lists_of_popular_items(recommender):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = recommender.recommend([[], HISTORY], k=6, max_per={"genres": 1})
        assert found[0] == recommender.recommend([], k=6, max_per={"genres": 1})
        popular = recommender.recommend([], k=6)
    assert ids_of(popular) == [f"item {index}" for index in range(6)]
    assert ids_of(found[0]) == ["item 0", "item 1", "item 3", "item 7", "item 11", "item 15"]
    assert found[0].is_popularity
    assert ids_of(found[1]) == ids_of(recommender.recommend(HISTORY, k=6, max_per={"genres": 1}))


@ONE
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"diversity": 0.5, "diversify_by": "genre"}, "^The items have no column 'genre'. They have: genres, maker"),
        ({"max_per": {"brand": 2}}, "^The items have no column 'brand'. They have: genres, maker"),
        ({"diversity": 2}, "^diversity=2 is not a number from 0 to 1"),
        ({"max_per": {"genres": 3}, "rerank_from": 9}, "^rerank_from=9 is not an integer of at least k=10"),
    ],
)
def test_options_that_cannot_be_used(recommender, folder, options, message):
    pipe = pipeline(TASK, model=str(folder), device="cpu")
    for ask in (recommender.recommend, pipe):
        with pytest.raises(ValueError, match=message) as raised:
            ask(HISTORY, **options)
        assert "\n" not in str(raised.value)
    with pytest.raises(ValueError, match=message):
        recommender.recommend_frame(table_of(HISTORIES), **options)


@ONE
def test_a_pipeline_without_its_table_refuses_columns(recommender, tmp_path):
    recommender.model.save_pretrained(tmp_path)
    recommender.tokenizer.save_pretrained(tmp_path)
    pipe = pipeline(TASK, model=str(tmp_path), device="cpu")
    with pytest.raises(ValueError, match=r"^The column 'genres' was asked for, but there is no items.parquet"):
        pipe(HISTORY, max_per={"genres": 2})
    assert len(pipe(HISTORY, diversity=0.5)) == 10


@ONE
def test_new_items_of_a_pipeline_have_categories(recommender, folder):
    pipe = pipeline(TASK, model=str(folder), device="cpu")
    new = [{"item_id": f"new {row}", "similar_to": "item 5", "genres": ["Space"], "maker": 77} for row in range(3)]
    pipe.add_items(new)
    recommender.add_items(pl.DataFrame(new).with_columns(genres=pl.lit("Space")))
    allow = ["new 0", "new 1", "new 2", "item 2"]
    found = pipe(HISTORY, allow=allow, max_per={"genres": 1})
    assert found == plain(recommender.recommend(HISTORY, allow=allow, max_per={"genres": 1}))
    assert len(found) == 2


STRANGER = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[2].split(","):
            raise ImportError(name)

sys.meta_path.insert(0, Absent())
from transformers import pipeline

pipe = pipeline("next-item-recommendation", model=sys.argv[1], trust_remote_code=True, device="cpu")
for options in ({"diversity": 0.4, "method": "dpp"}, {"exploration": 1.0, "seed": 3}, {"max_per": {"genres": 2}}):
    try:
        print([one["item_id"] for one in pipe(["item 5", "item 9", "item 7"], top_k=5, **options)])
    except ValueError as error:
        print(error)
"""


@ONE
@pytest.mark.parametrize("has_pyarrow", [True, False])
def test_without_seqrec_lists_are_the_same(recommender, folder, tmp_path, has_pyarrow):
    environment = {**os.environ, "HF_MODULES_CACHE": str(tmp_path / "modules"), "OMP_NUM_THREADS": "1"}
    absent = "seqrec,polars,datasets" + ("" if has_pyarrow else ",pyarrow")
    command = [sys.executable, "-c", STRANGER, str(folder), absent]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    asked = [{"diversity": 0.4, "method": "dpp"}, {"exploration": 1.0, "seed": 3}, {"max_per": {"genres": 2}}]
    expected = [str(ids_of(recommender.recommend(HISTORY, k=5, **options))) for options in asked]
    if not has_pyarrow:
        refusal = "The column 'genres' of the items is in items.parquet, which needs pyarrow. Install it, or diversify"
        assert done.stdout.splitlines()[-1].startswith(refusal)
        expected[-1] = done.stdout.splitlines()[-1]
    assert done.stdout.splitlines()[-3:] == expected


@ONE
def test_categories_are_read_once(recommender, monkeypatch):
    recommender.recommend(HISTORY, k=5, max_per={"genres": 2})
    monkeypatch.setattr(Catalogue, "read_categories", None)
    assert len(recommender.recommend(HISTORY, k=5, max_per={"genres": np.int64(2)})) == 5


@ONE
def test_saved_columns_serve_again(recommender, folder):
    again = Recommender.from_pretrained(folder, device="cpu")
    options = {"k": 5, "diversity": 0.4, "method": "calibrated", "diversify_by": "genres"}
    assert again.recommend(HISTORY, **options) == recommender.recommend(HISTORY, **options)

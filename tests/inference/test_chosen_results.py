"""Minimum scores, and columns of the items in results."""

import json

import polars as pl
import pytest
from transformers import pipeline

from seqrec.cli.command_line import main
from seqrec.errors import InputError
from seqrec.inference.service.request_schemas import RecommendRequest
from seqrec.interactions.catalogue import Catalogue

HISTORIES = [["item 5", "item 9"], ["item 1"], []]
LOG = pl.DataFrame(
    {
        "user_id": ["ann", "ann", "bob", "bob"],
        "item_id": ["item 5", "item 9", "item 1", "item 2"],
        "timestamp": range(4),
    }
)


@pytest.fixture
def model_type():
    return "sasrec"


@pytest.fixture
def recommender(recommender):
    rows = pl.int_range(len(recommender.items), eager=True)
    genres = pl.Series([["Comedy", "Drama"] if row % 3 == 0 else None for row in rows])
    title = pl.Series([f"Title {row}" for row in rows])
    frame = recommender.items.frame.with_columns(year=1990 + rows, genres=genres, title=title)
    recommender.set_items(Catalogue(frame))
    return recommender


@pytest.mark.filterwarnings("ignore:.*hold no known item")
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"diversity": 0.5},
        {"exploration": 1.0, "seed": 1},
        {"rank_by": {"next_item": 1}},
        {"max_per": {"genres": 2}},
        {"where": "year >= 1995"},
    ],
)
def test_items_that_score_lower_are_left_out(recommender, options):
    full = recommender.recommend(HISTORIES, 20, **options)
    for place in (0, 1):
        min_score = sorted(one.score for one in full[place])[10]
        found = recommender.recommend(HISTORIES, 20, min_score=min_score, **options)
        assert found[place]
        assert all(one.score >= min_score for one in [*found[0], *found[1], *found[2]])
        if not options or "where" in options or "rank_by" in options:
            assert [list(one) for one in found] == [[item for item in one if item.score >= min_score] for one in full]


def test_diverse_lists_are_chosen_from_what_scores_high_enough(recommender):
    ranked = recommender.recommend(HISTORIES[0], 20)
    min_score = ranked[7].score
    found = recommender.recommend(HISTORIES[0], 5, diversity=0.9, min_score=min_score)
    assert len(found) == 5
    assert {one.item_id for one in found} <= {one.item_id for one in ranked[:8]}
    assert list(recommender.recommend(HISTORIES[0], 5, diversity=0.9, rerank_from=8)) == list(found)


def test_tables_have_the_same_lists_and_ranks_without_gaps(recommender):
    full = recommender.recommend_frame(LOG, 20)
    min_score = full["score"].median()
    found = recommender.recommend_frame(LOG, 20, min_score=min_score)
    assert 0 < len(found) < len(full)
    assert found.equals(full.filter(pl.col("score") >= min_score))
    with pytest.warns(UserWarning, match="No item is left to recommend to 2 of 2 users"):
        assert recommender.recommend_frame(LOG, 20, min_score=1e9).is_empty()
    exposed = recommender.recommend_frame(LOG, 5, min_exposure=0.3, min_score=min_score)
    assert (exposed["score"] >= min_score).all()
    assert (exposed["rank"] == exposed.select(pl.int_range(1, pl.len() + 1).over("user_id"))["literal"]).all()


def test_the_pipeline_and_the_service_take_it(recommender, tmp_path):
    recommender.save_pretrained(tmp_path)
    ask = pipeline("next-item-recommendation", str(tmp_path), trust_remote_code=True)
    full = ask(HISTORIES[0], top_k=20)
    min_score = full[4]["score"]
    assert ask(HISTORIES[0], top_k=20, min_score=min_score) == full[:5]
    assert RecommendRequest(history=["item 5"], min_score=1.5).options()["min_score"] == 1.5


def test_recommendations_have_the_columns_that_were_asked_for(recommender):
    frame = recommender.items.frame
    plain = recommender.recommend(HISTORIES[:2], 6)
    found = recommender.recommend(HISTORIES[:2], 6, item_columns=["year", "genres", "year"])
    for own, others in zip(found, plain, strict=True):
        assert [one.item_id for one in own] == [one.item_id for one in others]
        for one, other in zip(own, others, strict=True):
            (row,) = frame.filter(item_id=one.item_id).rows(named=True)
            assert one.columns == {"year": row["year"], "genres": row["genres"]}
            assert other.columns is None
            assert one.to_dict() == {**other.to_dict(), **one.columns}
            assert hash(one) == hash(other)


def test_tables_have_them_too(recommender):
    plain = recommender.recommend_frame(LOG, 6)
    found = recommender.recommend_frame(LOG, 6, item_columns=["title", "genres"])
    items = recommender.items.frame.select("item_id", "title", "genres")
    assert found.equals(plain.join(items, on="item_id", how="left", maintain_order="left"))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (["yaer"], "`item_columns` names 'yaer', but the items have the columns item_id, title, count, year, genres"),
        ("year", r"must be a list of names, such as \['title', 'year'\], got 'year'"),
        ([3], "must be a list of names"),
    ],
)
def test_other_columns_are_refused(recommender, columns, message):
    for ask in (recommender.recommend, recommender.recommend_frame):
        with pytest.raises(InputError, match=message):
            ask(HISTORIES[0] if ask == recommender.recommend else LOG, 3, item_columns=columns)
    with pytest.raises(InputError, match="the result has a column of that name"):
        recommender.recommend_frame(LOG, 3, item_columns=["item_id"])


@pytest.mark.parametrize("kind", [".csv", ".parquet", ".jsonl"])
def test_files_have_them(recommender, tmp_path, kind):
    output = tmp_path / f"lists{kind}"
    LOG.write_csv(tmp_path / "log.csv")
    recommender.recommend_file(tmp_path / "log.csv", output, 6, item_columns=["title", "genres"], min_score=-1e9)
    whole = recommender.recommend_frame(LOG, 6, item_columns=["title", "genres"])
    read = {".csv": pl.read_csv, ".parquet": pl.read_parquet, ".jsonl": pl.read_ndjson}[kind](output)
    assert read["title"].to_list() == whole["title"].to_list()
    listed = whole["genres"].list.join("|") if kind == ".csv" else whole["genres"]
    assert read["genres"].to_list() == listed.to_list()


def test_the_command_prints_and_writes_them(recommender, tmp_path, capsys):
    recommender.save_pretrained(tmp_path / "model")
    command = ["recommend", "--model", str(tmp_path / "model"), "--k", "4", "--item_columns", "year,genres"]
    assert main([*command, "--history", "item 5"]) == 0
    table = capsys.readouterr().out
    found = recommender.recommend(["item 5"], 4, item_columns=["year", "genres"])
    assert all(f" {one.columns['year']} " in table for one in found)
    assert "genres" in table.split("\n")[0]
    assert main([*command, "--history", "item 5", "--json", "--min_score", str(found[1].score)]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [(one["item_id"], one["year"], one["genres"]) for one in printed] == [
        (one.item_id, one.columns["year"], one.columns["genres"]) for one in found[:2]
    ]
    assert main([*command, "--history", "item 5", "--min_score", "high"]) == 2
    assert "--min_score 'high' is not a finite number" in capsys.readouterr().err

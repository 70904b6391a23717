"""The answers of the page are those of the recommender."""

import json

import pytest
from demo_models import make_recommender

from seqrec.errors import InputError
from seqrec.inference.demo.demo_model import Choices, DemoModel

HISTORY = ("item 5", "item 9", "item 7")


def ids(answer):
    return [one.item_id for one in answer.items]


def test_lists_are_those_of_the_recommender(plain):
    expected = plain.recommender.recommend(list(HISTORY), 5)
    answer = plain.recommend(HISTORY, Choices(k=5, columns=("year",)))
    assert [(one.item_id, one.name, one.score) for one in answer.items] == [
        (one.item_id, one.title, one.score) for one in expected
    ]
    assert answer.items[0].facts == (str(1990 + int(expected[0].item_id.split()[1])),)
    assert not answer.is_popularity
    assert answer.notes == ()


def test_an_empty_history_gets_popular_items_without_reasons_or_notes(plain):
    answer = plain.recommend((), Choices(k=3, with_reasons=True))
    assert ids(answer) == ["item 0", "item 1", "item 2"]
    assert answer.is_popularity
    assert answer.notes == ()
    assert all(one.reasons is None for one in answer.items)


def test_settings_reach_the_recommender(plain):
    where = "year >= 2000 and 'Drama' in genres"
    answer = plain.recommend(HISTORY, Choices(k=8, diversity=0.7, where=f" {where} "))
    assert ids(answer) == [
        one.item_id for one in plain.recommender.recommend(list(HISTORY), 8, diversity=0.7, where=where)
    ]
    assert ids(answer) != ids(plain.recommend(HISTORY, Choices(k=8, where=where)))


def test_items_without_columns_can_be_diverse(untitled):
    best, diverse = (ids(untitled.recommend(HISTORY, Choices(diversity=value))) for value in (0, 0.9))
    assert best != diverse
    assert untitled.listed(["item 3"])[0].name == "item 3"
    assert [one.item_id for one in untitled.found("ITEM 3", limit=2)] == ["item 3", "item 30"]


def test_a_wrong_condition_is_refused(plain):
    with pytest.raises(InputError, match="no column 'yaer'"):
        plain.recommend(HISTORY, Choices(where="yaer > 1"))


def test_reasons_name_the_events_of_the_history(plain):
    history = (*HISTORY, "item 5")
    answer = plain.recommend(history, Choices(k=4, with_reasons=True))
    table = plain.recommender.explain(list(history), ids(answer))
    for item in answer.items:
        own = [row for row in table.iter_rows(named=True) if row["recommended"] == item.item_id]
        expected = [
            (len(history) - row["position"], row["contribution"]) for row in own if row["contribution"] >= 0.005
        ]
        assert [(one.number, one.contribution) for one in item.reasons] == expected[:3]
        assert all(one.name == f"Title {history[one.number - 1].split()[1]}" for one in item.reasons)
    assert any(item.reasons for item in answer.items)


def test_similar_items(plain):
    expected = plain.recommender.similar_items("item 4", 8)
    assert [(one.item_id, one.score) for one in plain.similar("item 4")] == [
        (one.item_id, one.score) for one in expected
    ]


def test_models_that_read_times_are_asked_now_and_predict(with_tasks):
    times = with_tasks.times(3)
    assert times["timestamps"] == [times["at"] - 2, times["at"] - 1, times["at"]]
    answer = with_tasks.recommend(HISTORY, Choices(k=3, with_reasons=True))
    assert all(1 <= dict(one.predictions)["rating"] <= 5 for one in answer.items)
    by_rating = with_tasks.recommend(HISTORY, Choices(k=3, rank_by="rating"))
    assert ids(by_rating) != ids(answer)
    ratings = [dict(one.predictions)["rating"] for one in by_rating.items]
    assert ratings == sorted(ratings, reverse=True)
    assert with_tasks.recommend((), Choices(k=3)).is_popularity


def test_models_that_read_other_events_are_refused():
    from seqrec.interactions.events import event_column

    column = event_column("rating").name  # labels may be missing
    assert DemoModel(make_recommender(tasks=["next_item", "rating"], rating_scale=[1, 5], past_labels=[column]), "x")
    recommender = make_recommender()
    recommender.retriever.columns = ("input_ids", "device")
    with pytest.raises(InputError, match="reads device of each event"):
        DemoModel(recommender, "x")


def test_examples_are_the_samples_of_the_card():
    samples = [
        {"history": [{"item_id": "item 1", "title": "x"}, {"item_id": "item 2", "title": None}], "recommended": []},
        {"history": [{"item_id": "unknown"}]},
        {"history": "broken"},
        "broken",
    ]
    record = {"metrics.json": json.dumps({"samples": samples}).encode()}
    assert DemoModel(make_recommender(record=record), "x").examples == (("item 1", "item 2"),)
    assert DemoModel(make_recommender(), "x").examples == ()

"""New items of a trained model: recommended at once, while known ones keep their scores to the bit."""

import json
import math
from itertools import product

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from huggingface_hub import ModelCard

from seqrec import Catalogue, Recommender
from seqrec.errors import InputError
from seqrec.hub.weights_hash import weights_sha256
from seqrec.testing.popularity_contract import set_some_events

HISTORIES = [["item 5", "item 9", "item 7"], ["item 1"], [f"item {index}" for index in range(30)]]
NEW = pl.DataFrame({"item_id": ["x", "7"], "title": ["Xaver", None], "similar_to": ["item 3|item 4 ", "item 8"]})


def scores(recommender, **times):
    """All scores of each history, by item, for histories together and alone."""
    k = len(recommender.items)
    together = recommender.recommend(HISTORIES, k, exclude_seen=False)
    alone = [recommender.recommend(history, k, exclude_seen=False) for history in HISTORIES]
    return [{one.item_id: one.score for one in found} for found in [*together, *alone]]


def state_of(recommender):
    weights = {name: tensor.clone() for name, tensor in recommender.model.state_dict().items()}
    return recommender.items, recommender.tokenizer, recommender.record, recommender.retriever, weights


def require_unchanged(recommender, before):
    *parts, weights = state_of(recommender)
    assert all(one is other for one, other in zip(parts, before, strict=False))
    assert all(torch.equal(tensor, before[-1][name]) for name, tensor in weights.items())
    assert recommender.model.config.vocab_size == len(recommender.tokenizer)


def test_known_items_keep_ids_weights_and_scores(recommender):
    old, before, similar = state_of(recommender), scores(recommender), recommender.similar_items("item 3", 39)
    old_model = recommender.model
    recommender.add_items(NEW)
    for found, earlier in zip(scores(recommender), before, strict=True):
        assert found.keys() - earlier.keys() == {"x", "7"}
        assert {item_id: found[item_id] for item_id in earlier} == earlier
    assert recommender.item_ids == [*old[0].item_ids, "x", "7"]
    assert recommender.items.titles[-2:] == ["Xaver", None]
    assert recommender.items.counts.tolist() == [*old[0].counts.tolist(), 0, 0]
    for name, tensor in recommender.model.state_dict().items():
        assert torch.equal(tensor[: len(old[-1][name])] if tensor.ndim else tensor, old[-1][name]), name
    assert [one for one in recommender.similar_items("item 3", 41) if one.item_id not in ("x", "7")] == similar
    assert old_model.config.vocab_size == len(old[1])  # the model that others may hold is left alone


def test_new_items_are_the_means_of_similar_ones(recommender):
    vectors = dict(zip(recommender.item_ids, recommender.model.item_vectors()[3:], strict=True))
    recommender.add_items(NEW)
    x, seven = recommender.model.item_vectors()[-2:]
    torch.testing.assert_close(x, (vectors["item 3"] + vectors["item 4"]) / 2)
    assert torch.equal(seven, vectors["item 8"])
    found = scores(recommender)
    assert all(one["7"] == one["item 8"] for one in found)
    assert recommender.recommend(["x", "7"], allow=["x", "item 2"], exclude_seen=False)
    assert recommender.name_item("x") == "Xaver"


@pytest.mark.parametrize("num_items", [1, 2, 3, 31, 32, 500])
def test_scores_are_the_same_for_any_number_of_new_items(recommender, num_items):
    before = scores(recommender)
    ids = [f"new {index}" for index in range(num_items)]
    recommender.add_items(
        pl.DataFrame({"item_id": ids, "similar_to": [f"item {index % 40}" for index in range(num_items)]})
    )
    for found, earlier in zip(scores(recommender), before, strict=True):
        assert {item_id: found[item_id] for item_id in earlier} == earlier


def test_items_can_be_added_again_and_again(recommender, tmp_path):
    before = scores(recommender)
    for number in range(3):
        recommender.add_items(
            pl.DataFrame({"item_id": [f"x{number}"], "similar_to": ["item 3" if not number else "x0"]})
        )
    recommender.save_pretrained(tmp_path)
    loaded = Recommender.from_pretrained(tmp_path)
    for found, same, earlier in zip(scores(loaded), scores(recommender), before, strict=True):
        assert found == same
        assert {item_id: found[item_id] for item_id in earlier} == earlier
        assert found["x2"] == found["x0"] == found["item 3"]
    assert loaded.item_ids == recommender.item_ids


FORMS = {
    "lists": lambda ids: pl.DataFrame({"item_id": ["x"], "similar_to": [ids]}),
    "texts": lambda ids: pl.DataFrame({"item_id": ["x"], "similar_to": ["|".join(ids)]}),
    "pandas": lambda ids: pd.DataFrame({"item_id": ["x"], "similar_to": [ids]}),
    "categories": lambda ids: pl.DataFrame({"item_id": ["x"], "similar_to": ["|".join(ids)]}).with_columns(
        pl.col("similar_to").cast(pl.Categorical)
    ),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_similar_items_in_any_form(recommender, form):
    expected = recommender.model.item_vectors()[[6, 4, 12]].mean(dim=0)
    recommender.add_items(form(["item 3", "item 1", "item 9"]))
    torch.testing.assert_close(recommender.model.item_vectors()[-1], expected)


def test_ids_in_a_file_stay_text(recommender, tmp_path):
    (tmp_path / "first.csv").write_text("sku,similar_to\n007,item 3\n")
    (tmp_path / "second.csv").write_text("sku,similar_to,title\n08,007,99\n")
    for name in ("first.csv", "second.csv"):
        recommender.add_items(tmp_path / name, columns={"item_id": "sku"})
    assert recommender.item_ids[-2:] == ["007", "08"]
    assert recommender.items.titles[-2:] == [None, "99"]
    assert torch.equal(*recommender.model.item_vectors()[-2:])


def test_a_catalogue_without_titles_gets_some(tiny_model, tokenizer, items):
    recommender = Recommender(tiny_model, tokenizer, items.drop("title"))
    recommender.add_items(NEW)
    assert recommender.items.titles == [*[None] * 40, "Xaver", None]


def changed(**columns):
    return NEW.with_columns(**{name: pl.Series(values) for name, values in columns.items()})


KNOWN = "1 of 2 items are already in the catalogue (first: 'item 4'). Leave them out"
TWICE = "1 items have more than one row in the table of items (first: 'x')"
ALONE = "add a column similar_to with their ids, separated by '|'. The table has: item_id, title."
LACKING = "1 of 2 new items name no similar item (first: '7')"
UNKNOWN = "1 of 4 ids in similar_to are of no known item (first: 'x', of item '7')"
WRONG = {
    "known": (changed(item_id=["x", "item 4"]), KNOWN),
    "twice": (changed(item_id=["x", "x"]), TWICE),
    "special": (changed(item_id=["x", "<|mask|>"]), "An item id equals a special token"),
    "no rows": (NEW[:0], "The table has no rows"),
    "no ids": (NEW.drop("item_id"), "The items have no column 'item_id'"),
    "no column": (NEW.drop("similar_to"), ALONE),
    "no similar item": (changed(similar_to=["item 3", None]), LACKING),
    "blank": (changed(similar_to=["item 3", " |"]), LACKING),
    "empty list": (changed(similar_to=[["item 3"], []]), LACKING),
    "unknown": (changed(similar_to=["item 1|item 2", "item 3|x"]), UNKNOWN),
    "numbers": (changed(similar_to=[1.5, 2.5]), "The column similar_to is of type Float64. Give text"),
    "lists of numbers": (changed(similar_to=[[1.5], [2.0]]), "Item ids are strings or integers, but 1.5 was given"),
    "a path": ("none.csv", "none.csv"),
}


@pytest.mark.parametrize(("table", "message"), WRONG.values(), ids=WRONG)
def test_unusable_tables_change_nothing(recommender, table, message):
    before = state_of(recommender)
    with pytest.raises(InputError) as told:
        recommender.add_items(table)
    assert message in str(told.value)
    assert "\n" not in str(told.value)
    require_unchanged(recommender, before)


def test_a_wrapped_model_is_refused(recommender):
    wrapped = Recommender(recommender.model, recommender.tokenizer, recommender.items)
    wrapped.model = torch.nn.Sequential(recommender.model)
    with pytest.raises(InputError, match=r"added to a Sequential, which wraps a model\. Merge the adapter first"):
        wrapped.add_items(NEW)


def test_counts_and_negatives_follow_the_new_catalogue(recommender):
    recommender.add_items(NEW)
    order = recommender.model.items_by_count_I
    assert order is None or order.tolist()[-2:] == [40, 41]
    with pytest.warns(UserWarning, match="most popular items are recommended"):
        found = recommender.recommend([], k=42)
    assert {one.item_id for one in found[-2:]} == {"x", "7"}


class TestRecentPopularity:
    @pytest.fixture
    def choices(self):
        return {"popularity_windows": [7], "request_time": "target"}

    def test_new_items_have_no_interactions_until_new_ones_are_counted(self, recommender):
        set_some_events(recommender.model)
        recommender = Recommender(recommender.model, recommender.tokenizer, recommender.items)
        times = {"timestamps": ["2026-11-01"], "at": "2026-11-02"}
        with pytest.warns(UserWarning, match="update_popularity"):
            before = recommender.recommend(["item 1"], 40, exclude_seen=False, **times)
        recommender.add_items(NEW)
        with pytest.warns(UserWarning, match="update_popularity"):
            after = recommender.recommend(["item 1"], 42, exclude_seen=False, **times)
        assert [one for one in after if one.item_id not in ("x", "7")] == before
        log = pl.DataFrame({"user_id": [1, 2], "item_id": ["x", "x"], "timestamp": ["2026-11-01", "2026-10-31"]})
        recommender.update_popularity(log)
        assert recommender.model.encode_items()[-2:, -1].tolist() == pytest.approx([math.log(3), 0])


@pytest.fixture
def measured(recommender, tmp_path):
    """A saved recommender with metrics of its weights."""
    recommender.save_pretrained(tmp_path / "measured")
    metrics = {
        "weights_sha256": weights_sha256(tmp_path / "measured"),
        "protocol": {"dataset": "films", "columns": {"item_id": "film"}},
        "model": {"test": {"ndcg@10": 0.25}},
    }
    (tmp_path / "measured" / "metrics.json").write_text(json.dumps(metrics))
    return tmp_path / "measured"


def test_the_record_is_kept_and_says_how_many_items_were_added(measured, tmp_path):
    recommender = Recommender.from_pretrained(measured)
    recommender.add_items(NEW.rename({"item_id": "film"}))
    recommender.save_pretrained(tmp_path / "second")
    again = Recommender.from_pretrained(tmp_path / "second")
    assert again.metrics["model"] == {"test": {"ndcg@10": 0.25}}
    assert again.metrics["items_added"] == 2
    again.add_items(pl.DataFrame({"film": ["y"], "similar_to": ["x"]}))
    again.save_pretrained(tmp_path / "third")
    metrics = Recommender.from_pretrained(tmp_path / "third").metrics
    assert metrics["items_added"] == 3
    assert metrics["weights_sha256"] == weights_sha256(tmp_path / "third")
    card = ModelCard.load(tmp_path / "third" / "README.md")
    assert "- Items added after training: 3" in card.text
    assert "those from before 3 items were added to the catalogue" in card.text
    assert "the 43 items of its catalogue" in card.text


def test_broken_metrics_are_told_by_saving(measured, tmp_path):
    (measured / "metrics.json").write_text("{")
    recommender = Recommender.from_pretrained(measured)
    recommender.add_items(NEW)
    with pytest.raises(ValueError, match=r"metrics\.json is not valid JSON"):
        recommender.save_pretrained(tmp_path / "second")


def test_many_items_at_once_are_the_means_of_loops(recommender):
    rng = np.random.default_rng(0)
    similar = [rng.integers(40, size=rng.integers(1, 6)).tolist() for _ in range(200)]
    vectors = recommender.model.item_vectors()[3:].detach().numpy()
    ids = [f"{one}-{other}" for one, other in product(range(20), range(10))]
    recommender.add_items(
        pl.DataFrame({"item_id": ids, "similar_to": [[f"item {row}" for row in rows] for rows in similar]})
    )
    found = recommender.model.item_vectors()[43:].detach().numpy()
    expected = np.stack([np.mean([vectors[row] for row in rows], axis=0) for rows in similar])
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_catalogue_is_one(recommender):
    recommender.add_items(NEW)
    assert isinstance(recommender.items, Catalogue)
    assert recommender.tokenizer.item_ids == recommender.items.item_ids
    assert recommender.model.config.vocab_size == len(recommender.tokenizer) == 45

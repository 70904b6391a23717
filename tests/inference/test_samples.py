"""Sample recommendations for the card."""

import json

import polars as pl
import pytest

from seqrec.inference.recommender import Recommender
from seqrec.inference.samples import sample_recommendations
from seqrec.interactions.catalogue import Catalogue
from seqrec.interactions.tokenization_items import ItemTokenizer
from seqrec.modeling.modeling_auto import MODEL_TYPES, AutoModelForNextItem


def samples_of(recommender, **options):
    return sample_recommendations(recommender.model, recommender.tokenizer, recommender.items, **options)


def test_histories_are_the_most_popular_items(recommender):
    counts = (pl.int_range(40) * 7) % 40  # not in the order of the token ids
    items = Catalogue(recommender.items.to_frame().with_columns(count=counts))
    found = sample_recommendations(recommender.model, recommender.tokenizer, items)
    histories = [[item["item_id"] for item in sample["history"]] for sample in found]
    popular = items.to_frame().sort("count", descending=True)["item_id"].to_list()
    assert histories == [popular[:3], popular[3:6], popular[6:9]]


@pytest.mark.parametrize("exclude_seen", [True, False])
def test_lists_are_those_of_the_recommender(recommender, exclude_seen):
    found = samples_of(recommender, exclude_seen=exclude_seen)
    assert len(found) == 3
    for sample in found:
        history = [item["item_id"] for item in sample["history"]]
        expected = recommender.recommend(history, k=5, exclude_seen=exclude_seen)
        assert sample["recommended"] == [{"item_id": one.item_id, "title": one.title} for one in expected]
        assert all(item["title"] == f"Title of {item['item_id']}" for item in sample["history"])
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize(
    ("number", "lengths"), [(1, []), (2, []), (4, [(3, 1), (1, 3)]), (7, [(3, 4), (3, 4), (1, 5)])]
)
def test_small_catalogues_have_fewer_and_shorter_samples(number, lengths):
    tokenizer = ItemTokenizer.from_item_ids([f"item {row}" for row in range(number)])
    model = AutoModelForNextItem.from_config(MODEL_TYPES["sasrec"](vocab_size=len(tokenizer), hidden_size=8))
    items = pl.DataFrame({"item_id": tokenizer.item_ids, "count": [1] * number})
    found = samples_of(Recommender(model, tokenizer, items))
    assert [(len(sample["history"]), len(sample["recommended"])) for sample in found] == lengths


TIMED = {
    "last_event": {"time_encoding": "embedding"},
    "target": {"popularity_windows": [7], "request_time": "target"},
}


@pytest.mark.parametrize("choices", TIMED.values(), ids=TIMED)
def test_a_model_that_reads_times_is_given_days_up_to_the_last(recommender):
    assert samples_of(recommender) == []
    found = samples_of(recommender, last_day="2026-03-01")
    asked = {"at": "2026-03-02"} if recommender.model.config.request_time == "target" else {}
    for sample in found:
        history = [item["item_id"] for item in sample["history"]]
        days = ["2026-02-27", "2026-02-28", "2026-03-01"]
        expected = recommender.recommend(history, k=5, timestamps=days, **asked)
        assert sample["recommended"] == [{"item_id": one.item_id, "title": one.title} for one in expected]

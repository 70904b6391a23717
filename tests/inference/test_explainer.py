"""Explanations of models with item features, tables of explanations, and requests that cannot be explained."""

import numpy as np
import polars as pl
import pytest
import torch

from seqrec import Histories, Recommender
from seqrec.errors import InputError
from seqrec.interactions.history_variants import variants_of
from seqrec.modeling.explanation_parts import item_parts
from seqrec.modeling.modeling_auto import MODEL_TYPES, AutoModelForNextItem
from seqrec.testing.feature_contract import FEATURES, feature_values
from seqrec.testing.tiny_inputs import NUM_ITEMS, TINY

HISTORY = ["item 5", "item 9", "item 7"]
LOG = pl.DataFrame(
    {
        "user_id": ["a"] * 3 + ["b"] * 20 + ["c"],
        "item_id": [*HISTORY, *[f"item {index}" for index in range(20)], "unknown"],
        "timestamp": range(24),
    }
)


@pytest.fixture
def model_type():
    return "sasrec"


def with_features(choices, tokenizer, items, model_type="sasrec"):
    torch.manual_seed(0)
    config = MODEL_TYPES[model_type](vocab_size=NUM_ITEMS + 3, initializer_range=0.5, **TINY, **choices)
    model = AutoModelForNextItem.from_config(config).eval()
    torch.nn.init.normal_(model.model.item_encoder.weight)  # bounded ones start at 0
    model.set_feature_values(feature_values())
    return Recommender(model, tokenizer, items)


@pytest.mark.parametrize("choices", FEATURES.values(), ids=FEATURES)
@pytest.mark.parametrize("model_type", ["sasrec", "bert4rec"])
def test_features_have_their_shares(choices, tokenizer, items, model_type):
    recommender = with_features(choices, tokenizer, items, model_type)
    found = recommender.explain(HISTORY, ["item 3", "item 30"], method="integrated_gradients")
    parts = [name for name in found.columns if name.startswith("from_")]
    own = [] if choices.get("item_id_embedding") == "none" else ["item_id"]
    assert parts == [f"from_{name}" for name in [*own, "genres", "title", "type", "year"]]
    past = found.filter(pl.col("source") == "item")
    assert np.allclose(past.select(pl.sum_horizontal(parts)).to_series(), past["contribution"], atol=1e-3)
    assert all((past[name].abs() > 1e-5).any() for name in parts)
    rest = found.filter(pl.col("source") == "baseline")
    assert rest.height == 2
    assert rest.select(parts).null_count().sum_horizontal().item() == 2 * len(parts)


@pytest.mark.parametrize("choices", FEATURES.values(), ids=FEATURES)
def test_the_parts_of_items_sum_to_their_vectors(choices, tokenizer, items):
    model = with_features(choices, tokenizer, items).model
    ids = torch.arange(3, NUM_ITEMS + 3)
    with torch.no_grad():
        parts = item_parts(model.model, ids)
        torch.testing.assert_close(sum(parts.values()), model.model.item_embedding(ids), atol=1e-5, rtol=1e-5)


def test_variants_keep_the_chosen_events():
    rows = Histories.from_lists(
        {"input_ids": [np.array([3, 4]), np.array([5, 6, 7])], "timestamps": [np.array([1, 2]), np.array([3, 4, 5])]},
        {"target_timestamp": [9, 10]},
    )
    found = variants_of(rows.select([1]), np.array([[True, False, True], [False, False, False], [True, True, True]]))
    assert [one.tolist() for one in found["input_ids"]] == [[5, 7], [], [5, 6, 7]]
    assert [one.tolist() for one in found["timestamps"]] == [[3, 5], [], [3, 4, 5]]
    assert found["target_timestamp"].tolist() == [10, 10, 10]


def test_unread_and_unknown_items_have_no_part(recommender):
    longest = recommender.model.config.max_history_length
    history = [f"item {index}" for index in range(longest + 3)]
    with pytest.warns(UserWarning, match=f"reads the newest {longest} of the {longest + 3} items") as told:
        found = recommender.explain(history, "item 30")
    assert len(told) == 1
    assert sorted(found["position"]) == [*range(longest)]
    with pytest.warns(UserWarning, match="1 of 3 items in this history are not in the vocabulary"):
        found = recommender.explain(["item 1", "x9", "item 2"], "item 30")
    assert dict(found.select("item_id", "position").iter_rows()) == {"item 2": 0, "item 1": 1}


@pytest.mark.parametrize(
    ("history", "item_id", "options", "message"),
    [
        ([], "item 3", {}, "The history holds no known item, so no past item can explain a score"),
        ([HISTORY, HISTORY], "item 3", {}, "2 histories were given, and explain takes one"),
        (HISTORY, "x9", {}, "1 of 1 items to explain are not in the vocabulary"),
        (HISTORY, ["item 3", "[MASK]"], {}, "1 of 2 items to explain are not in the vocabulary"),
        (HISTORY, [], {}, "No item to explain was given"),
        (HISTORY, 1.5, {}, "Item ids are strings or integers"),
        (HISTORY, "item 3", {"method": "shap"}, "method must be one of 'leave_one_out', 'integrated_gradients'"),
        (HISTORY, "item 3", {"unknown": "drop"}, "unknown must be 'skip' or 'error'"),
        (HISTORY, "item 3", {"device": ["tv"]}, "does not read device"),
    ],
)
def test_what_cannot_be_explained_is_refused(recommender, history, item_id, options, message):
    with pytest.raises(InputError) as raised:
        recommender.explain(history, item_id, **options)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.filterwarnings("ignore:The model reads the newest", "ignore:1 of 21 items")
def test_tables_are_explained_like_single_requests(recommender):
    lists = pl.DataFrame({"user_id": ["b", "a", "b"], "item_id": ["item 30", "item 31", "item 2"]})
    found = recommender.explain_frame(lists, LOG, num_reasons=2)
    assert found.columns == ["user_id", "recommended", "source", "position", "item_id", "title", "contribution"]
    pairs = [("a", "item 31"), ("b", "item 30"), ("b", "item 2")]
    assert found.select("user_id", "recommended").unique(maintain_order=True).rows() == pairs
    for user, item_id in pairs:
        history = LOG.filter(pl.col("user_id") == user)["item_id"]
        own = found.filter(user_id=user, recommended=item_id).drop("user_id", "recommended")
        expected = recommender.explain(history, item_id).head(2)
        assert own.drop("contribution").equals(expected.drop("contribution"))
        assert own["contribution"].to_list() == pytest.approx(expected["contribution"].to_list(), abs=1e-5)
    every = recommender.explain_frame(lists, LOG, num_reasons=None, method="integrated_gradients")
    longest = recommender.model.config.max_history_length
    assert every.height == (3 + 1) + 2 * (longest + 1)
    assert every.filter(source="baseline").height == 3


@pytest.mark.filterwarnings("ignore:1 of 21 items", "ignore:No item is left", "ignore:1 of 3 histories")
def test_lists_by_popularity_have_no_reasons(recommender):
    lists = recommender.recommend_frame(LOG, 3)
    with pytest.warns(UserWarning, match="3 of 9 recommendations are for users without a known item"):
        found = recommender.explain_frame(lists, LOG)
    assert set(found["user_id"]) == {"a", "b"}
    with pytest.warns(UserWarning, match="3 of 3 recommendations"), pytest.raises(InputError, match="No user of the"):
        recommender.explain_frame(lists.filter(user_id="c"), LOG)
    with pytest.raises(InputError, match="num_reasons must be an integer of at least 1"):
        recommender.explain_frame(lists, LOG, num_reasons=0)

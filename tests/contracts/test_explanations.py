"""Contract tests of explanations, for every architecture."""

import copy

import numpy as np
import polars as pl
import pytest
import torch
from transformers import pipeline

from seqrec import Recommender
from seqrec.errors import InputError
from seqrec.interactions.request_reading import read_requests
from seqrec.modeling.explanation_gradients import integrated_gradients
from seqrec.modeling.explanation_methods import METHODS
from seqrec.testing.popularity_contract import set_some_events
from seqrec.testing.tiny_inputs import with_numbers

HISTORY = ["item 5", "item 9", "item 7", "item 9", "item 2"]
LONG = [f"item {index}" for index in range(30)]
ITEMS = ["item 3", "item 5", "item 39"]
TIMES = [1717113600, 1717156800, 1717156801, 1719156801, 1719256801]
AT = TIMES[-1] + 7200
TIME_CHOICES = {
    "relative": {"time_encoding": "relative", "request_time": "target"},
    "embedding": {"time_encoding": "embedding", "request_time": "last_event"},
    "popularity": {"popularity_windows": [7, 30], "request_time": "target"},
}


def score_of(recommender, history, item_id, **options):
    """Score one item as `recommend` does."""
    found = recommender.recommend(history, len(recommender.items), exclude_seen=False, **options)
    return next(one.score for one in found if one.item_id == item_id)


def without(values, place):
    return [*values[:place], *values[place + 1 :]]


def read(recommender, history, **options):
    """Return a history as the computation takes it."""
    columns = recommender.retriever.columns
    return read_requests(history, recommender.tokenizer.look_up, wanted_columns=columns, **options).histories


@pytest.mark.parametrize("history", [HISTORY, HISTORY[:2], LONG], ids=["short", "two", "long"])
@pytest.mark.filterwarnings("ignore:The model reads the newest")
def test_leaving_out_is_recommending_without_the_item(recommender, history):
    found = recommender.explain(history, ITEMS)
    assert found.columns == ["recommended", "source", "position", "item_id", "title", "contribution"]
    assert set(found["source"]) == {"item"}
    num_read = min(len(history), recommender.model.config.max_history_length)
    assert found.height == len(ITEMS) * num_read
    for row in found.iter_rows(named=True):
        place = len(history) - 1 - row["position"]
        assert history[place] == row["item_id"]
        assert row["title"] == f"Title of {row['item_id']}"
        expected = [score_of(recommender, one, row["recommended"]) for one in (history, without(history, place))]
        assert row["contribution"] == pytest.approx(expected[0] - expected[1], abs=2e-4)


def test_one_item_is_explained_like_several_highest_contributions_first(recommender):
    several, one = recommender.explain(HISTORY, ITEMS), recommender.explain(HISTORY, ITEMS[1])
    own = several.filter(pl.col("recommended") == ITEMS[1]).drop("recommended")
    assert own["position"].to_list() == one["position"].to_list()
    assert own["contribution"].to_list() == pytest.approx(one["contribution"].to_list(), abs=1e-5)
    assert one["contribution"].is_sorted(descending=True)


def test_the_only_item_contributes_the_whole_score(recommender):
    found = recommender.explain(["item 4"], "item 8")
    assert found["contribution"].to_list() == pytest.approx([score_of(recommender, ["item 4"], "item 8")], abs=1e-5)


@pytest.mark.filterwarnings("ignore:The model reads the newest")
@pytest.mark.parametrize("history", [HISTORY, LONG], ids=["short", "long"])
def test_integrated_gradients_sum_to_the_score(recommender, history):
    scores = [score_of(recommender, history, item_id) for item_id in ITEMS]
    found = recommender.explain(history, ITEMS, method="integrated_gradients")
    totals = dict(found.group_by("recommended").agg(pl.sum("contribution")).iter_rows())
    steps = read(recommender, history)
    with torch.no_grad():
        items_ND = recommender.model.encode_items(torch.from_numpy(recommender.tokenizer.look_up(ITEMS)))
    deep = integrated_gradients(recommender.retriever, steps, items_ND, num_steps=[400])
    assert deep.scores_N == pytest.approx(scores, abs=1e-4)
    sums = deep.contributions_NL.sum(axis=1) + deep.others["baseline"]
    assert sums == pytest.approx(scores, abs=1e-3)
    for score, item_id, baseline in zip(scores, ITEMS, deep.others["baseline"].tolist(), strict=True):
        assert totals[item_id] == pytest.approx(score, abs=0.0101 * max(1, abs(score - baseline)))


def naive_gradients(model, ids, token_id, num_steps=400):
    """Integrate with the head's own scores, by the midpoint rule."""
    vectors_LD = model.item_vectors(torch.tensor(ids)).detach()
    mean_D = model.item_vectors().detach()[3:].mean(dim=0)
    total = torch.zeros_like(vectors_LD)
    for step in range(num_steps):
        way = mean_D + (step + 0.5) / num_steps * (vectors_LD - mean_D)
        way = way[None].requires_grad_()
        score = model(inputs_embeds=way).logits[0, -1, token_id]
        total += torch.autograd.grad(score, way)[0][0]
    return (total / num_steps * (vectors_LD - mean_D)).sum(dim=-1).tolist()


def test_integrated_gradients_are_those_of_the_head_s_scores(recommender):
    if not recommender.model.objective.is_causal:
        pytest.skip("the head scores no position after the history")
    ids = recommender.tokenizer.look_up(HISTORY).tolist()
    (token_id,) = recommender.tokenizer.look_up(["item 3"]).tolist()
    with torch.no_grad():
        items_ND = recommender.model.encode_items(torch.tensor([token_id]))
    steps = read(recommender, HISTORY)
    found = integrated_gradients(recommender.retriever, steps, items_ND, num_steps=[200])
    assert found.contributions_NL[0] == pytest.approx(naive_gradients(recommender.model, ids, token_id), abs=1e-2)


def test_rollout_multiplies_the_layers_attention(recommender):
    model = recommender.model
    if not model.uses_attention:
        with pytest.raises(InputError, match="needs attention weights that sum to 1"):
            recommender.explain(HISTORY, ITEMS, method="attention_rollout")
        return
    found = recommender.explain(HISTORY, ITEMS, method="attention_rollout")
    assert model.config._attn_implementation == "sdpa"
    ids, _, _ = model.objective.request(torch.from_numpy(recommender.tokenizer.look_up(HISTORY))[None], None, {})
    eager = type(model)(copy.deepcopy(model.config)).eval()
    eager.load_state_dict(model.state_dict())
    eager.set_attn_implementation("eager")
    rollout = torch.eye(ids.shape[1])
    with torch.no_grad():
        attentions = eager(ids, output_attentions=True).attentions
    for weights in attentions:
        rollout = (weights[0].mean(dim=0) / 2 + torch.eye(ids.shape[1]) / 2) @ rollout
    assert float(rollout[-1].sum()) == pytest.approx(1)
    for row in found.iter_rows(named=True):
        place = len(HISTORY) - 1 - row["position"]
        assert row["contribution"] == pytest.approx(float(rollout[-1, place]), abs=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_the_pipeline_gives_the_same_reasons(recommender, folder, method):
    if method == "attention_rollout" and not recommender.model.uses_attention:
        pytest.skip("its attention weights are no shares")
    pipe = pipeline("next-item-recommendation", model=folder, device="cpu")
    listed = pipe(HISTORY, top_k=4, explain=method)
    assert [one["item_id"] for one in listed] == [one.item_id for one in recommender.recommend(HISTORY, 4)]
    found = recommender.explain(HISTORY, [one["item_id"] for one in listed], method=method)
    told = [{"recommended": one["item_id"], **reason} for one in listed for reason in one["reasons"]]
    assert pl.DataFrame(told).drop("contribution").equals(found.drop("contribution"))
    assert [one["contribution"] for one in told] == pytest.approx(found["contribution"].to_list(), abs=1e-5)


@pytest.fixture
def timed(request, tiny_model, tokenizer, items):
    """A recommender that reads times or recent popularity, and what a request tells it."""
    torch.manual_seed(1)
    with_numbers(tiny_model)
    set_some_events(tiny_model)
    options = {"timestamps": TIMES}
    if tiny_model.config.request_time == "target":
        options["at"] = AT
    return Recommender(tiny_model, tokenizer, items), options


@pytest.mark.filterwarnings("ignore:The interactions that the model counts end on")
@pytest.mark.parametrize("choices", TIME_CHOICES.values(), ids=TIME_CHOICES)
def test_times_and_recent_popularity_are_sources_of_their_own(timed):
    recommender, options = timed
    item_id, config = "item 3", recommender.model.config
    score = score_of(recommender, HISTORY, item_id, **options)
    found = recommender.explain(HISTORY, item_id, **options)
    past = found.filter(pl.col("source") == "item")
    for row in past.iter_rows(named=True):
        place = len(HISTORY) - 1 - row["position"]
        shorter = {**options, "timestamps": without(TIMES, place)}
        expected = score - score_of(recommender, without(HISTORY, place), item_id, **shorter)
        assert row["contribution"] == pytest.approx(expected, abs=2e-3)
    others = dict(found.filter(pl.col("source") != "item").select("source", "contribution").iter_rows())
    asked = options.get("at", TIMES[-1])
    at_once = score_of(recommender, HISTORY, item_id, **{**options, "timestamps": [asked] * len(TIMES)})
    assert others.pop("times") == pytest.approx(score - at_once, abs=2e-3)
    if config.popularity_windows:
        (token_id,) = recommender.tokenizer.look_up([item_id])
        users = recommender.retriever.encode(read(recommender, HISTORY, **options))
        with torch.no_grad():
            vector = recommender.model.encode_items(torch.tensor([int(token_id)]))[0]
        term = float(users[0, config.hidden_size :] @ vector[config.hidden_size :])
        assert others.pop("recent_popularity") == pytest.approx(term, abs=1e-3)
    assert not others


@pytest.mark.filterwarnings("ignore:The interactions that the model counts end on")
@pytest.mark.parametrize("choices", TIME_CHOICES.values(), ids=TIME_CHOICES)
def test_integrated_gradients_sum_to_the_score_with_times_and_counts(timed):
    recommender, options = timed
    score = score_of(recommender, HISTORY, "item 3", **options)
    (token_id,) = recommender.tokenizer.look_up(["item 3"])
    with torch.no_grad():
        item_1D = recommender.model.encode_items(torch.tensor([int(token_id)]))
    found = integrated_gradients(recommender.retriever, read(recommender, HISTORY, **options), item_1D, num_steps=[400])
    has_counts = bool(recommender.model.config.popularity_windows)
    assert found.others.keys() == {"baseline", *(["recent_popularity"] if has_counts else [])}
    total = found.contributions_NL.sum() + sum(values[0] for values in found.others.values())
    assert total == pytest.approx(score, abs=2e-3)


@pytest.mark.parametrize(
    "choices", [{"past_labels": ["rating"], "tasks": ["next_item", "rating"], "rating_scale": [1, 5]}]
)
def test_other_columns_have_their_share(recommender):
    torch.manual_seed(1)
    with_numbers(recommender.model)
    ratings = [5, None, 1, 2, 4]
    found = recommender.explain(HISTORY, ITEMS, method="integrated_gradients", rating=ratings)
    past = found.filter(pl.col("source") == "item")
    assert found.columns[-2:] == ["from_item_id", "from_event_rating"]
    sums = past["from_item_id"] + past["from_event_rating"]
    assert np.allclose(sums, past["contribution"], atol=1e-4)
    assert (past["from_event_rating"].abs() > 1e-4).any()
    by_place = recommender.explain(HISTORY, "item 3", rating=ratings)
    score = score_of(recommender, HISTORY, "item 3", rating=ratings)
    for row in by_place.iter_rows(named=True):
        place = len(HISTORY) - 1 - row["position"]
        shorter = score_of(recommender, without(HISTORY, place), "item 3", rating=without(ratings, place))
        assert row["contribution"] == pytest.approx(score - shorter, abs=2e-3)

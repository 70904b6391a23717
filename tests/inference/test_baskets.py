"""Items that go together with a basket, whose order does not matter."""

from itertools import permutations

import numpy as np
import pytest
import torch

from seqrec.errors import InputError

BASKET = ["item 5", "item 9", "item 7"]
only_sasrec = pytest.mark.parametrize("model_type", ["sasrec"])


def ids(found):
    return [one.item_id for one in found]


@pytest.mark.parametrize(
    "choices", [{}, {"time_encoding": "relative", "request_time": "target"}], ids=["items", "times"]
)
def test_scores_are_mean_cosine_similarities(recommender):
    with torch.no_grad():
        vectors = recommender.model.item_vectors()[3:].double()
    cosines = torch.nn.functional.cosine_similarity(vectors[:, None], vectors[None], dim=-1).numpy()
    rows = [recommender.item_ids.index(item_id) for item_id in BASKET]
    means = cosines[rows].mean(axis=0)
    best = [row for row in np.argsort(-means, kind="stable") if row not in rows][:10]
    found = recommender.recommend_basket(BASKET, k=10)
    assert ids(found) == [recommender.item_ids[row] for row in best]
    assert [one.score for one in found] == pytest.approx(means[best], abs=1e-5)
    assert all(one.title == f"Title of {one.item_id}" for one in found)


def test_neither_order_nor_repetition_matters(recommender):
    expected = recommender.recommend_basket(BASKET)
    for basket in (*permutations(BASKET), set(BASKET), [*BASKET, *BASKET[:2]], np.array(BASKET)):
        assert recommender.recommend_basket(basket) == expected


@only_sasrec
def test_one_item_has_its_similar_items(recommender):
    found, similar = recommender.recommend_basket(["item 5"]), recommender.similar_items("item 5")
    assert ids(found) == ids(similar)
    assert [one.score for one in found] == pytest.approx([one.score for one in similar], abs=1e-6)


@only_sasrec
def test_allowed_denied_and_hidden_items(recommender):
    assert set(ids(recommender.recommend_basket(BASKET, allow=["item 1", "item 2", "item 5"]))) == {"item 1", "item 2"}
    first = recommender.recommend_basket(BASKET, k=1)[0].item_id
    assert first not in ids(recommender.recommend_basket(BASKET, k=40, deny=[first]))
    recommender.hide_items([first])
    assert first not in ids(recommender.recommend_basket(BASKET, k=40))


@only_sasrec
def test_unknown_items_are_left_out_and_told(recommender):
    with pytest.warns(UserWarning, match="1 of 4 items in this basket are not in the vocabulary"):
        found = recommender.recommend_basket([*BASKET, "x"])
    assert found == recommender.recommend_basket(BASKET)
    assert found.unknown_items == ("x",)


@only_sasrec
@pytest.mark.filterwarnings("ignore:1 of 1 items in this basket")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"basket": []}, "The basket holds no known item"),
        ({"basket": ["x"]}, "The basket holds no known item"),
        ({"basket": ["x"], "unknown": "error"}, "1 of 1 items in this basket are not in the vocabulary"),
        ({"basket": "item 5"}, "Expected a list of item ids in this basket"),
        ({"basket": [["item 5"]]}, "Item ids are strings or integers"),
        ({"k": 0}, "k=0 is not an integer from 1 to 40"),
        ({"allow": "item 5"}, "allow must be a list of item ids"),
    ],
)
def test_what_cannot_be_is_refused(recommender, arguments, message):
    with pytest.raises(InputError, match=message) as raised:
        recommender.recommend_basket(**{"basket": BASKET, **arguments})
    assert "\n" not in str(raised.value)

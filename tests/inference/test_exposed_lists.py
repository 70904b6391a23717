"""`recommend_frame(min_exposure=…)`."""

import math

import numpy as np
import polars as pl
import pytest

from seqrec.errors import InputError
from seqrec.inference.exposed_lists import exposed_lists


@pytest.fixture
def table(recommender):
    """Histories of fifty users."""
    generator = np.random.default_rng(0)
    ids = recommender.items.item_ids
    return pl.DataFrame(
        [
            (user, ids[item], time)
            for user in range(50)
            for time, item in enumerate(generator.permutation(len(ids))[:3])
        ],
        schema=["user_id", "item_id", "timestamp"],
        orient="row",
    )


def exposed(lists, least):
    """Count the items that are in so many lists."""
    return np.count_nonzero(lists["item_id"].value_counts()["count"].to_numpy() >= least)


def test_every_item_is_in_enough_lists_and_each_keeps_its_score(recommender, table):
    own = recommender.recommend_frame(table, 5)
    found = recommender.recommend_frame(table, 5, min_exposure=0.5)
    num_items = len(recommender.items)
    least = math.ceil(0.5 * 50 * 5 / num_items)
    own_short, short = (num_items - exposed(lists, least - 1) for lists in (own, found))
    assert short <= 0.05 * num_items
    assert own_short >= 3 * max(short, 1)
    every = recommender.recommend_frame(table, num_items - 3)
    scored = found.join(every, on=["user_id", "item_id"], suffix="_own")
    assert len(scored) == len(found)
    assert (scored["score"] == scored["score_own"]).all()
    ranked = found.sort("user_id", "rank")
    assert ranked.equals(found.sort("user_id", "score", descending=[False, True]).select(ranked.columns))
    seen = found.join(table, on=["user_id", "item_id"])
    assert seen.is_empty()


def test_without_it_lists_stay_as_they_are(recommender, table):
    assert recommender.recommend_frame(table, 5, min_exposure=0).equals(recommender.recommend_frame(table, 5))


def test_lists_of_histories_without_items_stay_and_do_not_count():
    scores_RN = np.array([[9, 8, 7], [9, 8, 1]], dtype=np.float32)
    token_ids_RN = np.array([[3, 4, 5], [3, 4, 5]])
    _, found = exposed_lists(
        scores_RN, token_ids_RN, 2, min_exposure=0.5, has_items_R=np.array([False, True]), vocab_size=6
    )
    assert found.tolist() == [[3, 4], [3, 5]]
    _, found = exposed_lists(
        scores_RN, token_ids_RN, 2, min_exposure=0.5, has_items_R=np.array([False, False]), vocab_size=6
    )
    assert found.tolist() == [[3, 4], [3, 4]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_exposure": 2}, "min_exposure=2 is not a number from 0 to 1"),
        ({"min_exposure": "much"}, "min_exposure='much' is not a number from 0 to 1"),
        ({"min_exposure": 0.1, "diversity": 0.5}, "does not combine with rank_by or options of diverse lists"),
        ({"min_exposure": 0.1, "rerank_from": 3}, "rerank_from=3"),
    ],
)
def test_what_is_out_of_range_is_refused(recommender, table, options, message):
    with pytest.raises(InputError, match=message):
        recommender.recommend_frame(table, 5, **options)

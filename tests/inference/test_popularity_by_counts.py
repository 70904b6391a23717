"""Popularity follows counts everywhere, even if the token order does not."""

import re

import polars as pl
import pytest

from seqrec import Recommender
from seqrec.hub.model_card import save_model_card

COUNTS = [(row * 7) % 40 for row in range(40)]
BEST_FIRST = [f"item {row}" for row in sorted(range(40), key=lambda row: -COUNTS[row])]


@pytest.fixture
def model_type():
    return "sasrec"


@pytest.fixture
def items(items):
    return items.with_columns(pl.Series("count", COUNTS))


def test_an_empty_history_is_answered_by_counts(recommender, tmp_path):
    recommender.save_pretrained(tmp_path)
    for one in (recommender, Recommender.from_pretrained(tmp_path, device="cpu")):
        with pytest.warns(UserWarning, match="most popular items are recommended"):
            assert [found.item_id for found in one.recommend([], k=5)] == BEST_FIRST[:5]


def test_the_card_s_example_is_of_the_most_popular_items(recommender, tmp_path):
    recommender.save_pretrained(tmp_path)
    text = save_model_card(tmp_path).read_text(encoding="utf-8")
    (shown,) = re.findall(r"recommend\((\[.*\]), k=10\)", text)
    assert eval(shown) == BEST_FIRST[:3]

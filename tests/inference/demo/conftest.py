"""Small models for the demo page."""

import pytest
from demo_models import make_recommender

from seqrec.inference.demo.demo_model import DemoModel


@pytest.fixture(scope="package")
def plain():
    """A model that reads items only, with titles, years and genres."""
    return DemoModel(make_recommender(), "plain")


@pytest.fixture(scope="package")
def untitled():
    """A model whose items have nothing but ids."""
    return DemoModel(make_recommender(titled=False), "untitled")


@pytest.fixture(scope="package")
def with_tasks():
    """A model that reads times, is asked at a time, and predicts ratings."""
    recommender = make_recommender(
        tasks=["next_item", "rating"],
        rating_scale=[1, 5],
        past_labels=["rating"],
        time_encoding="relative",
        request_time="target",
    )
    return DemoModel(recommender, "with tasks")

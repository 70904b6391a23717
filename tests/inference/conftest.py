"""Tables that several tests recommend for."""

import numpy as np
import polars as pl
import pytest

NUM_USERS = 60


@pytest.fixture
def log():
    """Interactions of up to 60 users, in random order."""
    random = np.random.default_rng(0)
    users = random.integers(0, NUM_USERS, 900)
    return pl.DataFrame(
        {
            "user_id": users * 7,
            "item_id": [f"item {item}" for item in random.integers(0, 40, 900)],
            "timestamp": random.integers(0, 50, 900),  # many ties, which keep the order of the rows
        }
    )

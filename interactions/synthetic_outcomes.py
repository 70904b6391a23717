"""Synthetic ratings and clicks whose true values are known, to test predictions against.

Shape suffixes: N rows of the table, U users, V items, T tastes, L length.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from seqrec.errors import InputError
from seqrec.interactions.synthetic import as_interactions, check_sizes, taste_popularity, taste_transitions, walk

__all__ = ["SyntheticOutcomes", "synthetic_outcomes"]

LOWEST, HIGHEST = 1.0, 5.0
FAVOURED = 0.4  # share of a user's impressions that are drawn from the favourite taste, next to an even share of all
FOLLOWED = 0.3  # how often an impression follows from the one before
# Rating: a level for items of the favourite taste and one for others, and standard deviations of what is added.
LIKED, DISLIKED = 4.2, 1.9
USER_SPREAD, ITEM_SPREAD, NOISE = 0.2, 0.4, 0.2
# Click: log-odds for items of the favourite taste and of others, and the standard deviation of the items' own.
LIKED_ODDS, DISLIKED_ODDS, ODDS_SPREAD = 1.4, -0.8, 0.5


@dataclass(frozen=True, eq=False)
class SyntheticOutcomes:
    """A table of impressions, and the truth behind it.

    Attributes:
        interactions: `user_id`, `item_id` (text), `timestamp` (seconds), `click` (1 if the user chose the item, 0 if it
            was only shown) and `rating` (from 1 to 5, null without a click), ordered by user and time.
        ratings_UV: Rating that user u gives item v, without its noise.
        clicks_UV: Probability that user u clicks on item v.
    """

    interactions: pl.DataFrame
    ratings_UV: np.ndarray
    clicks_UV: np.ndarray

    def expected_ratings(self, user_ids: Any, item_ids: Any) -> np.ndarray:
        """Return the ratings of pairs of raw ids, (N,) each, without their noise."""
        return self.ratings_UV[index(user_ids), index(item_ids)]

    def click_probabilities(self, user_ids: Any, item_ids: Any) -> np.ndarray:
        """Return the probabilities that the users of pairs of raw ids, (N,) each, click on the items."""
        return self.clicks_UV[index(user_ids), index(item_ids)]


def synthetic_outcomes(
    *, num_users: int = 1000, num_items: int = 80, num_tastes: int = 4, mean_length: int = 30, seed: int = 0
) -> SyntheticOutcomes:
    """Simulate users with a favourite taste, who click on some of the items shown to them and rate these.

    Item i belongs to taste i modulo T. The items shown to a user are those of `synthetic_interactions` for a mixture of
    the favourite taste and all others, so no user is shown an item twice. With m = 1 if the item is of the user's
    favourite taste and else 0,

        P(click) = sigmoid(a_m + item's log-odds)
        rating = clip(r_m + user's offset + item's offset + noise, 1, 5)

    where the rating falls from r_1 = 4.2 to r_0 = 1.9 and the log-odds from a_1 = 1.4 to a_0 = −0.8; offsets and noise
    are normal. A model must find the taste in the user's history, and the users' offsets in their past ratings.

    Args:
        num_users: Users U.
        num_items: Items V; must exceed the longest list of impressions, which is twice `mean_length`.
        num_tastes: Tastes T, each with at least 4 items.
        mean_length: Average impressions per user, at least 3.
        seed: Equal seeds give equal tables.

    Returns:
        The table, and the true ratings and probabilities of all users and items.

    Raises:
        InputError: If the sizes are inconsistent.

    Example:
        >>> data = synthetic_outcomes(num_users=20)
        >>> data.interactions.columns
        ['user_id', 'item_id', 'timestamp', 'click', 'rating']
        >>> data.ratings_UV.shape
        (20, 80)
    """
    check_sizes(num_users=num_users, num_items=num_items, num_tastes=num_tastes, mean_length=mean_length)
    if num_tastes < 2:
        raise InputError(f"num_tastes must be at least 2, got {num_tastes}: with one taste, all users like all items.")
    rng = np.random.default_rng(seed)
    favourite_U = rng.integers(num_tastes, size=num_users)
    is_liked_UV = favourite_U[:, None] == np.arange(num_items) % num_tastes
    ratings_UV = true_ratings(is_liked_UV, rng)
    clicks_UV = true_clicks(is_liked_UV, rng)
    shown = impressions(favourite_U, num_items, num_tastes, mean_length, rng)
    return SyntheticOutcomes(with_outcomes(shown, ratings_UV, clicks_UV, rng), ratings_UV, clicks_UV)


def true_ratings(is_liked_UV: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw the offsets of users and items, and return the ratings without noise: (U, V)."""
    num_users, num_items = is_liked_UV.shape
    users_U1 = rng.normal(scale=USER_SPREAD, size=(num_users, 1))
    items_V = rng.normal(scale=ITEM_SPREAD, size=num_items)
    return np.clip(np.where(is_liked_UV, LIKED, DISLIKED) + users_U1 + items_V, LOWEST, HIGHEST)


def true_clicks(is_liked_UV: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw the log-odds of items, and return the probabilities of clicks: (U, V)."""
    odds_V = rng.normal(scale=ODDS_SPREAD, size=is_liked_UV.shape[1])
    return 1 / (1 + np.exp(-np.where(is_liked_UV, LIKED_ODDS, DISLIKED_ODDS) - odds_V))


def impressions(
    favourite_U: np.ndarray, num_items: int, num_tastes: int, mean_length: int, rng: np.random.Generator
) -> pl.DataFrame:
    """Draw the items shown to each user, as a table of interactions."""
    successors_VV = taste_transitions(num_items, num_tastes, rng)
    mixture_UT = np.full((len(favourite_U), num_tastes), (1 - FAVOURED) / num_tastes)
    mixture_UT[np.arange(len(favourite_U)), favourite_U] += FAVOURED
    lengths_U = rng.integers(max(3, mean_length // 2), 2 * mean_length - mean_length // 2 + 1, size=len(favourite_U))
    taste_UV = mixture_UT @ taste_popularity(num_items, num_tastes, rng)
    return as_interactions(walk(taste_UV, successors_VV, lengths_U.max(), FOLLOWED, rng), lengths_U, rng)


def with_outcomes(
    shown: pl.DataFrame, ratings_UV: np.ndarray, clicks_UV: np.ndarray, rng: np.random.Generator
) -> pl.DataFrame:
    """Add the columns `click` and `rating`, drawn from their truth."""
    users_N, items_N = index(shown["user_id"]), index(shown["item_id"])
    is_click_N = rng.random(len(shown)) < clicks_UV[users_N, items_N]
    ratings_N = ratings_UV[users_N, items_N] + rng.normal(scale=NOISE, size=len(shown))
    rating = pl.Series("rating", np.clip(ratings_N, LOWEST, HIGHEST))
    return shown.with_columns(
        pl.Series("click", is_click_N.astype(np.int64)),
        rating=pl.when(pl.Series(is_click_N)).then(rating),
    )


def index(ids: Any) -> np.ndarray:
    """Turn raw ids, which are the numbers of users or items as text, into those numbers."""
    return np.asarray(list(ids)).astype(np.int64)

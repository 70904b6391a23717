"""Synthetic interactions with a structure that can be learned, for offline machines, demonstrations and tests.

Shape suffixes: U users, V items, T tastes, S successors, L length.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from seqrec.errors import InputError

__all__ = [
    "MarkovSource",
    "as_interactions",
    "check_sizes",
    "synthetic_interactions",
    "synthetic_items",
    "taste_popularity",
    "taste_transitions",
    "walk",
]

CHUNK_PROBABILITIES = 2**22  # size of the (users, items) matrix drawn from at once
YEAR = 365 * 86_400
EPOCH = 1_577_836_800  # 2020-01-01, the start of synthetic logs


def synthetic_interactions(
    *,
    num_users: int = 1000,
    num_items: int = 300,
    num_tastes: int = 6,
    mean_length: int = 25,
    follow_probability: float = 0.7,
    seed: int = 0,
) -> pl.DataFrame:
    """Simulate users with latent tastes who move from item to item.

    Item i belongs to taste i modulo T, and the popularity of a taste's items falls as 1/rank. Each item has 3
    likely successors of the same taste. With `follow_probability`, a step goes to one of them; otherwise it goes to an
    item drawn by popularity from the user's mixture of tastes. No user meets an item twice.

    Args:
        num_users: Users U.
        num_items: Items V; must exceed the longest history, which is twice `mean_length`.
        num_tastes: Tastes T, each with at least 4 items.
        mean_length: Average interactions per user; at least 3.
        follow_probability: How often a step follows the last item rather than the user's tastes.
        seed: Equal seeds give equal tables.

    Returns:
        An interactions table with text ids and integer timestamps in seconds.

    Raises:
        InputError: If the sizes are inconsistent.
    """
    check_sizes(num_users=num_users, num_items=num_items, num_tastes=num_tastes, mean_length=mean_length)
    if not 0 <= follow_probability <= 1:
        raise InputError(f"follow_probability must be from 0 to 1, got {follow_probability}.")
    rng = np.random.default_rng(seed)
    successors_VV = taste_transitions(num_items, num_tastes, rng)
    taste_TV = taste_popularity(num_items, num_tastes, rng)
    mixture_UT = rng.dirichlet(np.full(num_tastes, 0.3), size=num_users)
    lengths_U = rng.integers(max(3, mean_length // 2), 2 * mean_length - mean_length // 2 + 1, size=num_users)
    chunk = max(1, CHUNK_PROBABILITIES // num_items)
    items_UL = np.concatenate(
        [
            walk(
                mixture_UT[start : start + chunk] @ taste_TV,
                successors_VV,
                lengths_U.max(),
                follow_probability,
                rng,
            )
            for start in range(0, num_users, chunk)
        ]
    )
    return as_interactions(items_UL, lengths_U, rng)


def synthetic_items(*, num_items: int = 300, num_tastes: int = 6) -> pl.DataFrame:
    """Return the items of `synthetic_interactions`: `item_id` and a `title` that names the taste."""
    titles = [f"Item {item} (taste {item % num_tastes})" for item in range(num_items)]
    return pl.DataFrame({"item_id": [str(item) for item in range(num_items)], "title": titles})


@dataclass(frozen=True)
class MarkovSource:
    """A Markov chain over items: each item depends only on the one before it.

    The best possible recommender is known: it lists the likeliest successors of the last item. Items repeat
    within a history, so evaluate with `exclude_seen=False`.

    Attributes:
        transitions_VV: Transition probabilities; row i is the distribution of the item after item i, whose raw id is
            `str(i)`.
    """

    transitions_VV: np.ndarray

    def __post_init__(self) -> None:
        rows, columns = self.transitions_VV.shape
        if rows != columns or not np.allclose(self.transitions_VV.sum(axis=1), 1):
            raise InputError(
                f"transitions_VV must be a square matrix whose rows each sum to 1, got shape "
                f"{self.transitions_VV.shape} with row sums from {self.transitions_VV.sum(axis=1).min():g} to "
                f"{self.transitions_VV.sum(axis=1).max():g}."
            )

    @classmethod
    def random(cls, *, num_items: int = 50, num_successors: int = 5, seed: int = 0) -> "MarkovSource":
        """Draw a random chain in which each item has a few successors, each half as likely as the one before."""
        if not 1 <= num_successors <= num_items:
            raise InputError(f"num_successors must be from 1 to num_items ({num_items}), got {num_successors}.")
        rng = np.random.default_rng(seed)
        successors_VS = rng.random((num_items, num_items)).argsort(axis=1)[:, :num_successors]
        weights_S = 0.5 ** np.arange(num_successors)
        transitions_VV = np.zeros((num_items, num_items))
        np.put_along_axis(transitions_VV, successors_VS, weights_S / weights_S.sum(), axis=1)
        return cls(transitions_VV)

    def interactions(self, *, num_users: int = 1000, length: int = 20, seed: int = 0) -> pl.DataFrame:
        """Draw users with `length` interactions each, starting from a random item."""
        rng = np.random.default_rng(seed)
        cumulative_VV = self.transitions_VV.cumsum(axis=1)
        items_UL = np.empty((num_users, length), dtype=np.int64)
        items_UL[:, 0] = rng.integers(len(cumulative_VV), size=num_users)
        for step in range(1, length):
            items_UL[:, step] = draw(cumulative_VV[items_UL[:, step - 1]], rng)
        return as_interactions(items_UL, np.full(num_users, length), rng)

    def hit_rates(self, k: int) -> np.ndarray:
        """Return, for each last item (V,), the probability that the next one is among the k likeliest."""
        if k < 1:
            raise InputError(f"k must be at least 1, got {k}.")
        return np.sort(self.transitions_VV, axis=1)[:, ::-1][:, :k].sum(axis=1)

    def best_hit_rate(self, k: int, last_items: pl.Series | None = None) -> float:
        """Return the expected HR@k of the best possible recommender.

        Args:
            k: Length of its lists.
            last_items: The last item of each evaluated history; by default, last items are distributed as in the long
                run.
        """
        rates_V = self.hit_rates(k)
        if last_items is not None:
            return float(rates_V[last_items.cast(pl.Int64).to_numpy()].mean())
        return float(self.item_shares() @ rates_V)

    def item_shares(self) -> np.ndarray:
        """Return how often each item (V,) occurs in the long run, starting from a random item."""
        probabilities_V = np.full(len(self.transitions_VV), 1 / len(self.transitions_VV))
        # A lazy chain, which stays put half of the time, has a limit even if the chain is periodic; otherwise the same.
        lazy_VV = (self.transitions_VV + np.eye(len(self.transitions_VV))) / 2
        for _ in range(30):  # 2^30 steps
            lazy_VV = lazy_VV @ lazy_VV
            lazy_VV /= lazy_VV.sum(axis=1, keepdims=True)
        return probabilities_V @ lazy_VV


def check_sizes(*, num_users: int, num_items: int, num_tastes: int, mean_length: int) -> None:
    """Refuse sizes that leave a taste without successors, or a user without new items."""
    if num_users < 2 or mean_length < 3 or num_tastes < 1:
        raise InputError(
            f"num_users must be at least 2, num_tastes at least 1 and mean_length at least 3, got "
            f"num_users={num_users}, num_tastes={num_tastes}, mean_length={mean_length}."
        )
    if num_items < 4 * num_tastes or num_items <= 2 * mean_length:
        raise InputError(
            f"num_items={num_items} is too small: {num_tastes} tastes and a mean length of {mean_length} need "
            f"at least {max(4 * num_tastes, 2 * mean_length + 1)} items."
        )


def taste_transitions(num_items: int, num_tastes: int, rng: np.random.Generator) -> np.ndarray:
    """Give each item 3 successors of its own taste, with probabilities 0.6, 0.3 and 0.1; returns (V, V)."""
    transitions_VV = np.zeros((num_items, num_items))
    for item in range(num_items):
        same_taste = np.arange(item % num_tastes, num_items, num_tastes)
        successors_S = rng.choice(same_taste[same_taste != item], size=3, replace=False)
        transitions_VV[item, successors_S] = (0.6, 0.3, 0.1)
    return transitions_VV


def taste_popularity(num_items: int, num_tastes: int, rng: np.random.Generator) -> np.ndarray:
    """Draw the popularity of each taste's items, falling as 1/rank; returns (T, V)."""
    popularity_TV = np.zeros((num_tastes, num_items))
    for taste in range(num_tastes):
        items = rng.permutation(np.arange(taste, num_items, num_tastes))
        popularity_TV[taste, items] = 1 / np.arange(1, len(items) + 1)
    return popularity_TV / popularity_TV.sum(axis=1, keepdims=True)


def walk(
    taste_UV: np.ndarray, successors_VV: np.ndarray, length: int, follow: float, rng: np.random.Generator
) -> np.ndarray:
    """Walk all users through items they have not seen yet; returns their items (U, L)."""
    users_U = np.arange(len(taste_UV))
    unseen_UV = np.ones(taste_UV.shape, dtype=bool)
    items_UL = np.empty((len(taste_UV), length), dtype=np.int64)
    chances_UV = taste_UV
    for step in range(length):
        # A small chance for every item, so that users who have seen all items of their tastes still find one.
        allowed_UV = (chances_UV + 1e-9) * unseen_UV
        items_U = draw(allowed_UV.cumsum(axis=1), rng)
        items_UL[:, step] = items_U
        unseen_UV[users_U, items_U] = False
        chances_UV = follow * successors_VV[items_U] + (1 - follow) * taste_UV
    return items_UL


def draw(cumulative_UV: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw one column per row from cumulative weights, which need not end at 1."""
    thresholds_U = rng.random(len(cumulative_UV)) * cumulative_UV[:, -1]
    return (cumulative_UV <= thresholds_U[:, None]).sum(axis=1)


def as_interactions(items_UL: np.ndarray, lengths_U: np.ndarray, rng: np.random.Generator) -> pl.DataFrame:
    """Give each user's items increasing timestamps about a day apart, keeping `lengths_U` items of each."""
    num_users, length = items_UL.shape
    starts_U = rng.integers(EPOCH, EPOCH + YEAR, size=(num_users,))
    gaps_UL = 1 + rng.exponential(86_400, size=(num_users, length)).astype(np.int64)
    kept_UL = np.arange(length) < lengths_U[:, None]
    user_UL = np.broadcast_to(np.arange(num_users)[:, None], items_UL.shape)
    table = pl.DataFrame(
        {
            "user_id": user_UL[kept_UL],
            "item_id": items_UL[kept_UL],
            "timestamp": (starts_U[:, None] + gaps_UL.cumsum(axis=1))[kept_UL],
        }
    )
    return table.with_columns(pl.col("user_id", "item_id").cast(pl.String)).sort(
        "user_id", "timestamp", maintain_order=True
    )

"""Baselines of tasks: they know who gave which label to which item, but not when.

Each learns from training rows and predicts labels of pairs of a user and an item. Users and items may be any numbers or
texts; those without training rows are new. Settings are chosen on validation rows, and without any, the middle one of
each list is taken.

Shape suffixes: N training rows, M rows to predict, U users, I items.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

import numpy as np

from seqrec.evaluation.task_metrics import log_losses

__all__ = [
    "ItemMean",
    "LabelledPairs",
    "TaskBaseline",
    "TrainingMean",
    "UserItemBias",
    "choose",
    "codes_in",
    "fit_item_mean",
    "fit_user_item_bias",
    "mean_squared_error",
]

REGULARISATIONS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)  # of biases: ratings with bias 0 that each user and item gets
SHRINKAGES = (1.0, 3.0, 10.0, 30.0, 100.0)  # rows with the global mean that each item gets
MAX_ROUNDS = 100
TOLERANCE = 1e-8  # change of a bias in a round, after which the biases are final


@dataclass(frozen=True)
class LabelledPairs:
    """Pairs of a user and an item with a label.

    Attributes:
        users_N: User of each row.
        items_N: Item of each row.
        labels_N: Label of each row, finite.
    """

    users_N: np.ndarray
    items_N: np.ndarray
    labels_N: np.ndarray

    def __len__(self) -> int:
        return len(self.labels_N)


class TaskBaseline(Protocol):
    """Predicts labels of pairs."""

    def predict(self, users_M: np.ndarray, items_M: np.ndarray) -> np.ndarray:
        """Predict the label, or the probability of label 1, of each pair (M,), in float64."""
        ...


Fitted = TypeVar("Fitted", bound=TaskBaseline)


@dataclass(frozen=True)
class TrainingMean:
    """Predict the same for all pairs: the average of the training labels."""

    mean: float

    @classmethod
    def fit(cls, train: LabelledPairs) -> "TrainingMean":
        """Average the labels."""
        return cls(float(train.labels_N.mean()))

    def predict(self, users_M: np.ndarray, items_M: np.ndarray) -> np.ndarray:
        """See `TaskBaseline`."""
        return np.full(len(items_M), self.mean)


@dataclass(frozen=True)
class ItemMean:
    """Predict the item's average label, shrunk to the average of all: (sum + strength · mean) / (count + strength).

    Attributes:
        items_I: The items with training rows, sorted.
        means_I: Their shrunk averages.
        mean: The average of all training labels, predicted for new items.
        strength: The number of rows with the average of all that each item gets.
    """

    items_I: np.ndarray
    means_I: np.ndarray
    mean: float
    strength: float

    @classmethod
    def fit(cls, train: LabelledPairs, strength: float) -> "ItemMean":
        """Average the labels of each item."""
        items_I, codes_N = np.unique(train.items_N, return_inverse=True)
        mean = float(train.labels_N.mean())
        sums_I, counts_I = np.bincount(codes_N, train.labels_N), np.bincount(codes_N)
        return cls(items_I, (sums_I + strength * mean) / (counts_I + strength), mean, strength)

    def predict(self, users_M: np.ndarray, items_M: np.ndarray) -> np.ndarray:
        """See `TaskBaseline`."""
        return np.append(self.means_I, self.mean)[codes_in(self.items_I, items_M)]


@dataclass(frozen=True)
class UserItemBias:
    """Predict mean + bias of the user + bias of the item, within the range of the training labels.

    Biases minimise the squared error plus `regularisation` · the sum of their squares (Koren et al. 2009, "Matrix
    Factorization Techniques for Recommender Systems", equation 3 without factors). Those of new users and items are 0.

    Attributes:
        users_U: The users with training rows, sorted.
        items_I: The items with training rows, sorted.
        user_biases_U: Their biases.
        item_biases_I: Their biases.
        mean: The average of the training labels.
        scale: Their standard deviation, 1 if they are all equal.
        lowest: The lowest training label.
        highest: The highest training label.
        regularisation: See above.
    """

    users_U: np.ndarray
    items_I: np.ndarray
    user_biases_U: np.ndarray
    item_biases_I: np.ndarray
    mean: float
    scale: float
    lowest: float
    highest: float
    regularisation: float

    @classmethod
    def fit(cls, train: LabelledPairs, regularisation: float) -> "UserItemBias":
        """Solve for the biases of items and of users in turn, until they are final."""
        users_U, user_codes_N = np.unique(train.users_N, return_inverse=True)
        items_I, item_codes_N = np.unique(train.items_N, return_inverse=True)
        mean = float(train.labels_N.mean())
        rest_N = train.labels_N - mean
        user_counts_U, item_counts_I = np.bincount(user_codes_N), np.bincount(item_codes_N)
        user_biases_U, item_biases_I = np.zeros(len(users_U)), np.zeros(len(items_I))
        for _ in range(MAX_ROUNDS):
            earlier_I = item_biases_I
            sums_I = np.bincount(item_codes_N, rest_N - user_biases_U[user_codes_N])
            item_biases_I = sums_I / (item_counts_I + regularisation)
            sums_U = np.bincount(user_codes_N, rest_N - item_biases_I[item_codes_N])
            user_biases_U = sums_U / (user_counts_U + regularisation)
            if np.abs(item_biases_I - earlier_I).max() < TOLERANCE:
                break
        lowest, highest = float(train.labels_N.min()), float(train.labels_N.max())
        scale = float(train.labels_N.std()) or 1.0
        return cls(users_U, items_I, user_biases_U, item_biases_I, mean, scale, lowest, highest, regularisation)

    def predict(self, users_M: np.ndarray, items_M: np.ndarray) -> np.ndarray:
        """See `TaskBaseline`."""
        of_users_M = np.append(self.user_biases_U, 0)[codes_in(self.users_U, users_M)]
        of_items_M = np.append(self.item_biases_I, 0)[codes_in(self.items_I, items_M)]
        return np.clip(self.mean + of_users_M + of_items_M, self.lowest, self.highest)


def fit_user_item_bias(train: LabelledPairs, validation: LabelledPairs) -> UserItemBias:
    """Fit biases with the regularisation whose squared error on validation is lowest."""
    return choose(partial(UserItemBias.fit, train), REGULARISATIONS, validation, mean_squared_error)


def fit_item_mean(train: LabelledPairs, validation: LabelledPairs) -> ItemMean:
    """Average the labels of items with the strength of shrinkage whose log-loss on validation is lowest."""
    return choose(partial(ItemMean.fit, train), SHRINKAGES, validation, mean_log_loss)


def choose(
    fit: Callable[[Any], Fitted],
    settings: Sequence[Any],
    validation: LabelledPairs,
    loss: Callable[[np.ndarray, np.ndarray], float],
) -> Fitted:
    """Return the baseline with the lowest loss on validation; with the middle setting if there are no rows."""
    if len(validation) == 0:
        return fit(settings[len(settings) // 2])
    fitted = map(fit, settings)
    return min(fitted, key=lambda one: loss(one.predict(validation.users_N, validation.items_N), validation.labels_N))


def mean_squared_error(predicted_M: np.ndarray, labels_M: np.ndarray) -> float:
    """Average the squared errors."""
    return float(np.mean((predicted_M - labels_M) ** 2))


def mean_log_loss(probabilities_M: np.ndarray, labels_M: np.ndarray) -> float:
    """Average the log-losses, in nats."""
    return float(log_losses(probabilities_M, labels_M).mean())


def codes_in(known: np.ndarray, values_M: np.ndarray) -> np.ndarray:
    """Return the place of each value among sorted known ones, or their number for a new one."""
    places_M = np.searchsorted(known, values_M)
    is_known_M = known[np.minimum(places_M, len(known) - 1)] == values_M
    return np.where(is_known_M, places_M, len(known))

"""A baseline of ratings that factorises the matrix of users and items, with the items that a user rated as a signal.

Koren 2008, "Factorization Meets the Neighborhood", equation 15 (SVD++), trained by Adam on batches of users.

Shape suffixes: N training rows, M rows to predict, U users, I items, B users of a batch, R rows of a batch, F factors.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from seqrec.evaluation.task_baselines import (
    LabelledPairs,
    UserItemBias,
    codes_in,
    fit_user_item_bias,
    mean_squared_error,
)

__all__ = ["MatrixFactorisation", "fit_matrix_factorisation"]

SIZES = (8, 32)  # numbers of factors that are tried
PENALTIES = (0.05, 0.1)  # of the squares of a row's factors and biases, in units of the labels' variance; also tried
LEARNING_RATE = 0.005
INITIAL_SCALE = 0.05
BATCH_ROWS = 2048
MAX_EPOCHS = 60
PATIENCE = 3  # epochs without a lower error on validation, after which training stops
EPOCHS_WITHOUT_VALIDATION = 15


@dataclass(frozen=True)
class MatrixFactorisation:
    """Predict mean + bias of the user + bias of the item + product of their factors, within the range of the labels.

    A user's factors are those of the user plus the sum of those of the items that the user rated in training, divided
    by the square root of their number. Factors and biases of new users and items are 0.

    Attributes:
        biases: The users and items with training rows, and the mean, deviation and range of their labels. Its biases
            are where those below started.
        user_factors_UF: Factors of the users, with those of their items.
        item_factors_IF: Factors of the items.
        user_biases_U: Biases of the users, in standard deviations of the labels.
        item_biases_I: Biases of the items, in the same unit.
        num_epochs: Number of passes through the training rows.
    """

    biases: UserItemBias
    user_factors_UF: np.ndarray
    item_factors_IF: np.ndarray
    user_biases_U: np.ndarray
    item_biases_I: np.ndarray
    num_epochs: int

    def predict(self, users_M: np.ndarray, items_M: np.ndarray) -> np.ndarray:
        """See `TaskBaseline`."""
        known = self.biases
        user_codes_M, item_codes_M = codes_in(known.users_U, users_M), codes_in(known.items_I, items_M)
        products_M = np.einsum(
            "mf,mf->m", with_zeros(self.user_factors_UF)[user_codes_M], with_zeros(self.item_factors_IF)[item_codes_M]
        )
        biases_M = np.append(self.user_biases_U, 0)[user_codes_M] + np.append(self.item_biases_I, 0)[item_codes_M]
        return np.clip(known.mean + known.scale * (biases_M + products_M), known.lowest, known.highest)


def fit_matrix_factorisation(train: LabelledPairs, validation: LabelledPairs, *, seed: int = 0) -> MatrixFactorisation:
    """Train factorisations of several sizes and penalties; return the best epoch of all by squared error on validation.

    Without validation rows, train one for 15 epochs.

    Args:
        train: Training rows.
        validation: Validation rows.
        seed: Determines the initial factors and the order of the batches. Torch's own generator is left alone.
    """
    biases = fit_user_item_bias(train, validation)
    if len(validation) == 0:
        trained = epochs_of(train, biases, SIZES[0], PENALTIES[-1], seed)
        return next(found for found in trained if found.num_epochs == EPOCHS_WITHOUT_VALIDATION)
    settings = itertools.product(SIZES, PENALTIES)
    fitted = [best_epoch(epochs_of(train, biases, *setting, seed), validation) for setting in settings]
    return min(fitted, key=lambda found: found[0])[1]


def best_epoch(epochs: Iterator[MatrixFactorisation], validation: LabelledPairs) -> tuple[float, MatrixFactorisation]:
    """Return the epoch with the lowest squared error on validation, after this error; stop when it no longer falls."""
    best = None
    for found in epochs:
        error = mean_squared_error(found.predict(validation.users_N, validation.items_N), validation.labels_N)
        if best is None or error < best[0]:
            best = error, found
        elif found.num_epochs - best[1].num_epochs >= PATIENCE:
            break
    assert best is not None
    return best


def epochs_of(
    train: LabelledPairs, biases: UserItemBias, size: int, penalty: float, seed: int
) -> Iterator[MatrixFactorisation]:
    """Train factors of one size, and yield the result of each epoch."""
    rows = RowsByUser.of(train, biases)
    generator = torch.Generator().manual_seed(seed)
    network = Factors(biases, size, penalty, generator)
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    for epoch in range(1, MAX_EPOCHS + 1):
        for users_B in rows.batches(generator):
            places_R, lengths_B = rows.places(users_B)
            optimizer.zero_grad()
            network.loss(users_B, rows.items_N[places_R], lengths_B, rows.rest_N[places_R]).backward()
            optimizer.step()
        yield network.result(rows, biases, epoch)


@dataclass(frozen=True)
class RowsByUser:
    """Training rows sorted by user.

    Attributes:
        items_N: Code of each row's item.
        rest_N: Label of each row less their mean, divided by their standard deviation.
        starts_U: Index of each user's first row.
        lengths_U: Number of each user's rows.
    """

    items_N: Tensor
    rest_N: Tensor
    starts_U: Tensor
    lengths_U: Tensor

    @classmethod
    def of(cls, train: LabelledPairs, biases: UserItemBias) -> "RowsByUser":
        """Sort rows by user."""
        users_N = codes_in(biases.users_U, train.users_N)
        order_N = np.argsort(users_N, kind="stable")
        lengths_U = torch.from_numpy(np.bincount(users_N))
        items_N = torch.from_numpy(codes_in(biases.items_I, train.items_N)[order_N])
        rest_N = torch.from_numpy((train.labels_N[order_N] - biases.mean) / biases.scale).float()
        return cls(items_N, rest_N, lengths_U.cumsum(0) - lengths_U, lengths_U)

    def batches(self, generator: torch.Generator) -> Iterator[Tensor]:
        """Shuffle the users and divide them into batches of about `BATCH_ROWS` rows."""
        users_U = torch.randperm(len(self.lengths_U), generator=generator)
        batch_U = self.lengths_U[users_U].cumsum(0) // BATCH_ROWS
        yield from users_U.split(torch.unique_consecutive(batch_U, return_counts=True)[1].tolist())

    def places(self, users_B: Tensor) -> tuple[Tensor, Tensor]:
        """Return the indices of the rows of some users, and the number of each user's rows."""
        lengths_B = self.lengths_U[users_B]
        shifts_B = self.starts_U[users_B] - (lengths_B.cumsum(0) - lengths_B)
        return torch.arange(int(lengths_B.sum())) + shifts_B.repeat_interleave(lengths_B), lengths_B


class Factors(nn.Module):
    """The factors and biases of users and items; biases start at those of `UserItemBias`."""

    def __init__(self, biases: UserItemBias, size: int, penalty: float, generator: torch.Generator) -> None:
        super().__init__()
        self.penalty = penalty
        num_users, num_items = len(biases.users_U), len(biases.items_I)
        self.users = nn.Parameter(torch.randn(num_users, size, generator=generator) * INITIAL_SCALE)
        self.items = nn.Parameter(torch.randn(num_items, size, generator=generator) * INITIAL_SCALE)
        self.rated_items = nn.Parameter(torch.zeros(num_items, size))
        self.user_biases = nn.Parameter(torch.from_numpy(biases.user_biases_U / biases.scale).float())
        self.item_biases = nn.Parameter(torch.from_numpy(biases.item_biases_I / biases.scale).float())

    def of_users(self, users_B: Tensor, items_R: Tensor, lengths_B: Tensor) -> Tensor:
        """Return the factors of users (B, F), with those of the items that they rated."""
        sums_BF = nn.functional.embedding_bag(items_R, self.rated_items, lengths_B.cumsum(0) - lengths_B, mode="sum")
        return self.users[users_B] + sums_BF / lengths_B[:, None].sqrt()

    def loss(self, users_B: Tensor, items_R: Tensor, lengths_B: Tensor, rest_R: Tensor) -> Tensor:
        """Average the squared errors and the penalties of a batch."""
        of_users_RF = self.of_users(users_B, items_R, lengths_B).repeat_interleave(lengths_B, dim=0)
        of_items_RF = self.items[items_R]
        user_biases_R = self.user_biases[users_B].repeat_interleave(lengths_B)
        item_biases_R = self.item_biases[items_R]
        errors_R = rest_R - user_biases_R - item_biases_R - (of_users_RF * of_items_RF).sum(dim=1)
        squares = (of_users_RF**2 + of_items_RF**2).sum(dim=1) + user_biases_R**2 + item_biases_R**2
        return (errors_R**2 + self.penalty * squares).mean()

    @torch.no_grad()
    def result(self, rows: RowsByUser, biases: UserItemBias, epoch: int) -> MatrixFactorisation:
        """Copy the current factors and biases."""
        everyone = torch.arange(len(rows.lengths_U))
        of_users_UF = self.of_users(everyone, rows.items_N, rows.lengths_U)
        return MatrixFactorisation(
            biases,
            user_factors_UF=array_of(of_users_UF),
            item_factors_IF=array_of(self.items),
            user_biases_U=array_of(self.user_biases),
            item_biases_I=array_of(self.item_biases),
            num_epochs=epoch,
        )


def array_of(tensor: Tensor) -> np.ndarray:
    """Copy a tensor into an array in float64."""
    return tensor.double().numpy().copy()


def with_zeros(factors: np.ndarray) -> np.ndarray:
    """Append a row of zeros, that of what is new."""
    return np.concatenate([factors, np.zeros_like(factors[:1])])

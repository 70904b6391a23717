"""Baselines of tasks agree with naive code, and find the parts of a known model."""

import numpy as np
import pytest
import torch

from seqrec.evaluation.task_baselines import (
    ItemMean,
    LabelledPairs,
    TrainingMean,
    UserItemBias,
    codes_in,
    fit_item_mean,
    fit_user_item_bias,
)
from seqrec.evaluation.task_factors import Factors, MatrixFactorisation, RowsByUser, epochs_of, fit_matrix_factorisation

NOBODY = LabelledPairs(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0))


def pairs(*rows):
    users, items, labels = zip(*rows, strict=True)
    return LabelledPairs(np.array(users), np.array(items), np.array(labels, dtype=np.float32))


def known_ratings(num_users=120, num_items=60, share=0.5, *, num_factors=0, noise=0.1, seed=0):
    """Ratings of a model with biases and factors: training, validation and test rows, and the test rows' truth."""
    generator = np.random.default_rng(seed)
    user_biases, item_biases = generator.normal(0, 0.5, num_users), generator.normal(0, 0.7, num_items)
    users, items = np.nonzero(generator.random((num_users, num_items)) < share)
    truth = 3 + user_biases[users] + item_biases[items]
    if num_factors:
        factors = generator.normal(size=(num_users, num_factors)), generator.normal(size=(num_items, num_factors))
        truth += (factors[0][users] * factors[1][items]).sum(axis=1) / np.sqrt(num_factors)
    labels = truth + generator.normal(0, noise, len(truth))
    part = generator.choice(3, len(users), p=[0.8, 0.1, 0.1])
    parts = [LabelledPairs(users[part == one], items[part == one], labels[part == one]) for one in range(3)]
    return *parts, truth[part == 2]


def error(baseline, rows, labels=None):
    labels = rows.labels_N if labels is None else labels
    return np.sqrt(np.mean((baseline.predict(rows.users_N, rows.items_N) - labels) ** 2))


def test_the_training_mean_is_the_same_for_everyone():
    found = TrainingMean.fit(pairs(("a", 1, 2), ("a", 2, 3), ("b", 1, 4)))
    assert found.predict(np.array(["a", "new"]), np.array([1, 99])).tolist() == [3, 3]


def test_item_means_are_shrunk_to_the_mean_of_all():
    train = pairs((1, 10, 1), (2, 10, 1), (3, 10, 0), (1, 20, 0), (2, 20, 0))
    found = ItemMean.fit(train, 2)
    expected = [(2 + 2 * 0.4) / 5, (0 + 2 * 0.4) / 4, 0.4]
    assert found.predict(np.array([9, 9, 9]), np.array([10, 20, 15])) == pytest.approx(expected)


def test_the_strength_of_shrinkage_is_chosen_on_validation():
    generator = np.random.default_rng(0)
    rates = generator.random(200)
    items = np.arange(200).repeat(4)
    train = LabelledPairs(items, items, (generator.random(800) < rates[items]).astype(float))
    alike = LabelledPairs(items, items, (generator.random(800) < rates.mean()).astype(float))
    apart = LabelledPairs(items, items, (generator.random(800) < rates[items]).astype(float))
    assert fit_item_mean(train, alike).strength > fit_item_mean(train, apart).strength
    assert fit_item_mean(train, NOBODY).strength == 10


def naive_biases(train, regularisation):
    """Solve the normal equations of the regularised least squares."""
    users, items = np.unique(train.users_N).tolist(), np.unique(train.items_N).tolist()
    design = np.zeros((len(train), len(users) + len(items)))
    for row, (user, item) in enumerate(zip(train.users_N, train.items_N, strict=True)):
        design[row, users.index(user)] = design[row, len(users) + items.index(item)] = 1
    rest = train.labels_N - train.labels_N.mean()
    return np.linalg.solve(design.T @ design + regularisation * np.eye(design.shape[1]), design.T @ rest)


@pytest.mark.parametrize("regularisation", [0.5, 8])
def test_biases_solve_the_regularised_least_squares(regularisation):
    train = known_ratings(15, 12)[0]
    found = UserItemBias.fit(train, regularisation)
    expected = naive_biases(train, regularisation)
    assert np.concatenate([found.user_biases_U, found.item_biases_I]) == pytest.approx(expected, abs=1e-6)


def test_biases_of_a_known_model_are_found():
    train, validation, test, truth = known_ratings()
    found = fit_user_item_bias(train, validation)
    assert error(found, test, truth) < 0.08
    assert error(TrainingMean.fit(train), test, truth) > 0.7


def test_regularisation_is_chosen_on_validation():
    train, validation, *_ = known_ratings(share=0.05, noise=2.0)
    found = fit_user_item_bias(train, validation)
    others = [UserItemBias.fit(train, value) for value in (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)]
    assert error(found, validation) == min(error(one, validation) for one in others)
    assert found.regularisation > fit_user_item_bias(*known_ratings()[:2]).regularisation
    assert fit_user_item_bias(train, NOBODY).regularisation == 8


def test_new_users_and_items_have_no_bias():
    train = pairs(("a", 1, 2), ("a", 2, 3), ("b", 1, 4), ("b", 3, 5))
    found = UserItemBias.fit(train, 1)
    user, item = found.user_biases_U[1], found.item_biases_I[0]
    predicted = found.predict(np.array(["b", "b", "new", "new"]), np.array([1, 99, 1, 99]))
    assert predicted == pytest.approx([3.5 + user + item, 3.5 + user, 3.5 + item, 3.5])


def test_predictions_stay_within_the_range_of_the_training_labels():
    train = pairs(("a", 1, 5), ("a", 2, 5), ("b", 1, 5), ("c", 3, 1), ("c", 4, 1), ("d", 3, 1), ("d", 4, 1))
    for found in (UserItemBias.fit(train, 0.01), fit_matrix_factorisation(train, train)):
        predicted = found.predict(np.array(list("abcd")), np.array([1, 1, 3, 4]))
        assert predicted.min() >= 1
        assert predicted.max() <= 5


def test_factors_of_a_known_model_are_found():
    train, validation, test, truth = known_ratings(300, 100, num_factors=2)
    found = fit_matrix_factorisation(train, validation)
    assert error(found, test, truth) < 0.5 * error(fit_user_item_bias(train, validation), test, truth)


def test_items_that_a_user_rated_say_what_the_user_likes():
    """Users choose the items that they like, so that the choice alone tells the taste of users with few ratings."""
    generator = np.random.default_rng(0)
    taste_U, kind_I = generator.integers(0, 2, 2000), np.arange(40) % 2
    users, items = [], []
    for user in range(2000):
        same = np.flatnonzero(kind_I == taste_U[user])
        other = np.flatnonzero(kind_I != taste_U[user])
        items += [*generator.choice(same, 3, replace=False), generator.choice(other)]
        users += [user] * 4
    users, items = np.array(users), np.array(items)
    labels = np.where(kind_I[items] == taste_U[users], 4.5, 1.5) + generator.normal(0, 0.5, len(users))
    part = generator.choice(2, len(users), p=[0.8, 0.2])
    train, test = (LabelledPairs(users[part == one], items[part == one], labels[part == one]) for one in range(2))
    assert error(fit_matrix_factorisation(train, test), test) < 0.8 * error(fit_user_item_bias(train, test), test)


def test_a_factorisation_predicts_as_a_loop_over_its_formula():
    train, validation, test, _ = known_ratings(20, 15, num_factors=2)
    biases = fit_user_item_bias(train, validation)
    found = next(epochs_of(train, biases, 4, 0.05, 0))
    users, items = np.array([*test.users_N[:5], 999, test.users_N[0], 999]), np.array([*test.items_N[:5], 0, 999, 999])
    expected = []
    for user, item in zip(users, items, strict=True):
        value, of_user, of_item = 0.0, np.zeros(4), np.zeros(4)
        if user in biases.users_U:
            place = biases.users_U.tolist().index(user)
            value, of_user = value + found.user_biases_U[place], found.user_factors_UF[place]
        if item in biases.items_I:
            place = biases.items_I.tolist().index(item)
            value, of_item = value + found.item_biases_I[place], found.item_factors_IF[place]
        predicted = train.labels_N.mean() + train.labels_N.std() * (value + of_user @ of_item)
        expected.append(np.clip(predicted, train.labels_N.min(), train.labels_N.max()))
    assert found.predict(users, items) == pytest.approx(np.array(expected), abs=1e-6)


def test_factorisation_without_validation_trains_a_fixed_time():
    train = known_ratings(20, 15)[0]
    assert fit_matrix_factorisation(train, NOBODY).num_epochs == 15


def test_the_best_epoch_is_kept():
    train, validation, *_ = known_ratings(60, 30, num_factors=2, noise=1.0)
    biases = fit_user_item_bias(train, validation)
    found = fit_matrix_factorisation(train, validation)
    size = found.item_factors_IF.shape[1]
    errors = [
        error(one, validation)
        for penalty in (0.05, 0.1)
        for one, _ in zip(epochs_of(train, biases, size, penalty, 0), range(3), strict=False)
    ]
    assert error(found, validation) <= min(errors)


def test_seeds_decide_and_torchs_generator_is_left_alone():
    train, validation, *_ = known_ratings(30, 20)
    state = torch.get_rng_state()
    first, second, other = (fit_matrix_factorisation(train, validation, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert isinstance(first, MatrixFactorisation)
    np.testing.assert_array_equal(first.user_factors_UF, second.user_factors_UF)
    assert not np.array_equal(first.user_factors_UF, other.user_factors_UF)


def test_codes_of_values():
    assert codes_in(np.array([2, 5, 9]), np.array([5, 1, 9, 10, 2])).tolist() == [1, 3, 2, 3, 0]


def test_the_loss_of_a_batch_of_users_is_that_of_a_loop_over_rows():
    train = known_ratings(9, 7, num_factors=2)[0]
    biases = UserItemBias.fit(train, 1)
    network = Factors(biases, 3, 0.1, torch.Generator().manual_seed(0))
    with torch.no_grad():
        network.rated_items.normal_(generator=torch.Generator().manual_seed(1))
    rows = RowsByUser.of(train, biases)
    batch = [4, 0, 7]
    places, lengths = rows.places(torch.tensor(batch))
    losses = []
    for user in batch:
        rated = [row for row in range(len(train)) if train.users_N[row] == biases.users_U[user]]
        items = [biases.items_I.tolist().index(train.items_N[row]) for row in rated]
        of_user = network.users[user] + sum(network.rated_items[item] for item in items) / len(items) ** 0.5
        for row, item in zip(rated, items, strict=True):
            label = (train.labels_N[row] - train.labels_N.mean()) / train.labels_N.std()
            of_both = (network.user_biases[user], network.item_biases[item], of_user, network.items[item])
            mistake = label - of_both[0] - of_both[1] - of_user @ network.items[item]
            losses.append(mistake**2 + 0.1 * sum((part**2).sum() for part in of_both))
    found = network.loss(torch.tensor(batch), rows.items_N[places], lengths, rows.rest_N[places])
    assert found.item() == pytest.approx(torch.stack(losses).mean().item(), rel=1e-5)

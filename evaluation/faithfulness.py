"""Measure whether explanations are faithful: whether the past items that they name are those that matter to the model.

The measures are counterfactual, after "A Counterfactual Framework for Learning and Evaluating Explanations for
Recommender Systems" (LXR; Barkan et al., WWW 2024): remove the past items that an explanation calls important, and see
what becomes of the recommended item. Random explanations are the yardstick.

Shape suffixes: U users, L events of a history, C changed histories, S steps, V vocabulary.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from seqrec.errors import InputError
from seqrec.evaluation.confidence import percentile_interval, resample_means
from seqrec.evaluation.evaluator import BAR_DELAY
from seqrec.interactions.histories import Histories
from seqrec.interactions.history_variants import variants_of
from seqrec.search.retriever import Retriever
from seqrec.search.scoring import Scores

__all__ = ["RANDOM", "measure_faithfulness"]

RANDOM = "random"
NUM_STEPS = 10
NUM_SINGLES = 10  # events that are removed one by one to estimate the `drop` of random explanations
KS = (1, 5, 10, 20)
SHORTEST = 2  # events of a history in which there is anything to choose
# Contributions (L,) of a history's events to the score of an item, by token id.
Explain = Callable[[Histories, int], np.ndarray]


def measure_faithfulness(
    retriever: Retriever,
    histories: Histories,
    methods: dict[str, Explain],
    *,
    num_users: int = 1000,
    seed: int = 0,
    progress: bool = False,
) -> dict[str, Any]:
    """Measure explanations of the item that is recommended first to each of some users.

    Histories are truncated to the events that the model reads. The b-th of 10 steps removes the share b / 10 of a
    history's events, rounded down, for b from 0 to 9, so that at least one remains. All steps are averaged.

    - `drop`: by how much the item's score falls if only the most important event is removed; higher is better.
      `drop_ratio` is its mean divided by that of random explanations.
    - `del`: change of the score while the most important events are removed (deletion); lower is better.
    - `ins`: change of the score while only the most important events are kept (insertion); higher is better.
    - `pos@k`: share of steps at which the item is among the k best, while the most important events are removed; lower
      is better.
    - `neg@k`: the same while the least important events are removed; higher is better.

    Scores are those of requests made now, as in serving. An item's rank is among those not in the user's full history.

    Args:
        retriever: What answers requests.
        histories: Histories of users; those with fewer than two events are left out.
        methods: Functions from a history and a token id to the contributions of the history's events, by name. Random
            contributions are added as `random`.
        num_users: Number of users U to draw, at most; all if there are fewer.
        seed: Seed of the users, of random contributions and of bootstrap samples.
        progress: Whether to show a progress bar.

    Returns:
        `{"num_users": …, "seed": …, "methods": {"leave_one_out": {"drop": {"mean": …, "low": …, "high": …}, …}, …}}`
        with 95 % bootstrap intervals over users.

    Raises:
        InputError: If no history has two events, or `num_users` is less than 1.
    """
    if num_users < 1:
        raise InputError(f"num_users must be at least 1, got {num_users}.")
    long_enough = np.flatnonzero(histories.lengths_R >= SHORTEST)
    if not len(long_enough):
        raise InputError("No history has two events or more, so there is nothing to choose in an explanation.")
    generator = np.random.default_rng(seed)
    users_U = generator.choice(long_enough, min(num_users, len(long_enough)), replace=False)
    with torch.inference_mode():
        items_VD = retriever.encoder.encode_items()
    names = [*methods, RANDOM]
    values: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    bar = {"leave": False, "dynamic_ncols": True, "delay": BAR_DELAY}
    for user in tqdm(users_U, desc="Explaining", disable=not progress, **bar):
        full = histories.select([user])
        _, token_ids_11 = retriever.retrieve(full, 1)
        history = full.newest(retriever.max_length)
        target = int(token_ids_11[0, 0])
        if target == 0:
            continue  # the user has seen everything
        contributions = {name: explain(history, target) for name, explain in methods.items()}
        length = int(history.lengths_R[0])
        contributions[RANDOM] = generator.random(length)
        singles = generator.permutation(length)[:NUM_SINGLES]
        for name, found in follow(retriever, items_VD, full, target, contributions, singles).items():
            values[name].append(found)
    return {"num_users": len(values[RANDOM]), "seed": seed, "methods": with_intervals(values, seed)}


def follow(
    retriever: Retriever,
    items_VD: Tensor,
    full: Histories,
    target: int,
    contributions: dict[str, np.ndarray],
    singles: np.ndarray,
) -> dict[str, dict[str, float]]:
    """Change one user's history as each explanation says, and measure what becomes of the recommended item.

    Args:
        retriever: What answers requests.
        items_VD: Vectors of the catalogue.
        full: One row, with all events.
        target: Token id of the recommended item.
        contributions: Contributions (L) by method, with random ones last.
        singles: Events that are removed one by one, for the `drop` of random explanations.
    """
    history = full.newest(retriever.max_length)
    without_one = ~np.eye(int(history.lengths_R[0]), dtype=bool)[singles]
    kept = np.concatenate([*map(changes, contributions.values()), without_one])
    with torch.inference_mode():
        users_CD = torch.cat([retriever.encode(history), retriever.encode(variants_of(history, kept))])
        scores = Scores.of_vectors(users_CD, items_VD)
        seen_1S = torch.from_numpy(full.compact(["input_ids"])[0]["input_ids"].astype(np.int64))[None]
        targets_C = torch.full((len(users_CD),), target, device=users_CD.device)
        ranks = scores.masked(seen_1S.to(users_CD.device)).rank(targets_C).numpy(force=True)
        values = (users_CD.float() @ items_VD[target].float()).numpy(force=True)
    found = {}
    per_method = 1 + 2 * NUM_STEPS
    for index, name in enumerate(contributions):
        own = slice(1 + index * per_method, 1 + (index + 1) * per_method)
        found[name] = measures(values[own] - values[0], ranks[own])
    found[RANDOM]["drop"] = float((values[0] - values[-len(singles) :]).mean())
    return found


def changes(contributions_L: np.ndarray) -> np.ndarray:
    """Return which events are kept in each changed history (1 + 2 S, L).

    The first lacks only the most important event. S histories follow from which more and more of the most important
    events are removed, and S from which more and more of the least important ones are.
    """
    length = len(contributions_L)
    order_L = np.argsort(-contributions_L, kind="stable")
    place_L = np.empty(length, dtype=np.int64)
    place_L[order_L] = np.arange(length)  # 0 for the most important event
    removed_S1 = np.arange(NUM_STEPS)[:, None] * length // NUM_STEPS
    return np.concatenate([place_L[None] > 0, place_L >= removed_S1, place_L < length - removed_S1])


def measures(change_C: np.ndarray, ranks_C: np.ndarray) -> dict[str, float]:
    """Turn changes of the score and ranks in the histories of `changes` into the measures of one user."""
    steps = slice(1, 1 + NUM_STEPS), slice(1 + NUM_STEPS, None)
    deleted, kept = steps
    found = {"drop": -change_C[0], "del": change_C[deleted].mean(), "ins": change_C[kept].mean()}
    found |= {f"pos@{k}": (ranks_C[deleted] <= k).mean() for k in KS}
    found |= {f"neg@{k}": (ranks_C[kept] <= k).mean() for k in KS}
    return {name: float(value) for name, value in found.items()}


def with_intervals(
    values: dict[str, list[dict[str, float]]], seed: int, level: float = 0.95, num_resamples: int = 1000
) -> dict[str, dict[str, dict[str, float]]]:
    """Average each measure of each method over users, with intervals from the same resamples of users for all."""
    columns = [(name, measure) for name, rows in values.items() for measure in rows[0]]
    values_UM = np.array([[values[name][user][measure] for name, measure in columns] for user in range(num_of(values))])
    means_RM = resample_means(values_UM, np.ones(len(values_UM)), num_resamples=num_resamples, seed=seed)
    found: dict[str, dict[str, dict[str, float]]] = {name: {} for name in values}
    random_column = columns.index((RANDOM, "drop"))
    for column, (name, measure) in enumerate(columns):
        mean = float(values_UM[:, column].mean())
        found[name][measure] = entry(mean, means_RM[:, column], level)
        if measure == "drop":
            ratios_R = means_RM[:, column] / means_RM[:, random_column]
            found[name]["drop_ratio"] = entry(mean / float(values_UM[:, random_column].mean()), ratios_R, level)
    return found


def num_of(values: dict[str, list[dict[str, float]]]) -> int:
    """Return the number of users."""
    return len(values[RANDOM])


def entry(mean: float, means_R: np.ndarray, level: float) -> dict[str, float]:
    """Return a mean with the bounds of its interval."""
    low, high = percentile_interval(means_R, level)
    return {"mean": mean, "low": low, "high": high}

"""Compare an exported graph with its model, on histories that are given or made up.

Shape suffixes: R histories, K list length, D size of user vectors.
"""

from typing import Any

import numpy as np
import torch

from seqrec.errors import SeqrecError
from seqrec.evaluation.metrics import hit_rate, ndcg
from seqrec.interactions.events import SOURCES, TIME_COLUMNS, CategoricalColumn, event_column
from seqrec.interactions.histories import Histories
from seqrec.interactions.label_columns import LabelColumn
from seqrec.interactions.seconds import SECONDS_PER_DAY
from seqrec.interactions.special_tokens import NUM_SPECIAL_TOKENS
from seqrec.search.retriever import Retriever
from seqrec.search.scoring import NOT_RANKED

__all__ = ["ParityError", "accuracy", "made_up_histories", "measure_parity", "overlap"]

NUM_HISTORIES = 64
TOLERANCE = 1e-4  # of scores, as a share of the largest or of 1
LIST_LENGTH = 10
FIRST_DAY = 20_000  # 2024-10-04


class ParityError(SeqrecError):
    """An exported graph computes other lists or scores than its model."""


def made_up_histories(config: Any, *, num_histories: int = NUM_HISTORIES, seed: int = 0) -> Histories:
    """Draw histories of random items and lengths, from 1 to more than the model reads, with all columns it reads."""
    draw = np.random.default_rng(seed)
    longest = config.max_history_length
    lengths_R = draw.integers(1, longest + 1, num_histories)
    lengths_R[:3] = 1, longest, longest + 1
    num_events = int(lengths_R.sum())
    columns = {"input_ids": draw.integers(NUM_SPECIAL_TOKENS, config.vocab_size, num_events)}
    for name in config.event_columns[1:]:
        name = SOURCES.get(name, name)
        columns[name] = (
            drawn_times(draw, lengths_R) if name in TIME_COLUMNS else drawn_values(draw, name, config, num_events)
        )
    ends_R = lengths_R.cumsum()
    rows = {}
    if "request_times" in config.event_columns:
        waits_R = draw.integers(0, 30 * SECONDS_PER_DAY, num_histories)
        rows["target_timestamp"] = columns["timestamps"][ends_R - 1] + waits_R
    return Histories(columns, ends_R - lengths_R, lengths_R, rows)


def drawn_times(draw: np.random.Generator, lengths_R: np.ndarray) -> np.ndarray:
    """Draw times in seconds since 1970, ascending in each history: gaps from a second to a year."""
    gaps_N = np.exp(draw.uniform(0, np.log(365 * SECONDS_PER_DAY), int(lengths_R.sum()))).astype(np.int64)
    ends_R = lengths_R.cumsum()
    sums_N = gaps_N.cumsum()
    before_R = sums_N[ends_R - 1] - np.add.reduceat(gaps_N, ends_R - lengths_R)
    return (FIRST_DAY * SECONDS_PER_DAY + sums_N - before_R.repeat(lengths_R)).astype(np.float64)


def drawn_values(draw: np.random.Generator, name: str, config: Any, num_events: int) -> np.ndarray:
    """Draw values of a column: codes, labels with some missing, or the fill value of a column of another kind."""
    column = event_column(name)
    if isinstance(column, CategoricalColumn):
        return draw.integers(0, column.num_codes, num_events).astype(column.dtype)
    if isinstance(column, LabelColumn):
        low, high = getattr(config, "rating_scale", None) or (0, 1)
        values = np.round(draw.uniform(low, high, num_events)) if name == "rating" else draw.integers(0, 2, num_events)
        return np.where(draw.random(num_events) < 0.2, np.nan, values).astype(column.dtype)
    return np.full(num_events, column.fill, dtype=column.dtype)


@torch.inference_mode()
def measure_parity(model: Retriever, exported: Retriever, histories: Histories) -> dict[str, Any]:
    """Compare lists and scores.

    Returns:
        The number of histories, the share of lists that are the same, and the largest differences of user vectors and
        scores.

    Raises:
        ParityError: If lists differ in more than the order of almost equal scores, or scores by more than the
            tolerance.
    """
    k = min(LIST_LENGTH, len(model.encoder.encode_items()) - NUM_SPECIAL_TOKENS)
    expected_RK, expected_ids_RK = model.retrieve(histories, k)
    found_RK, found_ids_RK = exported.retrieve(histories, k)
    users_RD = model.encode(histories)
    items_VD = model.encoder.encode_items().float()
    rescored_RK = torch.einsum("rd,rkd->rk", users_RD.float(), items_VD[torch.from_numpy(found_ids_RK)]).numpy(
        force=True
    )
    is_listed_RK = found_ids_RK > 0
    largest = max(1.0, float(np.abs(expected_RK[expected_ids_RK > 0]).max(initial=0)))
    score_difference = difference(found_RK, expected_RK)
    rank_difference = difference(np.where(is_listed_RK, rescored_RK, -np.inf), expected_RK)
    measured = {
        "histories": len(histories),
        "k": k,
        "same_lists": float((found_ids_RK == expected_ids_RK).all(axis=1).mean()),
        "max_user_vector_difference": float((exported.encode(histories) - users_RD).abs().max()),
        "max_score_difference": score_difference,
        "tolerance": TOLERANCE * largest,
    }
    worst = max(score_difference, rank_difference)
    if not worst <= TOLERANCE * largest:
        raise ParityError(
            f"The exported graph computes other scores than the model: by {worst:.2g} where at most "
            f"{TOLERANCE * largest:.2g} is allowed ({measured['same_lists']:.0%} of {len(histories)} lists are the "
            "same). Nothing was saved. Use backend='torch', and report the model's configuration."
        )
    return measured


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest difference of two arrays; infinite if one has an empty place where the other has none."""
    is_empty = np.isneginf(expected)
    if not np.array_equal(np.isneginf(found), is_empty):
        return float("inf")
    return float(np.abs(found[~is_empty] - expected[~is_empty]).max(initial=0))


def overlap(model: Retriever, exported: Retriever, histories: Histories, k: int = LIST_LENGTH) -> float:
    """Return the mean share of items that the lists of both have in common."""
    pairs = zip(model.retrieve(histories, k)[1], exported.retrieve(histories, k)[1], strict=True)
    return float(np.mean([len(np.intersect1d(one, other)) / k for one, other in pairs]))


def accuracy(retriever: Retriever, histories: Histories, *, exclude_seen: bool) -> dict[str, float]:
    """Measure lists of held-out requests, whose next items are their `target`."""
    _, ids_RK = retriever.retrieve(histories, LIST_LENGTH, exclude_seen=exclude_seen)
    is_hit_RK = ids_RK == histories.rows["target"][:, None]
    ranks_R = np.where(is_hit_RK.any(axis=1), is_hit_RK.argmax(axis=1) + 1, NOT_RANKED)
    return {
        f"hr@{LIST_LENGTH}": float(hit_rate(ranks_R, LIST_LENGTH).mean()),
        f"ndcg@{LIST_LENGTH}": float(ndcg(ranks_R, LIST_LENGTH).mean()),
    }

"""The metrics in `metrics.json`, of a model and of the baselines.

Shape suffixes: U evaluated rows, V vocabulary.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from seqrec.evaluation.confidence import confidence_intervals
from seqrec.evaluation.evaluator import Ranking, rank_dataset
from seqrec.evaluation.item_knn import ItemKnnBaseline
from seqrec.evaluation.list_report import category_columns, known, list_quality
from seqrec.evaluation.recent_popularity import RecentPopularityBaseline
from seqrec.evaluation.slices import slice_confidence, slice_metrics
from seqrec.evaluation.targets import share_beyond_reach, warn_of_repeats
from seqrec.interactions.data_arguments import HELD_OUT
from seqrec.interactions.histories import Histories, as_histories
from seqrec.interactions.prepared_sets import PreparedData
from seqrec.search.popularity import PopularityBaseline

__all__ = ["LIST_LENGTH", "measure"]

LIST_LENGTH = 20
SHOWN_LENGTH = 10  # of the lists whose quality is measured


def measure(
    rank_model: Callable[[Histories], Ranking],
    data: PreparedData,
    *,
    exclude_seen: bool,
    splits: Sequence[str] = HELD_OUT,
    request_protocol: Mapping[str, Any] | None = None,
    vectors_VD: np.ndarray | None = None,
) -> dict[str, Any]:
    """Rank held-out splits with a model and with the baselines, under the same protocol.

    The baselines are popularity, item-kNN and, where timestamps are real times, recent popularity.

    Args:
        rank_model: Ranks held-out histories with the model, and lists `LIST_LENGTH` items for each.
        data: Sequences and catalogue.
        exclude_seen: Whether to leave items of the history out of the ranking.
        splits: The splits to rank, of "validation" and "test".
        request_protocol: What the model knows of a request (`config.request_protocol`), for the protocol.
        vectors_VD: The model's item vectors, for the distance of items within lists; None to leave it out.

    Returns:
        `"protocol"`; `"unreachable_targets"`, the share of targets by split that no model can hit: unknown items, and
        items excluded as seen (with a warning if there are many of these); `"model"`, `"popularity"`,
        `"recent_popularity"` and `"item_knn"`, each with its metrics by split; and `"confidence"`, `"slices"`,
        `"slice_confidence"` and `"lists"` (see `list_quality`), each by these names and by split.
    """
    held_out = {split: as_histories(data.sequences[split]) for split in splits}
    for split in splits:
        warn_of_repeats(held_out[split], exclude_seen=exclude_seen, split=split)
    item_counts_V = data.items.counts_by_token
    popularity = PopularityBaseline(item_counts_V)
    recent_popularity = RecentPopularityBaseline.of_data(data)
    item_knn = ItemKnnBaseline(data.sequences["train"], len(data.tokenizer))
    rank = partial(rank_dataset, exclude_seen=exclude_seen, list_length=LIST_LENGTH)
    longest = max(int(histories.lengths_R.max(initial=1)) for histories in held_out.values())
    rankers: dict[str, Callable[[Histories], Ranking]] = {
        "model": rank_model,
        "popularity": partial(rank, popularity, max_length=1),
        **({"recent_popularity": partial(rank, recent_popularity, max_length=1)} if recent_popularity else {}),
        "item_knn": partial(rank, item_knn, max_length=longest),
    }
    quality = partial(list_quality, k=SHOWN_LENGTH, vectors_VD=vectors_VD, categories=category_columns(data.items))
    figures: dict[str, Any] = {
        "protocol": {
            **data.protocol,
            "exclude_seen": exclude_seen,
            **(request_protocol or {}),
        },
        "unreachable_targets": {
            split: share_beyond_reach(histories, exclude_seen=exclude_seen) for split, histories in held_out.items()
        },
    }
    for name, ranker in rankers.items():
        for split, histories in held_out.items():
            ranking = ranker(histories)
            sections = {
                **describe(ranking, histories, item_counts_V),
                "lists": quality(ranking.top_UK, histories, item_counts_V),
            }
            for section, found in sections.items():
                by_ranker = figures if section == "metrics" else figures.setdefault(section, {})
                by_ranker.setdefault(name, {})[split] = found
    return figures


def describe(ranking: Ranking, histories: Histories, item_counts_V: np.ndarray) -> dict[str, dict[str, Any]]:
    """Compute a ranking's metrics (None if undefined) and its slices, and the confidence intervals of both."""
    rows = {
        "lengths_U": histories.lengths_R,
        "target_counts_U": item_counts_V[histories.rows["target"]],
        "item_counts_V": item_counts_V,
    }
    return {
        "metrics": known(ranking.metrics(item_counts_V)),
        "confidence": dict(confidence_intervals(ranking.ranks_U)),
        "slices": slice_metrics(ranking.ranks_U, **rows),
        "slice_confidence": slice_confidence(ranking.ranks_U, **rows),
    }

"""The cost of diversity: accuracy against the variety of lists, for several methods and strengths.

All methods choose from the same candidates, the model's N best items of each row. Held-out items are hits only if they
are chosen.

Shape suffixes: U evaluated rows, N candidates, K list length, V vocabulary, D hidden size.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from seqrec.evaluation.diversity_settings import OPTIONS, Setting, settings_of
from seqrec.evaluation.evaluator import BAR_DELAY, Ranking
from seqrec.evaluation.list_candidates import Candidates
from seqrec.evaluation.list_report import category_columns, known, list_quality
from seqrec.interactions.catalogue import Catalogue
from seqrec.search.diversity_options import VECTORS
from seqrec.search.scoring import NOT_RANKED

__all__ = ["diversity_curve", "measure_lists", "measure_settings"]


def diversity_curve(
    candidates: Candidates,
    items: Catalogue,
    vectors_VD: np.ndarray,
    *,
    diversify_by: str = VECTORS,
    k: int = 10,
    progress: bool = False,
) -> dict[str, Any]:
    """Measure a model's own lists, and those chosen by all methods that apply.

    Args:
        candidates: The N best items of each row, at least k. The method "exposure" computes its bonuses for these rows.
        items: The catalogue.
        vectors_VD: The model's item vectors.
        diversify_by: `"vectors"`, or the name of a column of the items.
        k: Length of the lists.
        progress: Whether to show a progress bar.

    Returns:
        `{"k": …, "num_candidates": …, "diversify_by": …, "num_rows": …, "own": …, "methods": …}`; see
        `measure_settings`.

    Raises:
        InputError: If the items have no such column, or N is less than k.
    """
    num_rows, num_candidates = candidates.token_ids_UN.shape
    columns = category_columns(items)
    if diversify_by != VECTORS:
        columns[diversify_by] = items.categories(diversify_by)
    quality = {"k": k, "vectors_VD": vectors_VD, "categories": columns}
    measure = partial(measure_lists, candidates=candidates, item_counts_V=items.counts_by_token, quality=quality)
    settings = settings_of(items, torch.from_numpy(vectors_VD), candidates, diversify_by=diversify_by, k=k)
    return {
        "k": k,
        "num_candidates": num_candidates,
        "diversify_by": diversify_by,
        "num_rows": num_rows,
        **measure_settings(candidates, settings, measure, k=k, progress=progress),
    }


def measure_settings(
    candidates: Candidates,
    settings: Iterable[Setting],
    measure: Callable[[np.ndarray], dict[str, Any]],
    *,
    k: int,
    progress: bool = False,
) -> dict[str, Any]:
    """Measure the best items of each row, and the lists that each setting chooses.

    Args:
        candidates: The items to choose from, of all evaluated rows.
        settings: Methods with their strengths.
        measure: Returns the metrics of lists (U, K).
        k: Length of the lists.
        progress: Whether to show a progress bar.

    Returns:
        `{"own": {"ndcg@10": …, …}, "methods": {"mmr": {"option": "diversity", "points": [{"strength": 0.1,
        "ndcg@10": …, …}, …]}, …}}`, with the points in the order of the settings.
    """
    methods: dict[str, Any] = {}
    bar = {"leave": False, "dynamic_ncols": True, "delay": BAR_DELAY}
    for setting in tqdm(list(settings), desc="Diversity", disable=not progress, **bar):
        method = methods.setdefault(setting.method, {"option": OPTIONS[setting.method], "points": []})
        metrics = measure(candidates.choose(setting.reranker, k))
        method["points"].append({"strength": setting.strength, **metrics})
    return {"own": measure(candidates.best(k)), "methods": methods}


def measure_lists(
    top_UK: np.ndarray, *, candidates: Candidates, item_counts_V: np.ndarray, quality: dict[str, Any]
) -> dict[str, Any]:
    """Compute all metrics of lists of one length; the rank of a target is its place in the list.

    Args:
        top_UK: Token ids.
        candidates: What they were chosen from.
        item_counts_V: Training interactions of each token id.
        quality: Further arguments of `list_quality`.
    """
    rows = candidates.rows
    ranking = Ranking(ranks_in_lists(top_UK, rows.rows["target"]), top_UK)
    metrics = ranking.metrics(item_counts_V, (top_UK.shape[1],))
    return {**known(metrics), **list_quality(top_UK, rows, item_counts_V, **quality)}


def ranks_in_lists(top_UK: np.ndarray, targets_U: np.ndarray) -> np.ndarray:
    """Return the place of each target in its list, from 1, or `NOT_RANKED`: `ranks_U`.

    >>> ranks_in_lists(np.array([[4, 3], [4, 3]]), np.array([3, 5])).tolist()
    [2, 2147483647]
    """
    is_target_UK = top_UK == targets_U[:, None]
    return np.where(is_target_UK.any(axis=1), is_target_UK.argmax(axis=1) + 1, NOT_RANKED)

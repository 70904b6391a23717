"""Predictions of a pipeline for candidates.

Shape suffix: R histories.
"""

from typing import Any

import numpy as np

from seqrec.interactions.candidates import Candidates
from seqrec.interactions.request_reading import Requests, warn_of_empty
from seqrec.modeling.recent_counts import warn_of_old_counts
from seqrec.search.pair_predictions import predict_pairs, require_label_tasks
from seqrec.search.retriever import Retriever

__all__ = ["BY_ITEM_ALONE", "list_predictions", "predict_candidates"]

BY_ITEM_ALONE = "predictions for them depend on the item alone"


def predict_candidates(
    model: Any, retriever: Retriever, requests: Requests, candidates: Candidates
) -> dict[str, np.ndarray]:
    """Predict for the candidates of each history, as `Recommender.predict` does; see `predict_pairs`."""
    warn_of_empty(requests.histories, BY_ITEM_ALONE)
    warn_of_old_counts(model.recent_counts, requests.histories.rows.get("target_timestamp"))
    users_RD = retriever.encode(requests.histories)
    return predict_pairs(model.predict_tasks, require_label_tasks(model.config), users_RD, candidates.token_ids)


def list_predictions(
    requests: Requests, candidates: Candidates, predictions: dict[str, np.ndarray]
) -> list[dict[str, Any]] | list[list[dict[str, Any]]]:
    """Return predictions as one dictionary for each candidate, in a list for each history unless one was given."""
    num_histories = len(requests.histories)
    lists: list[list[dict[str, Any]]] = [[] for _ in range(num_histories)]
    rows, names = candidates.rows(num_histories).tolist(), candidates.names(num_histories)
    for row, item_id, *values in zip(rows, names, *(one.tolist() for one in predictions.values()), strict=True):
        lists[row].append({"item_id": item_id, **dict(zip(predictions, values, strict=True))})
    return lists[0] if requests.is_single else lists

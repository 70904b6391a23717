"""Explain scores by leaving out one past event at a time.

Shape suffixes: N explained items, L events that the model reads, D hidden size.
"""

from dataclasses import replace

import numpy as np
from torch import Tensor

from seqrec.interactions.histories import Histories
from seqrec.interactions.history_variants import variants_of
from seqrec.modeling.explanation import TIMES, Explanation, popularity_terms, scored
from seqrec.search.retriever import Retriever

__all__ = ["leave_one_out"]


def leave_one_out(retriever: Retriever, history: Histories, items_ND: Tensor) -> Explanation:
    """Return how much higher each item scores with an event than without it.

    Without an event, the history is shorter by one: later events keep their order, earlier ones move one position
    towards the newest, and an event that was too old to be read enters a history that was too long. This is the score
    that recommending for such a history would give. A user without any event has the vector 0, so that the only event
    of a history contributes the whole score.

    `others` holds the term of recent popularity, and for a model that reads times the difference to the score that the
    items would have if all events had happened at the time of the request, or of the last event if that is unknown.
    Contributions do not sum to the score, as events act together.

    Args:
        retriever: What answers requests.
        history: One row with at least one event.
        items_ND: Vectors of the items, from `encode_items`.
    """
    user_1D = retriever.encode(history)
    window = history.newest(retriever.max_length + 1)
    size = int(window.lengths_R[0])
    num_read = min(size, retriever.max_length)
    without = variants_of(window, ~np.eye(size, dtype=bool)[size - num_read :])
    scores_1N = scored(user_1D, items_ND)
    contributions_LN = scores_1N - scored(retriever.encode(without), items_ND)
    others = popularity_terms(retriever.encoder, user_1D, items_ND)
    if "timestamps" in retriever.columns:
        others[TIMES] = (scores_1N - scored(retriever.encode(at_once(history)), items_ND))[0]
    return Explanation(scores_1N[0], contributions_LN.T, others=others)


def at_once(history: Histories) -> Histories:
    """Return a history whose events all happened at the time of the request, or of the last event if it has none."""
    start, length = int(history.starts_R[0]), int(history.lengths_R[0])
    events = {name: values[start : start + length] for name, values in history.columns.items()}
    times_L = events["timestamps"]
    asked = history.rows["target_timestamp"][0] if "target_timestamp" in history.rows else times_L[-1]
    events["timestamps"] = np.full_like(times_L, asked, dtype=np.result_type(times_L, asked))
    return replace(history, columns=events, starts_R=np.zeros(1, dtype=np.int64))

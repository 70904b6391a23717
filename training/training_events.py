"""The interactions that a model with recent popularity counts during its training."""

from typing import Any

from seqrec.errors import InputError
from seqrec.interactions.histories import Histories
from seqrec.modeling.modeling_next_item import NextItemHead

__all__ = ["set_training_events"]


def set_training_events(model: NextItemHead, rows: Any) -> None:
    """Let a model that reads recent popularity count the events of its training rows, unless it has events already.

    Rows that are views on the events of a whole data set, as `prepare` makes them, have its held-out events too. Like
    the baseline, a model then counts all users' interactions before the day of a request, as it would in use.

    Raises:
        InputError: If the rows are a stream, which cannot be counted in advance.
    """
    counts = model.recent_counts
    if counts is None or counts.has_events or rows is None:
        return
    if not isinstance(rows, Histories):
        raise InputError(
            "A model with popularity_windows cannot count the events of a stream. Call model.set_events(items, times) "
            "with all users' interactions first, or train on Histories or a Dataset."
        )
    model.set_events(rows.columns["input_ids"], rows.columns["timestamps"])

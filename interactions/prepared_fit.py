"""Refuse prepared data that training or evaluation cannot use."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from seqrec.errors import InputError
from seqrec.interactions.events import CategoricalColumn, event_column
from seqrec.interactions.label_columns import is_label, label_names
from seqrec.interactions.label_names import target_key
from seqrec.interactions.prepared_sets import PreparedData
from seqrec.interactions.seconds import LAST_PLAUSIBLE, numbers_given
from seqrec.interactions.sequences import further

__all__ = ["require_event_columns", "require_held_out", "require_real_times", "require_rows"]


def require_held_out(data: PreparedData, splits: Sequence[str]) -> None:
    """Refuse data with nothing to train on or to evaluate.

    Args:
        data: The prepared data.
        splits: The splits that must have rows, of "validation" and "test".

    Raises:
        InputError: If there are no training interactions, or no held-out interaction of a split has a history.
    """
    require_rows({name: len(rows) for name, rows in data.sequences.items()}, data.protocol, splits)


def require_rows(num_rows: Mapping[str, int], protocol: Mapping[str, Any], splits: Sequence[str]) -> None:
    """Refuse parts without rows, given their sizes; see `require_held_out`."""
    if num_rows["train"] == 0:
        raise InputError(f"{name_of(protocol)} has no training interactions. Choose another split.")
    for split in splits:
        if num_rows[split] == 0:
            raise InputError(
                f"No {split} interaction of {name_of(protocol)} has a history, so there is nothing to "
                f"evaluate ({protocol['split_method']} split). Use data with longer histories, larger fractions, "
                "or another split_method."
            )


def require_event_columns(data: PreparedData, names: Sequence[str]) -> None:
    """Refuse a prepared set that lacks an event column, or in which it was encoded differently."""
    held = data.sequences["train"].columns
    for name in further(names):
        column = event_column(name)
        advice = f"Prepare the interactions again with event_columns={list(names)}."
        if is_label(name):
            advice = f"Prepare the interactions again with --tasks {','.join(label_names(names))}."
        if name not in held or (is_label(name) and target_key(name) not in data.sequences["test"].rows):
            use = "is the label of a task" if is_label(name) else "the model reads for each event"
            raise InputError(f"{name_of(data.protocol)} was prepared without the column {name}, which {use}. {advice}")
        num_codes = column.num_codes if isinstance(column, CategoricalColumn) else np.inf
        if held[name].dtype != column.dtype or (held[name] >= num_codes).any():
            raise InputError(f"The column {name} of {name_of(data.protocol)} was encoded differently. {advice}")


def require_real_times(data: PreparedData) -> None:
    """Refuse data whose timestamps only order events, for a model that reads times.

    Raises:
        InputError: If they are numbers such as 0, 1, 2, …, or were prepared in another unit than seconds.
    """
    times = data.sequences["train"].columns["timestamps"]
    if "period" not in data.protocol:  # the protocol has one if timestamps are times
        raise InputError(
            f"The model reads when events happened, but the timestamps of {name_of(data.protocol)} are no times: "
            f"{numbers_given(times)}"
        )
    if times.max() >= LAST_PLAUSIBLE.timestamp():
        raise InputError(
            f"The model reads times in seconds, but {name_of(data.protocol)} was prepared with another unit. Prepare "
            "the interactions again."
        )


def name_of(protocol: Mapping[str, Any]) -> str:
    """Name a data set in an error."""
    return f"'{protocol['dataset']}'" if "dataset" in protocol else "The table"

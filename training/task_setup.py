"""Fit the tasks of a new model to the labels of its training data."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from seqrec.interactions.histories import Histories
from seqrec.interactions.label_columns import CLICK, RATING
from seqrec.interactions.required_labels import rating_range
from seqrec.modeling.modeling_next_item import NextItemHead

__all__ = ["fit_label_means", "with_rating_scale"]


def with_rating_scale(config_fields: Mapping[str, Any], train: Histories) -> dict[str, Any]:
    """Return the fields of a configuration in which ratings, if they are predicted, have a scale.

    A scale that is not given reaches from the smallest to the largest rating of the training data.

    Raises:
        InputError: If all ratings are equal, or there are none.
    """
    fields = dict(config_fields)
    if RATING in fields.get("tasks", ()) and fields.get("rating_scale") is None:
        fields["rating_scale"] = rating_range(train)
    return fields


def fit_label_means(model: NextItemHead, train: Histories) -> None:
    """Let the untrained heads of a model, if any, predict the mean labels of training histories."""
    if model.config.label_tasks:
        model.set_label_means({task: mean_label(train, task) for task in model.config.label_tasks})


def mean_label(train: Histories, task: str) -> float:
    """Average the labels of a task; an impression is a click of 0."""
    labels = train.held(task)
    labels = labels[~np.isnan(labels)]
    shown = train.impressions if task == CLICK else None
    count = len(labels) + (0 if shown is None else int(shown.lengths_R.sum()))
    return float(labels.sum(dtype=np.float64) / max(1, count))

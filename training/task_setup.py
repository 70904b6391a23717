"""Fit the tasks of a new model to the labels of its training data."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from seqrec.evaluation.task_baselines import ItemMean
from seqrec.evaluation.task_rows import training_pairs
from seqrec.interactions.histories import Histories
from seqrec.interactions.label_names import RATING
from seqrec.interactions.required_labels import rating_range
from seqrec.modeling.modeling_next_item import NextItemHead

__all__ = ["fit_label_means", "with_rating_scale"]

PRIOR_LABELS = 5  # strength of the shrinkage


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
    """Let the untrained heads of a model, if any, predict the mean labels of each item in training histories.

    Means of items are shrunk to that of all; see `ItemMean`. A task without labels keeps its initial weights.
    """
    if not model.config.label_tasks:
        return
    means, item_means = {}, {}
    ids_V = np.arange(model.config.vocab_size)
    for task in model.config.label_tasks:
        if len(pairs := training_pairs(train, task)):
            fitted = ItemMean.fit(pairs, PRIOR_LABELS)
            means[task], item_means[task] = fitted.mean, fitted.predict(ids_V, ids_V)
    model.set_label_means(means, item_means)

"""Fit the tasks of a new model to the labels of its training data."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from seqrec.interactions.histories import Histories
from seqrec.interactions.label_names import CLICK, RATING
from seqrec.interactions.required_labels import rating_range
from seqrec.modeling.modeling_next_item import NextItemHead

__all__ = ["fit_label_means", "with_rating_scale"]

PRIOR_LABELS = 5


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

    The mean of an item's n labels counts as much as `PRIOR_LABELS` labels with the mean of all items.
    """
    if not model.config.label_tasks:
        return
    means, item_means = {}, {}
    for task in model.config.label_tasks:
        items, labels = labelled_events(train, task)
        means[task] = float(labels.mean(dtype=np.float64)) if len(labels) else 0.0
        sums_V = np.bincount(items, labels, minlength=model.config.vocab_size)
        counts_V = np.bincount(items, minlength=model.config.vocab_size)
        item_means[task] = (sums_V + PRIOR_LABELS * means[task]) / (counts_V + PRIOR_LABELS)
    model.set_label_means(means, item_means)


def labelled_events(train: Histories, task: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the items and labels of all events that have a label; an impression is a click of 0."""
    items, labels = train.held("input_ids"), train.held(task)
    is_known = ~np.isnan(labels)
    items, labels = items[is_known], labels[is_known]
    if task == CLICK and train.impressions is not None:
        shown = train.impressions.held("impression_ids")
        items, labels = np.concatenate([items, shown]), np.concatenate([labels, np.zeros(len(shown), labels.dtype)])
    return items, labels

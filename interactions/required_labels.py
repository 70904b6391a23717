"""Refuse histories whose labels a model cannot learn, or whose predictions could not be measured."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from seqrec.errors import InputError
from seqrec.interactions.histories import Histories
from seqrec.interactions.label_names import CLICK, RATING, target_key

__all__ = ["rating_range", "require_labelled_targets", "require_labels", "require_scale"]


def require_labels(histories: Histories, tasks: Sequence[str], rating_scale: Sequence[float] | None = None) -> None:
    """Refuse training histories from which a task cannot be learned.

    Args:
        histories: Training histories with the column of each task.
        tasks: The label tasks.
        rating_scale: Lowest and highest rating; None if unknown.

    Raises:
        InputError: If all labels of a task are equal, there are none, or a rating is outside the scale.
    """
    for task in tasks:
        least, most = label_range(histories, task)
        if least == most:
            raise InputError(
                f"All labels of {task!r} in training are {least:g}, from which nothing can be learned. Leave the task "
                "out, or add interactions with other labels."
            )
    if RATING in tasks:
        require_scale(histories, rating_scale)


def label_range(histories: Histories, task: str) -> tuple[float, float]:
    """Return the lowest and the highest label of a task; an impression is a click of 0.

    Raises:
        InputError: If no event has a label.
    """
    labels = known(histories.held(task))
    if task == CLICK and histories.impressions is not None and histories.impressions.lengths_R.any():
        labels = np.append(labels, np.float32(0))
    if not len(labels):
        raise InputError(
            f"No training interaction has a label of the task {task!r}: all values are missing. Leave the task out, or "
            "give its labels."
        )
    return float(labels.min()), float(labels.max())


def rating_range(histories: Histories) -> list[float]:
    """Return the lowest and the highest rating of training histories, as a scale.

    Raises:
        InputError: If there are no ratings, or all are equal.
    """
    require_labels(histories, [RATING])
    return list(label_range(histories, RATING))


def require_scale(histories: Histories, rating_scale: Sequence[float] | None) -> None:
    """Refuse ratings of events outside a scale.

    Args:
        histories: Histories with ratings.
        rating_scale: Lowest and highest rating; None if unknown.

    Raises:
        InputError: If a rating is outside.
    """
    if rating_scale is None:
        return
    ratings, (lowest, highest) = known(histories.held(RATING)), np.asarray(rating_scale, dtype=np.float32)
    is_outside = (ratings < lowest) | (ratings > highest)
    if is_outside.any():
        raise InputError(
            f"{np.count_nonzero(is_outside):,} of {len(ratings):,} ratings are outside rating_scale="
            f"{[*map(float, rating_scale)]} (first: {ratings[is_outside][0]:g}). Correct the ratings or the scale."
        )


def require_labelled_targets(held_out: Any, tasks: Sequence[str]) -> None:
    """Refuse held-out rows in which all labels of a task are missing; rows without its column are only ranked.

    Args:
        held_out: Rows with targets, several sets of them by name, or None.
        tasks: The label tasks.

    Raises:
        InputError: If a set has the column of a task's labels, but no label in it.
    """
    for rows in held_out.values() if isinstance(held_out, Mapping) else [held_out]:
        for task in tasks if rows is not None else ():
            if target_key(task) not in rows.column_names:
                continue
            if not len(known(np.asarray(rows[target_key(task)], dtype=np.float32))):
                raise InputError(
                    f"No held-out target has a label of the task {task!r}, so its predictions cannot be measured. "
                    "Leave the task out, or use data with more labels."
                )


def known(labels: np.ndarray) -> np.ndarray:
    """Select the labels that are not missing."""
    return labels[~np.isnan(labels)]

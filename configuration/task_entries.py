"""Check the tasks of a model, and the fields of its configuration that name them."""

import math
from collections.abc import Mapping, Sequence

from seqrec.configuration.strict_config import shown
from seqrec.errors import InputError
from seqrec.interactions.events import RESERVED_NAMES

__all__ = ["NEXT_ITEM_TASK", "require_scale", "require_tasks", "require_weights"]

NEXT_ITEM_TASK = "next_item"
# Names that a column of labels cannot have, because batches, tables or outputs of models use them otherwise.
RESERVED = RESERVED_NAMES | {"input_ids", "timestamps", "request_times", "masked_item", "impression"}
LARGEST = 1e9  # of ratings and weights: far beyond any, but low enough for float32


def require_tasks(tasks: Sequence[str], *, past_labels: Sequence[str], context_columns: Sequence[str]) -> None:
    """Raise an `InputError` unless tasks are well named and past labels are among them."""
    if NEXT_ITEM_TASK not in tasks:
        raise InputError(f"tasks must include {NEXT_ITEM_TASK!r}, but is {shown(tasks)}.")
    if len(set(tasks)) < len(tasks):
        raise InputError(f"tasks must name each task once, but is {shown(tasks)}.")
    for name in tasks:
        if not name.isidentifier() or name in RESERVED:
            raise InputError(f"tasks cannot name a column {shown(name)}. Rename it, such as to 'rating' or 'like'.")
    labels = [name for name in tasks if name != NEXT_ITEM_TASK]
    if len(set(past_labels)) < len(past_labels):
        raise InputError(f"past_labels must name each task once, but is {shown(past_labels)}.")
    for name in past_labels:
        if name not in labels:
            known = f", only {', '.join(labels)}" if labels else ""
            raise InputError(f"past_labels names {shown(name)}, which tasks does not predict{known}. Add it to tasks.")
        if name in context_columns:
            raise InputError(f"past_labels and context_columns both name {shown(name)}. Leave it out of one.")


def require_scale(scale: Sequence[float] | None) -> None:
    """Raise an `InputError` unless a scale of ratings, if any, is a lower and a higher number. NaN fails too."""
    if scale is None:
        return
    if len(scale) != 2 or not -LARGEST <= scale[0] < scale[1] <= LARGEST:
        raise InputError(
            f"rating_scale must be the lowest and the highest rating, such as [1, 5], but is {shown(scale)}."
        )


def require_weights(weights: Mapping[str, float], tasks: Sequence[str], weighting: str) -> None:
    """Raise an `InputError` unless weights are of the tasks, none is negative, and not all tasks weigh 0."""
    for name, weight in weights.items():
        if name not in tasks:
            raise InputError(f"task_weights names {shown(name)}, which is not one of the tasks {', '.join(tasks)}.")
        if not (math.isfinite(weight) and 0 <= weight <= LARGEST):
            raise InputError(f"task_weights[{name!r}] must be 0 or above, but is {shown(weight)}.")
    if not any(weights.get(name, 1) for name in tasks):
        raise InputError(f"task_weights must be above 0 for at least one task, but is {shown(weights)}.")
    if weights and weighting == "learned":
        raise InputError("task_weights has no effect with task_weighting='learned'. Leave one of them out.")

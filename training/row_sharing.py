"""Held-out rows divided among processes, which exchange only results."""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from accelerate.utils import broadcast_object_list, gather_object
from transformers import TrainingArguments

from seqrec.interactions.histories import Histories

__all__ = ["compute_by_row", "computed_once"]

Result = TypeVar("Result")


def computed_once(args: TrainingArguments, compute: Callable[[], Result]) -> Result:
    """Return what a function computes in the first process, for all processes, which must call this together."""
    if args.world_size == 1:
        return compute()
    found: list[Any] = [compute() if args.process_index == 0 else None]
    return broadcast_object_list(found)[0]


def compute_by_row(
    compute: Callable[[Histories], dict[str, np.ndarray]], histories: Histories, args: TrainingArguments
) -> dict[str, np.ndarray]:
    """Compute arrays with one entry per row; each process computes those of its share of the rows.

    Args:
        compute: Returns arrays by name, each (R, …) for R rows. A row's entries must not depend on the other rows.
        histories: The rows, the same in all processes.
        args: Number of processes, and which one this is.

    Returns:
        The arrays for all rows, in their order, in every process.
    """
    if args.world_size == 1:
        return compute(histories)
    num_rows = len(histories)
    first = min(args.process_index, num_rows - 1)  # with fewer rows than processes, the last row is computed again
    parts: list[Any] = gather_object([compute(histories.select(range(first, num_rows, args.world_size)))])
    found = {name: np.zeros((num_rows, *values.shape[1:]), dtype=values.dtype) for name, values in parts[0].items()}
    for process, part in enumerate(parts):
        places = range(process, num_rows, args.world_size)
        for name, values in part.items():
            found[name][places] = values[: len(places)]
    return found

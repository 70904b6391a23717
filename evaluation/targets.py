"""Held-out targets: whether a model can rank them, and which of them nobody can hit.

Shape suffixes: U evaluated rows, N items of some histories.
"""

import warnings

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset

from seqrec.errors import InputError
from seqrec.interactions.special_tokens import NUM_SPECIAL_TOKENS, UNK_ID, UNK_TOKEN

ROWS_AT_ONCE = 2**16  # what bounds the memory
LARGE_SHARE = 0.1  # of targets in their own user's history, from which on it is said


def require_rankable(dataset: Dataset, vocab_size: int) -> None:
    """Check that rows to evaluate hold what a model of this vocabulary can rank; warn of unknown targets.

    Args:
        dataset: Rows with `input_ids` and `target`.
        vocab_size: V.

    Raises:
        ValueError: If there are no rows, a column is missing or does not hold integers, or token ids are not of the
            vocabulary.
    """
    if len(dataset) == 0:
        raise InputError("There is nothing to evaluate: the data set has no rows.")
    missing = [name for name in ("input_ids", "target") if name not in dataset.column_names]
    if missing:
        raise InputError(
            f"Rows to evaluate need input_ids (a history) and target, but have no {' and no '.join(missing)}; "
            f"their columns are {', '.join(dataset.column_names)}."
        )
    table = dataset.with_format("arrow", columns=["input_ids", "target"])[:]
    require_token_ids("input_ids", pc.list_flatten(table["input_ids"]), vocab_size)
    require_token_ids("target", table["target"], vocab_size)
    num_unknown = pc.sum(pc.equal(table["target"], UNK_ID)).as_py()
    if num_unknown:
        warnings.warn(
            f"{num_unknown} of {len(dataset)} targets are items that the model does not know ({UNK_TOKEN}) and count "
            "as not ranked.",
            stacklevel=3,
        )


def require_token_ids(name: str, ids_N: pa.ChunkedArray, vocab_size: int) -> None:
    """Refuse what is neither an item of the catalogue nor the unknown item."""
    if len(ids_N) == 0:
        return
    if not pa.types.is_integer(ids_N.type) or ids_N.null_count:
        raise InputError(
            f"{name} must hold token ids, integers all, but is of type {ids_N.type} with {ids_N.null_count} nulls."
        )
    least, most = (pc.min_max(ids_N)[end].as_py() for end in ("min", "max"))
    if least < UNK_ID or most >= vocab_size:
        raise InputError(
            f"{name} holds token ids from {least} to {most}, but the model's items have ids {NUM_SPECIAL_TOKENS} to "
            f"{vocab_size - 1} ({UNK_ID} is the unknown item). Encode the rows with the model's own tokenizer."
        )


def find_repeats(dataset: Dataset) -> np.ndarray:
    """Tell of each row whether its target is in its history: `is_repeat_U`, truth values."""
    rows = dataset.with_format("arrow", columns=["input_ids", "target"])
    is_repeat_U = np.zeros(len(dataset), dtype=bool)
    for start in range(0, len(dataset), ROWS_AT_ONCE):
        table = rows[start : start + ROWS_AT_ONCE]
        histories, targets = (table[name].combine_chunks() for name in ("input_ids", "target"))
        row_N = pc.list_parent_indices(histories).to_numpy()
        is_target_N = histories.flatten().to_numpy() == targets.to_numpy()[row_N]
        is_repeat_U[start + row_N[is_target_N]] = True
    return is_repeat_U


def share_beyond_reach(dataset: Dataset, *, exclude_seen: bool) -> float:
    """Return the share of targets that no list can hold: unknown items, and those left out as seen."""
    targets_U = dataset.with_format("numpy", columns=["target"])[:]["target"]
    is_beyond_U = targets_U < NUM_SPECIAL_TOKENS
    if exclude_seen:
        is_beyond_U |= find_repeats(dataset)
    return float(is_beyond_U.mean()) if len(dataset) else 0.0


def warn_of_repeats(dataset: Dataset, *, exclude_seen: bool, split: str = "validation") -> None:
    """Warn where many targets cannot be hit because their users had them before, as in music or groceries.

    Args:
        dataset: Rows with `input_ids` and `target`.
        exclude_seen: Whether items of a history are never recommended; if not, there is nothing to warn of.
        split: What to call the rows.
    """
    share = find_repeats(dataset).mean() if exclude_seen and len(dataset) else 0
    if share >= LARGE_SHARE:
        warnings.warn(
            f"{share:.0%} of the {split} targets are in their users' own histories and cannot be hit, because items "
            "already seen are not recommended: to predict repeats as well, train with --exclude_seen false, and "
            "evaluate with --include_seen.",
            stacklevel=2,
        )

"""Predict labels for pairs of users and items.

Shape suffixes: R users, D hidden size, C candidates, P pairs, N pairs of one part.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seqrec.errors import InputError
from seqrec.search.finite import require_finite

__all__ = ["predict_pairs", "require_label_tasks"]

MAX_PAIRS = 2**14  # pairs predicted at once: few enough for a processor's cache
Predict = Callable[[Tensor, Tensor], Mapping[str, Tensor]]


def require_label_tasks(config: Any) -> list[str]:
    """Return the tasks of a model other than the next item.

    Raises:
        InputError: If there are none.
    """
    if not config.label_tasks:
        raise InputError(
            "The model predicts only the next item. Train one with further tasks, such as "
            "tasks=['next_item', 'rating'], to predict them, or call recommend."
        )
    return list(config.label_tasks)


@torch.inference_mode()
def predict_pairs(
    predict: Predict, tasks: Sequence[str], users_RD: Tensor, candidates: Sequence[np.ndarray]
) -> dict[str, np.ndarray]:
    """Predict labels for each user's candidates.

    Args:
        predict: Returns predictions (B, C) by task from user vectors (B, D) and token ids (B, C).
        tasks: The tasks to predict.
        users_RD: User vectors.
        candidates: Token ids: one array for all users, or one for each.

    Returns:
        Predictions (P,) by task, float32: those of the first user's candidates, then those of the second's, …

    Raises:
        NonFiniteError: If a prediction is infinite or NaN.
    """
    parts = shared_parts(users_RD, candidates[0]) if len(candidates) == 1 else own_parts(users_RD, candidates)
    found: dict[str, list[Tensor]] = {task: [] for task in tasks}
    for users_BD, item_ids_BC in parts:
        predictions = predict(users_BD, item_ids_BC)
        for task in tasks:
            found[task].append(require_finite(predictions[task], what=f"Predictions ({task})").float().flatten())
    return {task: torch.cat(values).numpy(force=True) if values else empty() for task, values in found.items()}


def shared_parts(users_RD: Tensor, item_ids_C: np.ndarray) -> Sequence[tuple[Tensor, Tensor]]:
    """Divide the pairs of all users with the same items into parts, user by user."""
    items_C = torch.as_tensor(item_ids_C, device=users_RD.device, dtype=torch.long)
    if not len(items_C):
        return []
    num_users = max(1, MAX_PAIRS // len(items_C))
    return [
        (users_BD, items.expand(len(users_BD), -1))
        for users_BD in users_RD.split(num_users)
        for items in items_C[None].split(MAX_PAIRS, dim=1)
    ]


def own_parts(users_RD: Tensor, candidates: Sequence[np.ndarray]) -> Sequence[tuple[Tensor, Tensor]]:
    """Divide the pairs of users with their own items into parts of one item for each row."""
    rows_P = torch.arange(len(candidates)).repeat_interleave(torch.tensor([len(ids) for ids in candidates]))
    items_P = torch.as_tensor(np.concatenate(candidates), device=users_RD.device, dtype=torch.long)
    return [
        (users_RD[rows_N.to(users_RD.device)], items_N[:, None])
        for rows_N, items_N in zip(rows_P.split(MAX_PAIRS), items_P.split(MAX_PAIRS), strict=True)
        if len(items_N)
    ]


def empty() -> np.ndarray:
    """Return no predictions."""
    return np.empty(0, dtype=np.float32)

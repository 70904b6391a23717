"""Predict the outcomes of a data set's held-out items, one batch of users at a time, exactly as in serving.

Shape suffixes: U evaluated rows, B rows of a batch, D user vectors, C candidates.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor
from tqdm.auto import tqdm

from seqrec.errors import NonFiniteError
from seqrec.evaluation.evaluator import BAR_DELAY
from seqrec.evaluation.targets import require_rankable
from seqrec.interactions.histories import Histories, as_histories
from seqrec.interactions.history_collator import HistoryCollator, batches_of_like_length, encoder_inputs
from seqrec.interactions.label_names import RATING
from seqrec.interactions.required_times import require_request_times, require_seconds
from seqrec.interactions.special_tokens import NUM_SPECIAL_TOKENS

__all__ = ["calibrations", "predict_targets", "target_logits"]


def predict_targets(
    model: Any, rows: Histories | Dataset, *, max_length: int, batch_size: int = 256, progress: bool = False
) -> dict[str, np.ndarray]:
    """Predict the outcome of each row's target, for each label task of a model.

    Args:
        model: A `NextItemHead` with label tasks; it is left in evaluation mode.
        rows: Full histories with the event columns that the model reads, and a `target` each.
        max_length: Number of newest items that the model reads.
        batch_size: Maximum number of rows encoded at once.
        progress: Whether to show a progress bar.

    Returns:
        For each task, ratings within the model's scale, or calibrated probabilities (U,) in the order of the rows, in
        float32; NaN for a target that is not an item of the model.

    Raises:
        InputError: If there are no rows, a column is missing, or token ids are outside the vocabulary.
        NonFiniteError: If a prediction is not finite.
    """
    return of_targets(model, model.predict_tasks, rows, max_length, batch_size, progress=progress)


def target_logits(
    model: Any, rows: Histories | Dataset, *, max_length: int, batch_size: int = 256, progress: bool = False
) -> dict[str, np.ndarray]:
    """Compute the values before calibration of each row's target; see `predict_targets`."""
    return of_targets(model, model.task_logits, rows, max_length, batch_size, progress=progress)


def calibrations(model: Any) -> dict[str, tuple[float, float]]:
    """Return slope and shift of each binary task, by which a model's probabilities are calibrated."""
    found = {task: head.calibration.tolist() for task, head in model.task_heads.items() if task != RATING}
    return {task: (slope, shift) for task, (slope, shift) in found.items()}


@torch.no_grad()
def of_targets(
    model: Any,
    compute: Callable[[Tensor, Tensor], Mapping[str, Tensor]],
    rows: Histories | Dataset,
    max_length: int,
    batch_size: int,
    *,
    progress: bool,
) -> dict[str, np.ndarray]:
    """Compute values of users (B, D) and items (B, C) for each row's target."""
    model.eval()  # a Trainer switches it back before its next step
    columns = model.config.event_columns
    histories = as_histories(rows, [*columns, "target"])
    require_rankable(histories, model.config.vocab_size)
    require_seconds(histories, columns)
    require_request_times(histories.rows, columns)
    batches = list(batches_of_like_length(np.minimum(histories.lengths_R, max_length), batch_size))
    collate = HistoryCollator(max_length, columns)
    found = {task: np.full(len(histories), np.nan, dtype=np.float32) for task in model.config.label_tasks}
    bar = {"leave": False, "dynamic_ncols": True, "delay": BAR_DELAY}
    for index_B in tqdm(batches, desc="Predicting", disable=not progress, **bar):
        batch = {name: tensor.to(model.device) for name, tensor in collate(histories.select(index_B)).items()}
        targets_B1 = batch["targets"][:, None].clamp(min=NUM_SPECIAL_TOKENS)
        values = compute(model.encode_users(**encoder_inputs(batch)), targets_B1)
        for task, values_U in found.items():
            values_U[index_B] = values[task][:, 0].float().cpu().numpy()
    is_unknown_U = histories.rows["target"] < NUM_SPECIAL_TOKENS
    for task, values_U in found.items():
        require_finite(task, values_U)
        values_U[is_unknown_U] = np.nan
    return found


def require_finite(task: str, values_U: np.ndarray) -> None:
    """Raise a `NonFiniteError` if a prediction is infinite or NaN."""
    if not np.isfinite(values_U).all():
        raise NonFiniteError(
            f"The model's predictions of {task} are not finite (NaN or infinite): its weights are damaged, or its "
            "training diverged. Use an earlier checkpoint, or train again with a lower learning rate."
        )

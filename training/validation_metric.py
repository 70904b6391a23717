"""The metrics computed in validation, and the one that selects the best checkpoint."""

import re
from collections.abc import Mapping
from typing import Any

from transformers import TrainingArguments
from transformers.trainer_utils import SaveStrategy

from seqrec.errors import InputError
from seqrec.evaluation.metrics import RANKING_METRICS

__all__ = ["validation_metrics"]

DEFAULT_METRICS = ("ndcg@10", "hr@10", "mrr@10")  # with one target per row, all others are multiples of these
METRIC = re.compile(rf"({'|'.join(RANKING_METRICS)})@([1-9]\d*)")


def validation_metrics(arguments: TrainingArguments, eval_sets: Any, *, has_own_metrics: bool) -> tuple[str, ...]:
    """Return the metrics to compute in validation: the default ones and the one that selects the best checkpoint.

    Args:
        arguments: The training arguments.
        eval_sets: The validation rows, or a dictionary of sets; then the metric's name begins with a set's name.
        has_own_metrics: Whether the user's `compute_metrics` adds metrics, whose names are not known beforehand.

    Raises:
        InputError: If validation does not compute the metric that selects the best checkpoint, or if
            `greater_is_better=False` would select the worst one.
    """
    name = arguments.metric_for_best_model or ""
    if isinstance(eval_sets, Mapping):
        name = next((name.removeprefix(f"{key}_") for key in eval_sets if name.startswith(f"{key}_")), "")
    if METRIC.fullmatch(name):
        if arguments.greater_is_better is False:
            raise InputError(f"greater_is_better=False would keep the checkpoint with the worst {name}. Leave it out.")
        return tuple(dict.fromkeys((*DEFAULT_METRICS, name)))
    if selects_checkpoints(arguments) and eval_sets is not None and not has_own_metrics:
        first = f"{next(iter(eval_sets))}_" if isinstance(eval_sets, Mapping) else ""
        raise InputError(
            f"metric_for_best_model={arguments.metric_for_best_model!r} is not computed in validation. Give one of "
            f"{', '.join(RANKING_METRICS)} with '@' and a list length, such as '{first}ndcg@10'."
        )
    return DEFAULT_METRICS


def selects_checkpoints(arguments: TrainingArguments) -> bool:
    """Return whether a metric decides which checkpoint is kept or when training stops."""
    return (
        arguments.load_best_model_at_end
        or arguments.save_strategy == SaveStrategy.BEST
        or bool(getattr(arguments, "early_stopping_patience", None))
    )

"""The metrics computed in validation, and the one that selects the best checkpoint."""

import re
import sys
from collections.abc import Mapping
from typing import Any

from transformers import TrainingArguments
from transformers.trainer_utils import IntervalStrategy, SaveStrategy

from seqrec.errors import InputError
from seqrec.evaluation.metrics import RANKING_METRICS

__all__ = ["require_known_metric", "validation_metrics"]

DEFAULT_METRICS = ("ndcg@10", "hr@10", "mrr@10")  # with one target per row, all others are multiples of these
REGARDLESS_OF_RANK = ("hr", "recall", "precision")  # they only ask whether the target is in the list
METRIC = re.compile(rf"({'|'.join(RANKING_METRICS)})@([1-9]\d*)")


def validation_metrics(
    arguments: TrainingArguments, eval_sets: Any, *, num_items: int, has_own_metrics: bool
) -> tuple[str, ...]:
    """Return the metrics to compute in validation: the default ones and the one that selects the best checkpoint.

    Args:
        arguments: The training arguments.
        eval_sets: The validation rows, or a dictionary of sets; then the metric's name begins with a set's name.
        num_items: I, the number of items in the catalogue.
        has_own_metrics: Whether the user's `compute_metrics` adds metrics, whose names are not known beforehand.

    Raises:
        InputError: If validation does not compute the metric that selects the best checkpoint, if that metric is the
            same for every model, or if `greater_is_better=False` would select the worst one.
    """
    name = arguments.metric_for_best_model or ""
    if isinstance(eval_sets, Mapping):
        name = next((name.removeprefix(f"{key}_") for key in eval_sets if name.startswith(f"{key}_")), "")
    if METRIC.fullmatch(name):
        if arguments.greater_is_better is False:
            raise InputError(f"greater_is_better=False would keep the checkpoint with the worst {name}. Leave it out.")
        metric, _, k = name.partition("@")
        if metric in REGARDLESS_OF_RANK and int(k) >= num_items:
            raise InputError(
                f"metric_for_best_model={arguments.metric_for_best_model!r} is the same for every model, because the "
                f"catalogue has only {num_items} items. Choose a shorter list, or ndcg or mrr."
            )
        return tuple(dict.fromkeys((*DEFAULT_METRICS, name)))
    if looks_it_up(arguments) and eval_sets is not None and not has_own_metrics:
        first = f"{next(iter(eval_sets))}_" if isinstance(eval_sets, Mapping) else ""
        raise InputError(
            f"metric_for_best_model={arguments.metric_for_best_model!r} is not computed in validation. Give one of "
            f"{', '.join(RANKING_METRICS)} with '@' and a list length, such as '{first}ndcg@10'."
        )
    return DEFAULT_METRICS


def require_known_metric(arguments: TrainingArguments) -> None:
    """Raise an `InputError` if validation on one set cannot compute the metric that selects the best checkpoint.

    A job calls this before it reads data; only then can a list turn out to be as long as the catalogue.
    """
    validation_metrics(arguments, (), num_items=sys.maxsize, has_own_metrics=False)


def looks_it_up(arguments: TrainingArguments) -> bool:
    """Return whether training reads `metric_for_best_model`, to keep a checkpoint, to stop, or to note the best."""
    if arguments.load_best_model_at_end or arguments.save_strategy == SaveStrategy.BEST:
        return True
    if arguments.eval_strategy == IntervalStrategy.NO:
        return False
    return arguments.metric_for_best_model is not None or bool(arguments.early_stopping_patience)

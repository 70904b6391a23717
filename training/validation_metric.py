"""The metrics computed in validation, and the one that selects the best checkpoint."""

import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from transformers import TrainingArguments
from transformers.trainer_utils import IntervalStrategy, SaveStrategy

from seqrec.errors import InputError
from seqrec.evaluation.metrics import RANKING_METRICS
from seqrec.evaluation.task_metric_names import is_lower_better, looks_like_a_task_metric, task_metric_names

__all__ = ["require_known_metric", "validation_metrics"]

DEFAULT_METRICS = ("ndcg@10", "hr@10", "mrr@10")  # with one target per row, all others are multiples of these
REGARDLESS_OF_RANK = ("hr", "recall", "precision")  # they only ask whether the target is in the list
METRIC = re.compile(rf"({'|'.join(RANKING_METRICS)})@([1-9]\d*)")


def validation_metrics(
    arguments: TrainingArguments, eval_sets: Any, *, num_items: int, has_own_metrics: bool, tasks: Sequence[str] = ()
) -> tuple[str, ...]:
    """Return the ranking metrics to compute in validation: the default ones and any that selects the best checkpoint.

    Metrics of tasks are always computed; see `validation_task_metrics`.

    Args:
        arguments: The training arguments.
        eval_sets: The validation rows, or a dictionary of sets; then the metric's name begins with a set's name.
        num_items: I, the number of items in the catalogue.
        has_own_metrics: Whether the user's `compute_metrics` adds metrics, whose names are not known beforehand.
        tasks: The label tasks of the model.

    Raises:
        InputError: If validation does not compute the metric that selects the best checkpoint, if that metric is the
            same for every model, or if `greater_is_better` would select the worst one.
    """
    name = arguments.metric_for_best_model or ""
    if isinstance(eval_sets, Mapping):
        name = next((name.removeprefix(f"{key}_") for key in eval_sets if name.startswith(f"{key}_")), "")
    of_tasks = task_metric_names(tasks)
    if name in of_tasks:
        if arguments.greater_is_better is is_lower_better(name):
            raise InputError(
                f"greater_is_better={arguments.greater_is_better} would keep the checkpoint with the worst {name}. "
                "Leave it out."
            )
        return DEFAULT_METRICS
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
            f"{', '.join(RANKING_METRICS)} with '@' and a list length, such as '{first}ndcg@10'"
            f"{told_of_tasks(of_tasks)}."
        )
    return DEFAULT_METRICS


def told_of_tasks(names: Sequence[str]) -> str:
    """Name the metrics of tasks that can select the best checkpoint; empty if there are none."""
    return f", or a metric of a task: {', '.join(names)}" if names else ""


def require_known_metric(arguments: TrainingArguments, tasks: Sequence[str] | None) -> None:
    """Raise an `InputError` if validation on one set cannot compute the metric that selects the best checkpoint.

    A job calls this before it reads data; only then can a list turn out to be as long as the catalogue.

    Args:
        arguments: The training arguments.
        tasks: The label tasks of the model; None if they are not known yet, as those of a model to fine-tune.
    """
    if tasks is None and looks_like_a_task_metric(arguments.metric_for_best_model or ""):
        return
    validation_metrics(arguments, (), num_items=sys.maxsize, has_own_metrics=False, tasks=tasks or ())


def looks_it_up(arguments: TrainingArguments) -> bool:
    """Return whether training reads `metric_for_best_model`, to keep a checkpoint, to stop, or to note the best."""
    if arguments.load_best_model_at_end or arguments.save_strategy == SaveStrategy.BEST:
        return True
    if arguments.eval_strategy == IntervalStrategy.NO:
        return False
    return arguments.metric_for_best_model is not None or bool(arguments.early_stopping_patience)

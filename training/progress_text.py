"""Lines that say what is trained, and how training ended."""

from collections.abc import Mapping
from typing import Any

from transformers import TrainerState, TrainingArguments
from transformers.trainer_utils import IntervalStrategy

from seqrec.training.progress_table import format_number

__all__ = ["end_of_training", "selecting_metric", "start_of_training", "whole"]


def start_of_training(trainer: Any, protocol: Mapping[str, Any], *, is_new: bool, width: int) -> str:
    """Say what is trained, where, and on what: in one line if it fits, otherwise in two.

    Args:
        trainer: The `SequentialTrainer`.
        protocol: The protocol of the prepared data.
        is_new: Whether a new model is trained, not fine-tuned.
        width: Columns of the terminal.
    """
    model = trainer.model
    verb = "Training" if is_new else "Fine-tuning"
    kept = f"{protocol['num_interactions']:,}"
    read = f" of {protocol['num_interactions_read']:,}" if "num_interactions_read" in protocol else ""
    device = describe_device(trainer.args)
    what = f"{verb} {model.config.model_type} ({trainer.num_weights():,} parameters) on {device}:"
    data = f"{protocol['num_users']:,} users, {protocol['num_items']:,} items, {kept}{read} interactions"
    between = " " if len(f"{what} {data}") <= width else "\n"
    return f"{what}{between}{data}"


def describe_device(arguments: TrainingArguments) -> str:
    """Name the kind of device, and how many there are if there are several."""
    kind, number = arguments.device.type, max(arguments.world_size, arguments.n_gpu)
    if number == 1:
        return kind
    return f"{number} {kind} {'processes' if kind == 'cpu' else 'devices'}"


def end_of_training(arguments: TrainingArguments, state: TrainerState) -> str:
    """Say why training ended, and which evaluation was best, in one line."""
    name = selecting_metric(arguments)
    # An evaluation before the first step selects no checkpoint.
    evaluations = [entry for entry in state.log_history if f"eval_{name}" in entry and entry["step"] > 0]
    last = whole(state.epoch or 0)
    is_complete = state.global_step >= state.max_steps
    best = best_evaluation(evaluations, f"eval_{name}", greater_is_better=arguments.greater_is_better is not False)
    if best is None:
        return f"Finished epoch {last}." if is_complete else f"Stopped after epoch {last}."
    by_epoch = arguments.eval_strategy == IntervalStrategy.EPOCH
    place = f"epoch {whole(best['epoch'])}" if by_epoch else f"step {best['step']:,}"
    value = format_number(best[f"eval_{name}"])
    if is_complete:
        return f"Finished epoch {last}. Best: {place}, {name} {value}."
    waited = sum(entry["step"] > best["step"] for entry in evaluations)
    patience = getattr(arguments, "early_stopping_patience", None)
    if not patience or waited < patience:
        return f"Stopped after epoch {last}. Best: {place}, {name} {value}."
    since = f"{waited} {'epoch' if by_epoch else 'evaluation'}{'' if waited == 1 else 's'}"
    return f"Stopped after epoch {last}: no better {name} in {since}. Best: {place}, {value}."


def best_evaluation(evaluations: list[dict[str, Any]], key: str, *, greater_is_better: bool) -> dict[str, Any] | None:
    """Return the first of the best evaluations, leaving out NaN; None if none is left."""
    numbers = [entry for entry in evaluations if entry[key] == entry[key]]
    choose = max if greater_is_better else min
    return choose(numbers, key=lambda entry: entry[key], default=None)


def selecting_metric(arguments: TrainingArguments) -> str:
    """Return the name of the metric that selects the best checkpoint, without "eval_"; empty if none does."""
    return (arguments.metric_for_best_model or "").removeprefix("eval_")


def whole(epoch: float) -> float:
    """Return an epoch as an integer if it is one, otherwise with two digits after the point."""
    return int(epoch) if float(epoch).is_integer() else round(epoch, 2)

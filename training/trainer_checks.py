"""Check the arguments of a trainer before it starts."""

from collections.abc import Mapping, Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase, TrainingArguments
from transformers.trainer_utils import number_of_arguments

from seqrec.configuration.configuration_next_item import NextItemConfig
from seqrec.errors import InputError
from seqrec.evaluation.targets import require_token_ids
from seqrec.interactions.histories import Histories
from seqrec.interactions.required_labels import require_labelled_targets, require_labels
from seqrec.interactions.required_times import require_request_times
from seqrec.interactions.special_tokens import PAD_ID
from seqrec.modeling.modeling_next_item import NextItemHead
from seqrec.training.streams import TrainRows, num_histories

__all__ = [
    "refuse_idle_arguments",
    "refuse_two_optimizers",
    "require_a_batch",
    "require_arguments_kind",
    "require_one_origin",
    "require_same_vocabulary",
    "require_tasks_labels",
    "require_told_times",
    "updates_sparsely",
]

MANY_ITEMS = 100_000
ONE_PASS = "compute_metrics receives all ranks at once"
OWN_PRECISION = "validation ranks in the model's own precision"
# Arguments of the library's evaluation loop, which ranking replaces: name → (allowed value, why others do nothing).
IDLE: dict[str, tuple[Any, str]] = {
    **dict.fromkeys(("batch_eval_metrics", "include_for_metrics", "prediction_loss_only"), (None, ONE_PASS)),
    **dict.fromkeys(("eval_accumulation_steps", "eval_use_gather_object"), (None, ONE_PASS)),
    **dict.fromkeys(("bf16_full_eval", "fp16_full_eval"), (None, OWN_PRECISION)),
    "label_names": (["labels"], "the collator makes the labels, and ranking needs none"),
}


def refuse_idle_arguments(args: TrainingArguments, others: Mapping[str, Any]) -> None:
    """Refuse arguments of `TrainingArguments` and `Trainer` that have no effect on ranking."""
    if others.get("preprocess_logits_for_metrics") is not None:
        raise InputError(
            "preprocess_logits_for_metrics has no effect: the trainer computes ranks, not logits. Leave it out; "
            "compute_metrics receives the ranks."
        )
    if args.ema_decay and (args.deepspeed or args.fsdp):
        raise InputError(
            f"ema_decay={args.ema_decay} cannot be used with deepspeed or fsdp, which keep only parts of the weights "
            "in each process. Leave it out."
        )
    for name, (harmless, reason) in IDLE.items():
        if getattr(args, name) and getattr(args, name) != harmless:
            raise InputError(f"{name} has no effect: {reason}. Leave it out.")


def refuse_two_optimizers(args: TrainingArguments, *given: Any) -> None:
    """Refuse an optimizer that was given in addition to one of the item table."""
    if args.item_optim != "adamw" and any(given):
        raise InputError(
            f"item_optim={args.item_optim!r} needs an optimizer of its own, but another one was given. Leave out one "
            "of them."
        )


def require_arguments_kind(args: Any) -> None:
    """Refuse anything else in the place of training arguments."""
    if not isinstance(args, TrainingArguments):
        raise InputError(f"args is of type {type(args).__name__}. Pass SequentialTrainingArguments(output_dir=…).")


def require_one_origin(model: Any, model_init: Any, optimizers: Any) -> None:
    """Refuse anything but either a model or a `model_init` with at most one argument, and optimizers of the latter."""
    if model is None and model_init is None:
        raise InputError("There is no model to train. Pass model, or model_init, a function that makes one.")
    if model is not None and model_init is not None:
        raise InputError("Both model and model_init were given. Pass one of them: model_init makes the model.")
    if model_init is None:
        return
    if number_of_arguments(model_init) > 1:
        raise InputError(
            f"model_init has {number_of_arguments(model_init)} arguments, but takes at most one: the trial, or None "
            "outside a search."
        )
    if any(optimizers or ()):
        raise InputError(
            "optimizers cannot be used with model_init, because each model needs its own. Choose the optimizer by "
            "optim and optim_args in the training arguments, or pass a model."
        )


def require_same_vocabulary(
    model: NextItemHead, tokenizer: PreTrainedTokenizerBase, train_rows: TrainRows | None
) -> None:
    """Refuse a model whose vocabulary differs in size from the tokenizer's, and histories with unknown token ids.

    The token ids of a stream are checked batch by batch; see `CheckedCollator`.
    """
    vocab_size = model.config.vocab_size
    if len(tokenizer) != vocab_size:
        raise InputError(
            f"The model has {vocab_size} tokens (config.vocab_size), but the tokenizer has {len(tokenizer)}. Create "
            "the model with vocab_size=len(tokenizer)."
        )
    if isinstance(train_rows, Histories):
        require_token_ids("input_ids", train_rows.held("input_ids"), vocab_size, lowest=PAD_ID)


def require_told_times(eval_dataset: Any, columns: Sequence[str]) -> None:
    """Refuse held-out rows, or sets of them by name, that lack the times of requests that a model is told."""
    for rows in eval_dataset.values() if isinstance(eval_dataset, Mapping) else [eval_dataset]:
        if rows is not None:
            require_request_times(rows.column_names, columns)


def require_tasks_labels(config: NextItemConfig, train_rows: TrainRows | None, eval_dataset: Any) -> None:
    """Refuse training histories from which a task cannot be learned, and held-out rows on which it cannot be measured.

    The labels of a stream are checked batch by batch; see `CheckedCollator`.
    """
    if isinstance(train_rows, Histories):
        require_labels(train_rows, config.label_tasks, config.rating_scale)
    require_labelled_targets(eval_dataset, config.label_tasks)


def updates_sparsely(config: NextItemConfig, args: Any) -> bool:
    """Return whether to update only those rows of the item embedding that a step uses.

    Raises:
        InputError: If that is requested, but the loss uses all items, or gradients are not clipped (the library then
            computes their norm in a way that does not support sparse gradients).
    """
    samples = config.loss != "cross_entropy"
    if args.sparse_item_updates is None:
        return samples and config.vocab_size > MANY_ITEMS and args.max_grad_norm > 0
    if args.sparse_item_updates and not samples:
        raise InputError(
            f"sparse_item_updates needs a loss that samples its negatives, but this model's loss is "
            f"{config.loss!r}, which uses every item. Set loss='sampled_softmax' in its configuration."
        )
    if args.sparse_item_updates and args.max_grad_norm <= 0:
        raise InputError(
            f"sparse_item_updates needs max_grad_norm above 0, but it is {args.max_grad_norm}. Set it to 1."
        )
    return args.sparse_item_updates


def require_a_batch(args: Any, train_rows: TrainRows | None) -> None:
    """Refuse data and arguments that leave no batch to train on, or no number of steps."""
    if train_rows is None:
        return
    num_rows = num_histories(train_rows)
    if num_rows is None:
        if args.max_steps <= 0:
            raise InputError(
                "train_dataset is a stream of unknown length, so max_steps must say how long to train. Set it in the "
                "training arguments, to epochs × histories ÷ per_device_train_batch_size."
            )
        return
    if num_rows == 0:
        raise InputError("There is nothing to train on: train_dataset has no rows.")
    if args.dataloader_drop_last and num_rows < args.train_batch_size * args.world_size:
        raise InputError(
            f"dataloader_drop_last would drop the only batch, which has {num_rows} of "
            f"{args.train_batch_size * args.world_size} histories. Leave it out, or use smaller batches."
        )

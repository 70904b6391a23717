"""Training arguments of sequential recommenders."""

import math
import warnings
from dataclasses import dataclass, field, fields
from difflib import get_close_matches

import torch
from transformers import TrainingArguments
from transformers.trainer_utils import HubStrategy, IntervalStrategy, SaveStrategy, SchedulerType
from transformers.training_args import OptimizerNames

from seqrec.errors import InputError
from seqrec.evaluation.task_metric_names import is_lower_better
from seqrec.training.processor import multiplies_bfloat16

__all__ = ["DEFAULT_METRIC", "SequentialTrainingArguments", "complete_arguments", "require_ranges"]

DEFAULT_METRIC = "ndcg@10"
ITEM_OPTIMIZERS = ("adamw", "rowwise_adagrad")
ITEM_DTYPES = ("float32", "bfloat16")
BY_METRIC = (SchedulerType.REDUCE_ON_PLATEAU, SchedulerType.GREEDY)

CHOICES = {
    "eval_strategy": IntervalStrategy,
    "logging_strategy": IntervalStrategy,
    "save_strategy": SaveStrategy,
    "hub_strategy": HubStrategy,
    "lr_scheduler_type": SchedulerType,
    "optim": OptimizerNames,
}
ABOVE_0 = ("learning_rate", "num_train_epochs")
LOWEST = {
    **dict.fromkeys(("per_device_train_batch_size", "per_device_eval_batch_size", "gradient_accumulation_steps"), 1),
    "save_total_limit": 1,
    **dict.fromkeys(("weight_decay", "max_grad_norm", "warmup_steps", "early_stopping_patience"), 0),
    **dict.fromkeys(("seed", "data_seed", "dataloader_num_workers", "neftune_noise_alpha"), 0),
}


@dataclass
class SequentialTrainingArguments(TrainingArguments):
    """`transformers.TrainingArguments` with defaults and additional arguments for recommenders.

    After every epoch, validation ranks the full catalogue. The epoch with the best `ndcg@10` is kept, and training
    stops after `early_stopping_patience` epochs without improvement.
    """

    output_dir: str = field(
        default="runs/model",
        metadata={"help": "Folder for the model, its metrics and card, and for checkpoints during training."},
    )
    resume_from_checkpoint: str | None = field(
        default=None,
        metadata={"help": "true to resume from the newest checkpoint in output_dir, or the path of a checkpoint."},
    )
    packing: bool = field(default=True, metadata={"help": "Pack several histories into a row instead of padding."})
    sparse_item_updates: bool | None = field(
        default=None,
        metadata={
            "help": "Update only the items used in a step (lazy AdamW). Enabled by default when negatives are "
            "sampled from a catalogue of over 100,000 items."
        },
    )
    item_optim: str = field(
        default="adamw",
        metadata={
            "help": "Optimizer of the item table: adamw, or rowwise_adagrad, which keeps one number per item, not two "
            "per weight.",
            "choices": list(ITEM_OPTIMIZERS),
        },
    )
    item_learning_rate: float | None = field(
        default=None,
        metadata={"help": "Initial learning rate of rowwise_adagrad (default: that of the other weights)."},
    )
    item_dtype: str = field(
        default="float32",
        metadata={
            "help": "Type of the divided item table: float32, or bfloat16, which takes half the memory and needs "
            "rowwise_adagrad.",
            "choices": list(ITEM_DTYPES),
        },
    )
    shard_items: bool = field(
        default=False,
        metadata={
            "help": "Divide the item table among the processes by rows, for a catalogue that does not fit on one "
            "device."
        },
    )
    exclude_seen: bool = field(default=True, metadata={"help": "Leave items in the history out of the ranking."})
    early_stopping_patience: int | None = field(
        default=10,
        metadata={"help": "Stop after this many evaluations without improvement; 0 disables early stopping."},
    )
    ema_decay: float = field(
        default=0.0,
        metadata={
            "help": "Validate and save an exponential moving average of the weights with this decay, such as 0.999; 0 "
            "disables it."
        },
    )
    license: str | None = field(
        default=None, metadata={"help": "License of the model, for its card: the Hub's identifier, such as apache-2.0."}
    )

    quiet: bool = field(default=False, metadata={"help": "Show no progress and no summary, only warnings and errors."})

    per_device_train_batch_size: int = field(default=32, metadata={"help": "Users per training batch and device."})
    per_device_eval_batch_size: int = field(default=256, metadata={"help": "Users ranked at once per device."})
    num_train_epochs: float = field(default=50, metadata={"help": "Passes over the training histories."})
    learning_rate: float = field(default=1e-3, metadata={"help": "The initial learning rate."})
    bf16: bool = field(
        default=False,
        metadata={"help": "Train in bfloat16; processors without native support use float32 instead."},
    )
    adam_beta2: float = field(default=0.98, metadata={"help": "Beta2 of AdamW (SASRec's value)."})
    eval_strategy: str = field(default="epoch", metadata={"help": "When to validate: no, steps or epoch."})
    save_strategy: str = field(default="epoch", metadata={"help": "When to save a checkpoint: no, steps or epoch."})
    logging_strategy: str = field(default="epoch", metadata={"help": "When to log: no, steps or epoch."})
    save_total_limit: int | None = field(default=1, metadata={"help": "Checkpoints to keep in addition to the best."})
    restore_callback_states_from_checkpoint: bool = field(
        default=True, metadata={"help": "Whether a resumed training continues to count its early-stopping patience."}
    )
    load_best_model_at_end: bool = field(default=True, metadata={"help": "Load the best model at the end of training."})
    metric_for_best_model: str | None = field(
        default=DEFAULT_METRIC,
        metadata={
            "help": "Metric that selects the best checkpoint: hr, ndcg, mrr, recall, precision or map at any list "
            "length, such as hr@20; or one of a task, such as rating_rmse or like_auc."
        },
    )
    greater_is_better: bool | None = field(
        default=True, metadata={"help": "Whether higher values are better (false for errors and losses of tasks)."}
    )

    def __post_init__(self) -> None:
        if not torch.accelerator.is_available():
            self.use_cpu = True  # otherwise the library refuses bfloat16, which CPUs support too
            self.dataloader_pin_memory = False  # useless without a GPU, and torch would warn
        require_choices(self)
        require_ranges(self)
        if self.bf16 and self.use_cpu and not multiplies_bfloat16():
            warnings.warn(
                "This processor has no instructions for bfloat16, so bf16 would be many times slower than float32. "
                "Training in float32 instead.",
                stacklevel=2,
            )
            self.bf16 = False
        follow_metric(self)
        if self.quiet:
            self.disable_tqdm = True
        super().__post_init__()


def require_choices(arguments: TrainingArguments) -> None:
    """Refuse a value that is none of those of its enumeration, by name: the library's own error does not name it."""
    for name, kind in CHOICES.items():
        value = getattr(arguments, name)
        known = [one.value for one in kind]
        if getattr(value, "value", value) not in known:
            near = get_close_matches(str(value), known, n=1)
            advice = f"Did you mean {near[0]!r}?" if near else f"Choose one of: {', '.join(known)}."
            raise InputError(f"{name}={value!r} is unknown. {advice}")


def follow_metric(arguments: TrainingArguments) -> None:
    """Write the metric that selects the best checkpoint without "eval_"; a lower error or loss of a task is better."""
    if arguments.metric_for_best_model is not None:
        arguments.metric_for_best_model = arguments.metric_for_best_model.removeprefix("eval_")
        if is_lower_better(arguments.metric_for_best_model):
            arguments.greater_is_better = False


def complete_arguments(arguments: TrainingArguments, *, has_own_metrics: bool) -> None:
    """Give plain `TrainingArguments` the fields of `SequentialTrainingArguments` that they lack, in place.

    Values that are set stay as they are. Early stopping is off, since only the default of our own class turns it on.
    If a checkpoint has to be selected and no metric was given (the library then fills in "loss"), `ndcg@10` selects it.

    Args:
        arguments: The training arguments.
        has_own_metrics: Whether the user's `compute_metrics` adds metrics, which may include a "loss".
    """
    names = {one.name for one in fields(TrainingArguments)}
    for own in fields(SequentialTrainingArguments):
        if own.name not in names and not hasattr(arguments, own.name):
            setattr(arguments, own.name, None if own.name == "early_stopping_patience" else own.default)
    if not isinstance(arguments, SequentialTrainingArguments):
        unset = (None, "loss") if arguments.save_strategy == SaveStrategy.BEST else ("loss",)
        if arguments.metric_for_best_model in unset and not has_own_metrics:
            arguments.metric_for_best_model, arguments.greater_is_better = DEFAULT_METRIC, True
        if not torch.accelerator.is_available():
            arguments.dataloader_pin_memory = False  # useless without a GPU, and torch would warn
    follow_metric(arguments)
    # These schedulers would otherwise lower the learning rate while the metric rises.
    if arguments.lr_scheduler_type in BY_METRIC and arguments.greater_is_better:
        arguments.lr_scheduler_kwargs = {
            "mode": "max",
            **(arguments.lr_scheduler_kwargs or {}),
        }


def require_ranges(arguments: TrainingArguments) -> None:
    """Raise an `InputError` for numbers that are not finite or out of range."""
    if arguments.label_smoothing_factor:
        raise InputError(
            f"label_smoothing_factor={arguments.label_smoothing_factor} cannot be used: it would give probability to "
            "special tokens, which are never recommended. Leave it out."
        )
    if not 0 <= arguments.ema_decay < 1:
        raise InputError(f"ema_decay={arguments.ema_decay} must be at least 0 and below 1, such as 0.999.")
    for name, known in (("item_optim", ITEM_OPTIMIZERS), ("item_dtype", ITEM_DTYPES)):
        if getattr(arguments, name) not in known:
            raise InputError(f"{name}={getattr(arguments, name)!r} is unknown. Choose one of: {', '.join(known)}.")
    if arguments.item_dtype == "bfloat16" and not (arguments.shard_items and arguments.item_optim != "adamw"):
        raise InputError(
            "item_dtype='bfloat16' needs shard_items=True and item_optim='rowwise_adagrad'. Set both, or leave it out."
        )
    if arguments.item_learning_rate is not None and arguments.item_optim == "adamw":
        raise InputError(
            f"item_learning_rate={arguments.item_learning_rate} has no effect with item_optim='adamw'. Leave it out, "
            "or set item_optim='rowwise_adagrad'."
        )
    for name in (*ABOVE_0, *(() if arguments.item_learning_rate is None else ("item_learning_rate",))):
        if not 0 < getattr(arguments, name) < math.inf:
            raise InputError(f"{name}={getattr(arguments, name)} must be above 0.")
    for name, lowest in LOWEST.items():
        value = getattr(arguments, name)
        if value is not None and not lowest <= value < math.inf:
            raise InputError(f"{name}={value} must be at least {lowest}.")

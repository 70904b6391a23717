"""Find checkpoints that a training can resume from, and check that the same training left them."""

import hashlib
import json
import math
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from torch.utils.data import IterableDataset
from transformers import PreTrainedTokenizerBase, TrainingArguments
from transformers.trainer import OPTIMIZER_NAME, SCHEDULER_NAME, TRAINER_STATE_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
from transformers.utils import SAFE_WEIGHTS_NAME

from seqrec.configuration.config_fields import SCORING, TRAINING, names_for
from seqrec.configuration.configuration_next_item import NextItemConfig
from seqrec.errors import InputError, SavedFolderError
from seqrec.hub.json_objects import read_json_object
from seqrec.hub.weights_hash import weight_files
from seqrec.interactions.histories import Histories, as_histories
from seqrec.interactions.label_names import CLICK, target_key
from seqrec.modeling.modeling_auto import MODEL_TYPES
from seqrec.modeling.weight_files import read_tensors

__all__ = [
    "ITEM_STATES",
    "checkpoints_in",
    "complete_checkpoints",
    "is_ours",
    "require_same_training",
    "training_settings",
    "what_is_missing",
    "write_settings",
]

SETTINGS_NAME = "training_settings.json"
ITEM_STATES = "item_optimizer"  # a folder: the optimizer's states of items that are divided among processes
HASHED_EVENTS = 2**22  # events hashed at once
# Training arguments that determine the weights, or which weights are the best.
DECISIVE_ARGUMENTS = (
    *("learning_rate", "lr_scheduler_type", "lr_scheduler_kwargs", "warmup_steps", "weight_decay", "max_grad_norm"),
    *("optim", "optim_args", "adam_beta1", "adam_beta2", "adam_epsilon", "num_train_epochs", "max_steps"),
    *("per_device_train_batch_size", "gradient_accumulation_steps", "train_sampling_strategy", "seed", "data_seed"),
    *("bf16", "fp16", "packing", "sparse_item_updates", "exclude_seen", "metric_for_best_model", "greater_is_better"),
    *("ema_decay", "shard_items", "item_optim", "item_learning_rate", "item_dtype"),
)
BATCH_SIZES = ("num_processes", "per_device_train_batch_size", "gradient_accumulation_steps")


def training_settings(
    config: NextItemConfig,
    arguments: TrainingArguments,
    tokenizer: PreTrainedTokenizerBase,
    train_rows: Histories | Dataset | IterableDataset | None,
    eval_rows: Histories | Dataset | Mapping[str, Histories | Dataset] | None,
) -> dict[str, Any]:
    """Collect what determines the result of a training, to distinguish its checkpoints from other trainings'.

    Args:
        config: The model's configuration.
        arguments: The training arguments.
        tokenizer: The vocabulary.
        train_rows: Training histories; a stream is not read.
        eval_rows: Held-out histories with a `target` each: one set, or several by name.

    Returns:
        Plain values by name; large ones as their SHA-256.
    """
    values = arguments.to_sanitized_dict()
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda entry: entry[1])
    eval_sets = eval_rows if isinstance(eval_rows, Mapping) else {"": eval_rows}
    return {
        "model_type": config.model_type,
        **{name: getattr(config, name) for name in sorted(names_for(config, (*SCORING, *TRAINING)))},
        **{name: values.get(name, getattr(arguments, name)) for name in DECISIVE_ARGUMENTS if hasattr(arguments, name)},
        "num_processes": arguments.world_size,
        "vocabulary_sha256": hashlib.sha256(json.dumps(vocabulary).encode()).hexdigest(),
        "train_sha256": rows_sha256(
            None if isinstance(train_rows, IterableDataset) else train_rows, config.data_columns
        ),
        **{
            "_".join(filter(None, ("eval", name, "sha256"))): held_out_sha256(rows, config)
            for name, rows in eval_sets.items()
        },
    }


def held_out_sha256(rows: Histories | Dataset | None, config: NextItemConfig) -> str | None:
    """Hash held-out rows, with the labels of their targets if there are any; None without rows."""
    if rows is None:
        return None
    labels = [name for name in map(target_key, config.label_tasks) if name in rows.column_names]
    return rows_sha256(rows, [*config.event_columns, "target", *labels])


def rows_sha256(rows: Histories | Dataset | None, columns: Sequence[str]) -> str | None:
    """Hash columns of histories, regardless of how they are stored; None without histories."""
    if rows is None:
        return None
    digest = hashlib.sha256()
    for part in as_histories(rows, columns).parts(HASHED_EVENTS):
        events, lengths = part.compact([name for name in columns if name not in part.rows])
        by_row = {name: part.rows[name] for name in columns if name in part.rows}
        for values in ({"": lengths} | events | by_row).values():
            digest.update(values.astype(np.int64 if values.dtype.kind in "iu" else np.float64).tobytes())
        if CLICK in columns and part.impressions is not None:
            events, lengths = part.impressions.compact()
            for values in (lengths, *events.values()):
                digest.update(values.astype(np.int64).tobytes())
    return digest.hexdigest()


def write_settings(checkpoint: Path, settings: Mapping[str, Any]) -> None:
    """Write a training's settings into a checkpoint, before its other files."""
    checkpoint.mkdir(parents=True, exist_ok=True)
    text = json.dumps(settings, indent=2, default=str) + "\n"
    (checkpoint / SETTINGS_NAME).write_text(text, encoding="utf-8")


def require_same_training(checkpoint: Path, settings: Mapping[str, Any]) -> None:
    """Refuse a checkpoint of a training with other settings, data or vocabulary.

    Raises:
        InputError: If anything differs.
        SavedFolderError: If the checkpoint's settings are missing or damaged.
    """
    made = read_json_object(str(checkpoint / SETTINGS_NAME))
    wanted = json.loads(json.dumps(settings, default=str))
    differing = [name for name in {**made, **wanted} if made.get(name) != wanted.get(name)]
    if differs_in_processes_alone(differing, made, wanted):
        return
    if differing:
        raise InputError(
            f"{checkpoint} was left by another training: {describe_difference(differing, made, wanted)}. Resume with "
            "the same data and settings, or start a new training from its weights with "
            f"model_name_or_path={str(checkpoint)!r} and another `output_dir`."
        )


def differs_in_processes_alone(differing: list[str], made: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Return whether other numbers of processes, at least 2, take steps of the same histories.

    They draw other random numbers, such as those of dropout.
    """
    numbers = made.get("num_processes") or 1, wanted["num_processes"]
    if "num_processes" not in differing or not set(differing) <= set(BATCH_SIZES) or min(numbers) < 2:
        return False
    return math.prod(made.get(name, 1) for name in BATCH_SIZES) == math.prod(wanted[name] for name in BATCH_SIZES)


def describe_difference(names: list[str], made: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """Describe the differences, with words for hashes."""
    words = {
        "vocabulary_sha256": "its vocabulary has other items",
        "train_sha256": "it was trained on other histories",
    }
    parts = [
        words.get(name)
        or (
            "it was validated on other rows"
            if name.endswith("_sha256")
            else describe_change(name, made, wanted.get(name))
        )
        for name in names
    ]
    return "; ".join(dict.fromkeys(parts))


def describe_change(name: str, made: Mapping[str, Any], now: Any) -> str:
    """Describe a setting that differs, or that an earlier version did not record."""
    if name not in made:
        return f"an earlier version of seqrec did not record {name}, which is now {now!r}"
    return f"{name} was {made[name]!r} and is now {now!r}"


def checkpoints_in(folder: Path) -> list[Path]:
    """List the checkpoints in a job's output folder, oldest first."""
    found = [path for path in folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*") if path.is_dir() and step_of(path) >= 0]
    return sorted(found, key=step_of)


def complete_checkpoints(folder: Path) -> list[Path]:
    """List the checkpoints in a job's output folder that a training can resume from, oldest first."""
    return [checkpoint for checkpoint in checkpoints_in(folder) if what_is_missing(checkpoint) is None]


def step_of(checkpoint: Path) -> int:
    """Return the optimizer step in the name of a checkpoint; −1 for a folder of another name."""
    number = checkpoint.name.removeprefix(f"{PREFIX_CHECKPOINT_DIR}-")
    return int(number) if number.isdecimal() else -1


def is_ours(folder: Path) -> bool:
    """Return whether a folder holds a model of seqrec, or a checkpoint of its training."""
    if (folder / SETTINGS_NAME).is_file():
        return True
    return (read_json(folder / "config.json") or {}).get("model_type") in MODEL_TYPES


def what_is_missing(checkpoint: Path) -> str | None:
    """Return the name of a file that a checkpoint lacks or that is incomplete; None if the checkpoint is complete."""
    for name in (SETTINGS_NAME, TRAINER_STATE_NAME):
        if read_json(checkpoint / name) is None:
            return name
    if not has_whole_weights(checkpoint):
        return SAFE_WEIGHTS_NAME
    for pattern in (OPTIMIZER_NAME, SCHEDULER_NAME, "rng_state*.pth"):
        paths = list(checkpoint.glob(pattern))
        if not paths or not all(
            map(zipfile.is_zipfile, paths)
        ):  # torch writes ZIP archives, which end with their directory
            return pattern
    if (checkpoint / ITEM_STATES).exists() and not (checkpoint / ITEM_STATES / ".metadata").is_file():
        return ITEM_STATES
    return None


def has_whole_weights(folder: Path) -> bool:
    """Return whether all weight files of a model, or of an adapter, exist and are complete."""
    try:
        files = weight_files(folder)
        return bool(files) and all(read_tensors(path) for path in files)
    except SavedFolderError:
        return False


def read_json(path: Path) -> dict[str, Any] | None:
    """Read a JSON object; None if the file does not hold one."""
    try:
        return read_json_object(str(path))
    except SavedFolderError:
        return None

"""The whole job: from a data set's name to a trained, evaluated, saved and documented model."""

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from transformers import set_seed

from seqrec.data.preparation import DataArguments, PreparedData, prepare
from seqrec.evaluation.report import LIST_LENGTH, measure
from seqrec.hub.card_tables import without_folders
from seqrec.hub.model_card import CURVE, METRICS, portable_command
from seqrec.modeling.modeling_auto import MODEL_TYPES, AutoModelForNextItem
from seqrec.training.arguments import SequentialTrainingArguments
from seqrec.training.curve import save_training_curve
from seqrec.training.output_folder import remove_checkpoints, resume_point
from seqrec.training.provenance import estimated_energy, hardware, versions
from seqrec.training.starting_point import load_starting_point
from seqrec.training.trainer import SequentialTrainer

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainedModel:
    """What a job leaves: the trainer with the best model, the data, and the content of `metrics.json`."""

    trainer: SequentialTrainer
    data: PreparedData
    metrics: dict[str, Any]


def train(
    data_arguments: DataArguments,
    training_arguments: SequentialTrainingArguments,
    *,
    model_type: str = "sasrec",
    config_fields: Mapping[str, Any] | None = None,
    model_name_or_path: str | None = None,
    model_revision: str | None = None,
    overwrite: bool = False,
    command: str | None = None,
) -> TrainedModel:
    """Train a model, choose its best epoch by validation, measure it once on test, and save everything.

    Args:
        data_arguments: Which interactions, and how they are split.
        training_arguments: How to train, and where to save (`output_dir`).
        model_type: Architecture, a key of `MODEL_TYPES`.
        config_fields: Fields of its configuration that differ from the defaults.
        model_name_or_path: A saved model, or a repository of the Hub, to train on in place of a new model. Its
            architecture, configuration and vocabulary stay; of `config_fields`, those of training may change.
        model_revision: Which revision of that repository.
        overwrite: Whether a model already in `output_dir` may be replaced.
        command: The command line that started the job, for the card, which leaves out its folders and secrets.

    Raises:
        ValueError: On an unknown model type, unusable interactions, or an `output_dir` that holds a model; on
            items that the model to train on does not know.
    """
    if model_type not in MODEL_TYPES:
        raise ValueError(f"There is no model_type {model_type!r}. Choose one of: {', '.join(sorted(MODEL_TYPES))}.")
    checkpoint = resume_point(
        Path(training_arguments.output_dir), training_arguments.resume_from_checkpoint, overwrite=overwrite
    )
    set_seed(training_arguments.seed)
    if model_name_or_path is not None:
        start = load_starting_point(model_name_or_path, revision=model_revision, config_fields=config_fields)
        data = prepare(data_arguments, start.tokenizer, refuse_unknown=True)
        data = replace(data, items=start.keep_titles(data.items))
        model = start.model
    else:
        data = prepare(data_arguments)
        config = MODEL_TYPES[model_type](vocab_size=len(data.tokenizer), **(config_fields or {}))
        model = AutoModelForNextItem.from_config(config)
    trainer = SequentialTrainer(
        model,
        training_arguments,
        processing_class=data.tokenizer,
        train_dataset=data.sequences["train"],
        eval_dataset=data.sequences["validation"],
        items=data.items,
    )
    began = time.perf_counter()
    trainer.train(resume_from_checkpoint=checkpoint)
    seconds = time.perf_counter() - began
    metrics = measure(
        lambda dataset: trainer.rank(dataset, LIST_LENGTH), data, exclude_seen=training_arguments.exclude_seen
    )
    metrics["training"] = {**describe_training(trainer, seconds, command), "resumed": checkpoint is not None}
    save(trainer, metrics)
    return TrainedModel(trainer, data, metrics)


def describe_training(trainer: SequentialTrainer, seconds: float, command: str | None) -> dict[str, Any]:
    """Gather what somebody needs to know, or to do it again."""
    state = trainer.state
    metric = f"eval_{trainer.args.metric_for_best_model}"
    evaluations = [entry for entry in state.log_history if metric in entry]
    best = max(evaluations, key=lambda entry: entry[metric], default=None)
    return {
        "seconds": round(seconds, 1),
        "num_epochs": state.epoch,
        "best_epoch": best["epoch"] if best else None,
        "num_parameters": trainer.model.num_parameters(),
        "command": command and portable_command(command),
        "hardware": hardware(trainer.args),
        "estimated_energy": estimated_energy(trainer.args, seconds),
        "versions": versions(),
        "license": trainer.args.license,
        "base_model": trainer.base_model,
        "arguments": changed_arguments(trainer.args),
    }


def changed_arguments(arguments: SequentialTrainingArguments) -> dict[str, Any]:
    """Pick the training arguments that decide the result, and those that differ from their defaults."""
    always = {"seed", "learning_rate", "num_train_epochs", "per_device_train_batch_size", "lr_scheduler_type"}
    private = {"output_dir", "run_name", "hub_token", "resume_from_checkpoint", "push_to_hub_token"}
    told_elsewhere = {"license", "disable_tqdm"}  # or of no consequence
    values = arguments.to_sanitized_dict()
    defaults = SequentialTrainingArguments(output_dir=arguments.output_dir).to_sanitized_dict()
    return {
        name: without_folders(value) if isinstance(value, str) else value
        for name, value in values.items()
        if name in always or (name not in private | told_elsewhere and value != defaults.get(name))
    }


def save(trainer: SequentialTrainer, metrics: Mapping[str, Any]) -> None:
    """Write the metrics, the training curve, the model and the card, and push them if the arguments say so.

    Then no checkpoint is needed any more.
    """
    folder = Path(trainer.args.output_dir)
    if trainer.is_world_process_zero():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / METRICS).write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
        save_training_curve(trainer.state.log_history, folder / CURVE)
    trainer.save_model()  # pushes it too, if that is asked for, with all that lies there by now
    trainer.create_model_card()
    if trainer.is_world_process_zero():
        remove_checkpoints(folder)

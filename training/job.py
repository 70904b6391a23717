"""The complete job: from a data set's name to a trained, evaluated, saved and documented model."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from transformers import set_seed

from seqrec.errors import InputError, NonFiniteError
from seqrec.evaluation.baseline_warning import BASELINE_WARNING, baseline_warning
from seqrec.evaluation.evaluator import Ranking
from seqrec.evaluation.report import LIST_LENGTH, measure
from seqrec.evaluation.targets import warn_of_repeats
from seqrec.evaluation.task_evaluator import calibrations
from seqrec.evaluation.task_report import measure_tasks
from seqrec.evaluation.task_rows import rows_with_outcomes
from seqrec.hub.card_tables import without_folders
from seqrec.hub.model_card import CURVE, ITEM_MAP, METRICS, RELIABILITY_PICTURE, SLICES_PICTURE
from seqrec.hub.portable_command import portable_command
from seqrec.hub.saved_folder import saved_columns
from seqrec.hub.staging import staged
from seqrec.hub.weights_hash import weights_sha256
from seqrec.inference.item_map_picture import save_item_map
from seqrec.inference.samples import sample_recommendations
from seqrec.interactions.data_arguments import HELD_OUT, DataArguments
from seqrec.interactions.preparation import prepare
from seqrec.interactions.prepared_sets import PreparedData
from seqrec.interactions.whole_files import write_text_whole
from seqrec.modeling.modeling_auto import MODEL_TYPES, AutoModelForNextItem
from seqrec.modeling.modeling_next_item import NextItemHead
from seqrec.training.arguments import SequentialTrainingArguments
from seqrec.training.checkpoints import complete_checkpoints
from seqrec.training.chosen_defaults import ChosenDefaults, choose_defaults
from seqrec.training.curve import save_training_curve
from seqrec.training.early_checks import check_settings
from seqrec.training.lean_tables import drawing_own_rows
from seqrec.training.output_folder import claimed, remove_checkpoints, resume_point
from seqrec.training.progress import shows_lines
from seqrec.training.progress_text import start_of_training
from seqrec.training.provenance import estimated_energy, hardware, versions
from seqrec.training.reliability_picture import save_reliability_picture
from seqrec.training.row_sharing import computed_once
from seqrec.training.slices_picture import save_slices_picture
from seqrec.training.starting_point import GrowingModel, load_starting_point, require_one_start
from seqrec.training.task_setup import fit_label_means, with_rating_scale
from seqrec.training.terminal import line_width, tell, without_library_bars
from seqrec.training.trainer import SequentialTrainer
from seqrec.training.transfer import Source, load_source

__all__ = ["TrainedModel", "conclude", "load_model_and_data", "new_model", "run_job"]


@dataclass(frozen=True)
class TrainedModel:
    """The result of a job: the trainer with the best model, the data, and the content of `metrics.json`."""

    trainer: SequentialTrainer
    data: PreparedData
    metrics: dict[str, Any]


def run_job(
    data_arguments: DataArguments,
    training_arguments: SequentialTrainingArguments,
    *,
    interactions: Any = None,
    items: Any = None,
    model_type: str = "sasrec",
    config_fields: Mapping[str, Any] | None = None,
    given: Mapping[str, Any] | None = None,
    model_name_or_path: str | None = None,
    init_from: str | None = None,
    model_revision: str | None = None,
    overwrite: bool = False,
    command: str | None = None,
) -> TrainedModel:
    """Train a model, select its best epoch by validation, evaluate it once on test, and save everything.

    Args:
        data_arguments: Which interactions to use, and how to split them.
        training_arguments: How to train, and where to save (`output_dir`).
        interactions: A frame of interactions, instead of the data set that `data_arguments` names.
        items: A frame with `item_id`, `title` and the columns of item features, instead of the file that
            `data_arguments` names.
        model_type: Architecture, a key of `MODEL_TYPES`.
        config_fields: Fields of its configuration that differ from the defaults.
        given: The settings that were given, by name, those of `config_fields` included; `default_rule` chooses the
            others for the data. None to choose none, and to train exactly as the other arguments say.
        model_name_or_path: Folder or Hub repository of a model to fine-tune, instead of training from scratch. Its
            architecture, configuration, vocabulary and item features are kept; `config_fields` may change those that
            only training reads. If it reads item features, unknown items are added first, by their features.
        init_from: Folder or Hub repository of a model of another catalogue, whose network and feature encoders the new
            model starts with. Its architecture is kept; `config_fields` may change only what its weights do not depend
            on, such as `item_id_embedding`.
        model_revision: Revision of either repository.
        overwrite: Whether to replace a model or checkpoints that `output_dir` already holds.
        command: The command line, or the call in Python, that started the job, for the card, which leaves out its
            folders and secrets.

    Raises:
        InputError: On an unknown model type, unusable interactions, a mistyped path, or items that the model to
            fine-tune does not know and that cannot be added (see `Recommender.add_items`); if the model to start from
            is named twice, or its weights depend on a field that differs; if `output_dir` holds a model or other
            people's files, or is in use by another training; or if another training left the checkpoint to resume from.
        SavedFolderError: If the prepared set, the model to fine-tune or the checkpoint is incomplete or damaged.
        HubError: If the Hub refuses.
        HubConnectionError: If the Hub cannot be reached, or fails.
        NonFiniteError: If the training diverges.
    """
    if model_type not in MODEL_TYPES:
        raise InputError(f"There is no model_type {model_type!r}. Choose one of: {', '.join(sorted(MODEL_TYPES))}.")
    start = require_one_start(model_name_or_path, init_from)
    config = MODEL_TYPES[model_type](**(config_fields or {})) if start is None else None
    check_settings(training_arguments, config)
    folder = Path(training_arguments.output_dir)
    with claimed(folder) if training_arguments.process_index == 0 else nullcontext(), without_library_bars():
        checkpoint = resume_point(folder, training_arguments.resume_from_checkpoint, overwrite=overwrite)
        set_seed(training_arguments.seed)
        model, data, chosen = load_model_and_data(
            data_arguments,
            partial(prepare, interactions=interactions, items=items),
            model_type,
            dict(config_fields or {}),
            training_arguments,
            given,
            model_name_or_path=model_name_or_path,
            init_from=init_from,
            model_revision=model_revision,
        )
        training_arguments = chosen.of_training(training_arguments)
        trainer = SequentialTrainer(
            model,
            training_arguments,
            processing_class=data.tokenizer,
            train_dataset=data.sequences["train"],
            eval_dataset=data.sequences["validation"],
            eval_impressions=data.sequences.get("validation_impressions"),
            items=data.items,
            features=data.features,
        )
        trainer.init_from = init_from
        warn_of_repeats(data.sequences["validation"], exclude_seen=training_arguments.exclude_seen)
        if shows_lines(trainer.args):
            tell(start_of_training(trainer, data.protocol, is_new=model_name_or_path is None, width=line_width()))
            if chosen.describe():
                tell(chosen.describe())
        began = time.perf_counter()
        run(trainer, checkpoint)
        seconds = time.perf_counter() - began
        return conclude(trainer, data, seconds, command, resumed=checkpoint is not None, defaults=chosen)


def conclude(
    trainer: SequentialTrainer,
    data: PreparedData,
    seconds: float,
    command: str | None,
    *,
    resumed: bool = False,
    defaults: ChosenDefaults | None = None,
    sections: Mapping[str, Any] | None = None,
) -> TrainedModel:
    """Calibrate a trained model, evaluate it, once on test, and save it with its metrics and card.

    Args:
        trainer: The trainer with the best model.
        data: What it was trained on.
        seconds: How long that took.
        command: As in `run_job`.
        resumed: Whether the training was resumed, so that the time is that of its last part.
        defaults: The settings that were chosen for the data.
        sections: Further sections of `metrics.json`.
    """
    trainer.calibrate(rows_with_outcomes(data.sequences, "validation"))
    rankings = [trainer.rank(data.sequences[split], LIST_LENGTH) for split in HELD_OUT]
    metrics = computed_once(trainer.args, partial(measure_all, trainer, data, rankings))
    config = trainer.bare_model.config
    if config.label_tasks:
        metrics["tasks"] = measure_tasks(
            trainer.predict_targets,
            data,
            tasks=config.label_tasks,
            calibration=calibrations(trainer.bare_model),
            rating_scale=config.rating_scale,
            past_labels=config.past_labels,
        )
    metrics["training"] = {**describe_training(trainer, seconds, command), "resumed": resumed}
    if defaults is not None and defaults.choices:
        metrics["defaults"] = defaults.record()
    metrics |= sections or {}
    warning = baseline_warning(metrics)
    if warning is not None:
        metrics[BASELINE_WARNING] = warning
    metrics["samples"] = computed_once(trainer.args, partial(samples, trainer, data))
    save(trainer, metrics)
    return TrainedModel(trainer, data, metrics)


def measure_all(trainer: SequentialTrainer, data: PreparedData, rankings: Sequence[Ranking]) -> dict[str, Any]:
    """Compute the metrics of the model, from its rankings of the held-out splits, and of the baselines."""
    model, of_model = trainer.bare_model, iter(rankings)
    has_vectors = trainer.sharded_items is None
    return measure(
        lambda _: next(of_model),
        data,
        exclude_seen=trainer.args.exclude_seen,
        request_protocol=model.config.request_protocol,
        vectors_VD=model.item_vectors().float().numpy(force=True) if has_vectors else None,
    )


def samples(trainer: SequentialTrainer, data: PreparedData) -> list[dict[str, list[dict[str, str | None]]]]:
    """Recommend for the card; a model whose items are divided among processes cannot."""
    if trainer.sharded_items is not None:
        return []
    return sample_recommendations(
        trainer.bare_model,
        data.tokenizer,
        data.items,
        exclude_seen=trainer.args.exclude_seen,
        last_day=data.protocol.get("period", [None])[-1],
    )


def load_model_and_data(
    arguments: DataArguments,
    prepare_data: Callable[..., PreparedData],
    model_type: str,
    config_fields: Mapping[str, Any],
    training_arguments: SequentialTrainingArguments,
    given: Mapping[str, Any] | None,
    *,
    model_name_or_path: str | None = None,
    init_from: str | None = None,
    model_revision: str | None = None,
) -> tuple[NextItemHead, PreparedData, ChosenDefaults]:
    """Load the model to fine-tune and encode the data with its vocabulary, or make a new model for the data.

    Returns:
        The model, the data, and the settings that were chosen for them, because they were left alone.
    """
    starts = {"model_name_or_path": model_name_or_path, "init_from": init_from, "model_revision": model_revision}
    if require_one_start(model_name_or_path, init_from) is not None:
        model, data = started_model(arguments, prepare_data, config_fields, **starts)
        chosen = choose_defaults(data, model.config.model_type, training_arguments, given, keeps_model=True)
        return model, data, chosen
    data = prepare_data(arguments, event_columns=MODEL_TYPES[model_type](**config_fields).data_columns)
    chosen = choose_defaults(data, model_type, training_arguments, given)
    with drawing_own_rows(len(data.tokenizer), training_arguments):
        return new_model(data, model_type, {**chosen.config_fields, **config_fields}), data, chosen


def started_model(
    arguments: DataArguments,
    prepare_data: Callable[..., PreparedData],
    config_fields: Mapping[str, Any],
    *,
    model_name_or_path: str | None,
    init_from: str | None,
    model_revision: str | None,
) -> tuple[NextItemHead, PreparedData]:
    """Load the model to fine-tune, or make one that starts with the weights of another, and prepare its data."""
    if init_from is not None:
        return transferred_model(arguments, prepare_data, config_fields, load_source(init_from, model_revision))
    assert model_name_or_path is not None
    start = load_starting_point(model_name_or_path, revision=model_revision, config_fields=config_fields)
    growing = None if start.features is None else GrowingModel(start, arguments.item_text_model)
    data = prepare_data(
        arguments,
        start.tokenizer,
        refuse_unknown=True,
        growing=growing,
        event_columns=start.model.config.data_columns,
        remembered=saved_columns(model_name_or_path, revision=model_revision),
    )
    start = start if growing is None else growing.saved
    items = data.items.with_descriptions_of(start.items).with_hidden_of(start.items)
    return start.model, replace(data, items=items, features=start.features, feature_values={})


def transferred_model(
    arguments: DataArguments,
    prepare_data: Callable[..., PreparedData],
    config_fields: Mapping[str, Any],
    source: Source,
) -> tuple[NextItemHead, PreparedData]:
    """Make a model for the items of the data that starts with the weights of a model of another catalogue."""
    fields = source.config_fields(config_fields)
    data = prepare_data(
        source.data_arguments(arguments),
        earlier_features=source.saved.features,
        event_columns=MODEL_TYPES[source.model_type](**fields).data_columns,
    )
    return new_model(data, source.model_type, fields, source), data


def new_model(
    data: PreparedData, model_type: str, config_fields: Mapping[str, Any], source: Source | None = None
) -> NextItemHead:
    """Make a model for the items of the data, with their features, and optionally with the weights of another model."""
    train = data.sequences["train"]
    fields = with_rating_scale(config_fields, train)
    if data.features is not None:
        fields = {"item_id_embedding": "bounded", **fields, "item_features": data.features.config_entry()}
    config = MODEL_TYPES[model_type](vocab_size=len(data.tokenizer), **fields)
    model = AutoModelForNextItem.from_config(config)
    fit_label_means(model, train)
    if source is not None:
        source.give_weights(model, data.features)
    if data.features is not None:
        model.set_feature_values(data.feature_values)
    return model


def run(trainer: SequentialTrainer, checkpoint: str | None) -> None:
    """Train; if training diverges, name the last good checkpoint in the error."""
    try:
        trainer.train(resume_from_checkpoint=checkpoint)
    except NonFiniteError as error:
        kept = complete_checkpoints(Path(trainer.args.output_dir))
        left = f"The last good checkpoint is {kept[-1]}." if kept else "There was no checkpoint yet."
        raise NonFiniteError(f"{error} {left}") from error


def describe_training(trainer: SequentialTrainer, seconds: float, command: str | None) -> dict[str, Any]:
    """Collect what people need to understand or reproduce the training."""
    state = trainer.state
    metric = f"eval_{trainer.args.metric_for_best_model}"
    evaluations = [entry for entry in state.log_history if metric in entry]
    choose = max if trainer.args.greater_is_better is not False else min
    best = choose(evaluations, key=lambda entry: entry[metric], default=None)
    return {
        "seconds": round(seconds, 1),
        "num_epochs": state.epoch,
        "best_epoch": best["epoch"] if best else None,
        "num_parameters": trainer.num_weights(),
        "command": command and portable_command(command),
        "hardware": hardware(trainer.args),
        "estimated_energy": estimated_energy(trainer.args, seconds),
        "versions": versions(),
        "license": trainer.args.license,
        "base_model": trainer.base_model,
        "arguments": changed_arguments(trainer.args),
    }


def changed_arguments(arguments: SequentialTrainingArguments) -> dict[str, Any]:
    """Select the training arguments that determine the result, and those that differ from their defaults."""
    always = {"seed", "learning_rate", "num_train_epochs", "per_device_train_batch_size", "lr_scheduler_type"}
    private = {"output_dir", "run_name", "hub_token", "resume_from_checkpoint", "push_to_hub_token"}
    told_elsewhere = {"license", "disable_tqdm", "quiet"}  # or without effect on the result
    values = arguments.to_sanitized_dict()
    defaults = SequentialTrainingArguments(output_dir=arguments.output_dir).to_sanitized_dict()
    return {
        name: without_folders(value) if isinstance(value, str) else value
        for name, value in values.items()
        if name in always or (name not in private | told_elsewhere and value != defaults.get(name))
    }


def save(trainer: SequentialTrainer, metrics: dict[str, Any]) -> None:
    """Save the model, its metrics, pictures and card atomically, and push them if the arguments say so.

    Checkpoints are then deleted.
    """
    folder = Path(trainer.args.output_dir)
    if not trainer.is_world_process_zero():
        trainer.save_model(_internal_call=True)  # needed if weights are gathered from all processes
        return
    with staged(folder) as stage:
        trainer.save_model(str(stage), _internal_call=True)
        metrics["weights_sha256"] = weights_sha256(stage)
        write_text_whole(stage / METRICS, json.dumps(metrics, indent=2) + "\n")
        save_training_curve(trainer.state.log_history, stage / CURVE, trainer.args.metric_for_best_model or "ndcg@10")
        save_slices_picture(metrics, stage / SLICES_PICTURE)
        save_reliability_picture(metrics, stage / RELIABILITY_PICTURE)
        if trainer.items is not None and trainer.sharded_items is None:
            save_item_map(trainer.bare_model, trainer.items, stage / ITEM_MAP)
        trainer.create_model_card(folder=stage)
    if trainer.args.push_to_hub:
        trainer.push_saved("Model save")
    remove_checkpoints(folder)

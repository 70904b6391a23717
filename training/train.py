"""Train a recommender in one call, from a frame or a data set's name."""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from tempfile import TemporaryDirectory
from typing import Any

import torch

from seqrec.errors import InputError, NonFiniteError
from seqrec.evaluation.baseline_warning import BASELINE_WARNING
from seqrec.hub.saved_folder import load_record
from seqrec.inference.recommender import Recommender
from seqrec.interactions.data_arguments import COLUMN_FIELDS, DataArguments
from seqrec.interactions.one_line import one_line
from seqrec.training.arguments import SequentialTrainingArguments
from seqrec.training.device_choice import device_settings
from seqrec.training.job import TrainedModel, run_job
from seqrec.training.settings import sort_settings
from seqrec.training.starting_point import chosen_model_type, require_one_start
from seqrec.training.terminal import without_library_bars

__all__ = [
    "call_text",
    "column_fields",
    "log_baseline_warning",
    "recommender_of",
    "split_names_from_frames",
    "train",
    "with_text_of_features",
    "working_folder",
]

logger = logging.getLogger(__name__)


def train(
    interactions: Any,
    *,
    columns: Mapping[str, str] | None = None,
    items: Any = None,
    model_type: str | None = None,
    model_name_or_path: str | PathLike[str] | None = None,
    init_from: str | PathLike[str] | None = None,
    model_revision: str | None = None,
    output_dir: str | PathLike[str] | None = None,
    overwrite: bool = False,
    device: str | torch.device = "auto",
    **settings: Any,
) -> Recommender:
    """Train a model on interactions, select its best epoch by validation, and evaluate it on test.

    Does the same as the command `seqrec train`, and takes its flags by name.

    Args:
        interactions: A frame of pandas, polars, pyarrow or `datasets`, with one interaction per row; or what `seqrec
            train --dataset` takes: a file, a folder, a prepared set, or a data set on the Hub.
        columns: Maps our column names to the table's, such as `{"user_id": "uid", "item_id": "sku", "timestamp":
            "ts"}`. They are saved with the model, for tables that it later recommends for.
        items: A frame or file with `item_id` (or its name in `columns`), `title`, and the columns that `item_features`
            names.
        model_type: Architecture: a key of `MODEL_TYPES`, such as `"bert4rec"`. If None, that of the model to start
            from, or else `"sasrec"`.
        model_name_or_path: Folder or Hub repository of a model to fine-tune, instead of training from scratch.
            If it reads item features, new items of the interactions and of `items` are added first.
        init_from: Folder or Hub repository of a model of another catalogue: the new model starts with its network and
            its encoders of item features of the same name and kind.
        model_revision: Revision of either repository.
        output_dir: Folder for the model, its metrics and card. If None, nothing is left on disk, but the recommender
            can be saved with all of these.
        overwrite: Whether to replace a model or checkpoints that `output_dir` already holds.
        device: Where to train: `"auto"` for a GPU if there is one, or the name of a device.
        **settings: Fields of `SequentialTrainingArguments` (`num_train_epochs=20`), `DataArguments`
            (`split_method="temporal"`, `item_features=["genres", "year"]`) and the architecture's configuration
            (`hidden_size=64`). Those left alone are chosen for the data and the machine; see
            `seqrec.training.default_rule` and the section `defaults` of the metrics.

    Returns:
        The trained recommender, on the device where it was trained. Its `metrics` are the content of `metrics.json`.

    Raises:
        InputError: If a setting is unknown or its value unusable, or the table lacks a column or cannot be used; for
            other cases and errors, see `run_job`.

    Example:
        >>> recommender = seqrec.train(ratings, columns={"user_id": "userId"}, items=movies)  # doctest: +SKIP
        >>> recommender.recommend(["50", "181", "258"], k=10)  # doctest: +SKIP
        >>> recommender.metrics["model"]["test"]["ndcg@10"]  # doctest: +SKIP
    """
    start, source = (None if name is None else str(name) for name in (model_name_or_path, init_from))
    model_type = chosen_model_type(model_type, require_one_start(start, source), model_revision)
    settings = with_text_of_features(settings)
    sorted_ = sort_settings({**settings, **column_fields(columns, settings)}, model_type)
    training_fields = {**sorted_.training, **device_settings(device, sorted_.training.get("use_cpu"))}
    names, frames = split_names_from_frames({"interactions": interactions, "items": items})
    data_arguments = DataArguments(dataset=names.get("interactions"), items=names.get("items"), **sorted_.data)
    told = {"columns": columns, "items": items, "model_type": model_type, "model_name_or_path": start}
    told |= {"init_from": source, "model_revision": model_revision, **settings}
    with working_folder(output_dir, sorted_.training) as folder, without_library_bars():
        trained = run_job(
            data_arguments,
            SequentialTrainingArguments(output_dir=folder, **training_fields),
            **frames,
            model_type=model_type,
            config_fields=sorted_.config,
            given=settings,
            model_name_or_path=start,
            init_from=source,
            model_revision=model_revision,
            overwrite=overwrite,
            command=call_text("seqrec.train", interactions, told),
        )
        return recommender_of(trained)


def with_text_of_features(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings in which a list of item features is a text, as in the command line."""
    wanted = settings.get("item_features")
    if isinstance(wanted, list | tuple) and all(isinstance(one, str) for one in wanted):
        return {**settings, "item_features": ",".join(wanted)}
    if not isinstance(wanted, str | None):
        raise InputError(
            f"`item_features` is {one_line(repr(wanted), 60)}. Give the names of columns of the items, in a list."
        )
    return dict(settings)


def column_fields(columns: Mapping[str, str] | None, settings: Mapping[str, Any]) -> dict[str, str]:
    """Translate `columns` to fields of `DataArguments`."""
    columns = {} if columns is None else columns
    names = ", ".join(COLUMN_FIELDS)
    if not isinstance(columns, Mapping):
        raise InputError(f"`columns` is a {type(columns).__name__}. Map {names} to your names of these columns.")
    for name, own in columns.items():
        if name not in COLUMN_FIELDS or not isinstance(own, str):
            raise InputError(f"`columns` maps {name!r} to {own!r}. Map {names} to your names of these columns.")
        if COLUMN_FIELDS[name] in settings:
            raise InputError(f"`columns` maps {name}, which {COLUMN_FIELDS[name]} names too. Leave one out.")
    return {COLUMN_FIELDS[name]: own for name, own in columns.items()}


def split_names_from_frames(sources: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
    """Split sources of data into names of files or data sets, as text, and frames."""
    names = {place: str(source) for place, source in sources.items() if isinstance(source, str | PathLike)}
    return names, {place: source for place, source in sources.items() if place not in names}


@contextmanager
def working_folder(output_dir: str | PathLike[str] | None, settings: Mapping[str, Any]) -> Iterator[str]:
    """Yield the output folder, or a temporary one; refuse settings that need a folder which stays."""
    if output_dir is not None:
        yield str(output_dir)
        return
    if settings.get("resume_from_checkpoint"):
        raise InputError("resume_from_checkpoint needs the folder of the earlier training. Give output_dir.")
    if settings.get("push_to_hub"):  # a push that fails would lose the model
        raise InputError("push_to_hub needs a folder. Give output_dir, or push the recommender that is returned.")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError("Several processes train together, and need a folder that they share. Give output_dir.")
    with TemporaryDirectory(prefix="seqrec-") as folder:
        try:
            yield folder
        except NonFiniteError as error:
            if error.__cause__ is None:
                raise
            raise NonFiniteError(f"{error.__cause__} Give output_dir to keep the last good checkpoint.") from error


def call_text(function: str, interactions: Any, told: Mapping[str, Any]) -> str:
    """Write a call down in Python, for the card; frames appear as variables.

    Args:
        function: The name of the function, such as `seqrec.train`.
        interactions: The frame, or the name of the data set.
        told: The other arguments; those that are None are left out.
    """
    sources = {"interactions": interactions, "items": told["items"]}
    _, frames = split_names_from_frames(sources)
    shown = {**told, **{place: Variable(place) for place in frames if sources[place] is not None}}
    first = shown.pop("interactions", str(interactions))
    words = [repr(first), *(f"{name}={plain(value)!r}" for name, value in shown.items() if value is not None)]
    return f"{function}({', '.join(words)})"


class Variable(str):
    """The name of a variable, which is written without quotes."""

    def __repr__(self) -> str:
        return str(self)


def plain(value: Any) -> Any:
    """Return a value that can be written down: the value of an enumeration, the text of a path."""
    value = getattr(value, "value", value)
    return str(value) if isinstance(value, PathLike) else value


def recommender_of(trained: TrainedModel) -> Recommender:
    """Return a recommender with the trained model and the record of its training."""
    trainer = trained.trainer
    if trainer.is_world_process_zero():
        log_baseline_warning(trained.metrics)
    trainer.accelerator.wait_for_everyone()  # until the record is saved
    if trainer.sharded_items is not None:
        return Recommender.from_pretrained(str(trainer.args.output_dir))
    return Recommender(
        trainer.model,
        trained.data.tokenizer,
        trained.data.items,
        features=trained.data.features,
        record=load_record(str(trainer.args.output_dir)),
    )


def log_baseline_warning(metrics: Mapping[str, Any]) -> None:
    """Log a warning if a baseline is better than the model."""
    if BASELINE_WARNING in metrics:
        logger.warning("%s", metrics[BASELINE_WARNING])

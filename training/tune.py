"""Find good settings and train with them in one call, from a frame or a data set's name."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from os import PathLike
from typing import Any

import torch

from seqrec.errors import InputError
from seqrec.inference.recommender import Recommender
from seqrec.interactions.data_arguments import DataArguments
from seqrec.training.device_choice import device_settings
from seqrec.training.job import TrainedModel
from seqrec.training.settings import sort_settings
from seqrec.training.starting_point import chosen_model_type, require_one_start
from seqrec.training.terminal import without_library_bars
from seqrec.training.train import (
    call_text,
    column_fields,
    recommender_of,
    split_names_from_frames,
    with_text_of_features,
    working_folder,
)
from seqrec.training.tuning_budget import require_budget

__all__ = ["tune", "tune_settings"]


def tune(
    interactions: Any,
    *,
    minutes: float | None = None,
    trials: int | None = None,
    processes: int = 1,
    search: Sequence[str] | None = None,
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
    """Search for the best settings by validation, and return the best model, evaluated once on test.

    Does the same as the command `seqrec tune`. The first trial has the defaults of `seqrec.train`; the others vary what
    matters most, except for settings that are given.

    Args:
        interactions: As in `seqrec.train`.
        minutes: How long the search may take, evaluation included.
        trials: How many trials it may take, instead of `minutes`.
        processes: Processes on this machine that share the search.
        search: Names of the settings to vary, such as `["learning_rate", "hidden_size"]`; None for those that are
            usually worth it.
        columns: As in `seqrec.train`.
        items: As in `seqrec.train`.
        model_type: As in `seqrec.train`.
        model_name_or_path: As in `seqrec.train`. The search then varies only what fine-tuning can change.
        init_from: As in `seqrec.train`, for each trial.
        model_revision: As in `seqrec.train`.
        output_dir: Folder for the model, its metrics and card, `recipe.yaml` (for `seqrec train --config`),
            `trials.parquet` and `tune.png`. The same call continues a search that was interrupted. If None, nothing is
            left on disk.
        overwrite: Whether to start a new search, and replace a model that `output_dir` already holds.
        device: As in `seqrec.train`.
        **settings: Settings to fix, as in `seqrec.train`.

    Returns:
        The recommender of the best trial. Its `metrics["tuning"]` tell what was tried.

    Raises:
        InputError: If not exactly one of `minutes` and `trials` is given, or it is not above 0; if a name in `search`
            is unknown or fixed; if `output_dir` holds another search; for other cases, see `seqrec.train`.
        ImportError: If optuna is not installed.

    Example:
        >>> recommender = seqrec.tune(ratings, minutes=15, output_dir="runs/tuned")  # doctest: +SKIP
        >>> recommender.metrics["tuning"]["settings"]  # doctest: +SKIP
    """
    start, source = (None if name is None else str(name) for name in (model_name_or_path, init_from))
    settings = with_text_of_features(settings)
    told: dict[str, Any] = {
        "minutes": minutes,
        "trials": trials,
        "processes": None if processes == 1 else processes,
        "search": search,
    }
    told |= {"columns": columns, "items": items, "model_type": model_type, "model_name_or_path": start}
    told |= {"init_from": source, "model_revision": model_revision, **settings}
    names, frames = split_names_from_frames({"interactions": interactions, "items": items})
    with working_folder(output_dir, settings) as folder, without_library_bars():
        trained = tune_settings(
            {**settings, **column_fields(columns, settings)},
            dataset=names.get("interactions"),
            items_name=names.get("items"),
            minutes=minutes,
            trials=trials,
            processes=processes,
            search=search,
            model_type=model_type,
            model_name_or_path=start,
            init_from=source,
            model_revision=model_revision,
            output_dir=folder,
            overwrite=overwrite,
            device=device,
            command=call_text("seqrec.tune", interactions, told),
            **frames,
        )
        return recommender_of(trained)


def tune_settings(
    settings: Mapping[str, Any],
    *,
    dataset: str | None,
    items_name: str | None,
    minutes: float | None,
    trials: int | None,
    processes: int,
    search: Sequence[str] | None,
    model_type: str | None,
    model_name_or_path: str | None,
    init_from: str | None,
    model_revision: str | None,
    output_dir: str,
    overwrite: bool,
    device: str | torch.device,
    command: str | None,
    interactions: Any = None,
    items: Any = None,
    modules: Sequence[str] = (),
    began: float | None = None,
) -> TrainedModel:
    """Search, given settings by name and the names or frames of the data; see `tune` and `run_tuning`."""
    budget = require_budget(minutes, trials, processes)
    if find_spec("optuna") is None:
        raise ImportError('tune needs optuna. Install it: pip install "seqrec[tune]"')
    from seqrec.training.tuning import run_tuning  # here, as it imports optuna
    from seqrec.training.tuning_bench import Request

    if isinstance(search, str):
        raise InputError(f"search={search!r} is a text. Give a list of names, such as ['learning_rate'].")
    start = require_one_start(model_name_or_path, init_from)
    model_type = chosen_model_type(model_type, start, model_revision)
    sorted_ = sort_settings(settings, model_type)
    given = {**settings, **device_settings(device, sorted_.training.get("use_cpu"))}
    searched = None if search is None else tuple(search)
    return run_tuning(
        Request(model_type, given, searched, model_name_or_path, init_from, model_revision),
        budget,
        DataArguments(dataset=dataset, items=items_name, **sorted_.data),
        output_dir=output_dir,
        interactions=interactions,
        items=items,
        processes=processes,
        overwrite=overwrite,
        modules=modules,
        command=command,
        began=began,
    )

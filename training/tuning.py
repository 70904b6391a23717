"""The whole search: from a data set's name to the best of many models, saved and documented."""

import os
import shutil
import time
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from transformers import TrainerState
from transformers.trainer_utils import IntervalStrategy

from seqrec.errors import InputError, NonFiniteError
from seqrec.evaluation.targets import warn_of_repeats
from seqrec.interactions.data_arguments import DataArguments
from seqrec.interactions.preparation import prepare
from seqrec.interactions.prepared_sets import PreparedData
from seqrec.modeling.modeling_auto import MODEL_TYPES
from seqrec.training.arguments import SequentialTrainingArguments
from seqrec.training.early_checks import check_settings
from seqrec.training.job import TrainedModel, conclude
from seqrec.training.output_folder import claimed, resume_point
from seqrec.training.progress_table import format_number
from seqrec.training.settings import sort_settings
from seqrec.training.starting_point import require_one_start
from seqrec.training.terminal import lines_above_bars, tell, without_library_bars
from seqrec.training.trainer import SequentialTrainer
from seqrec.training.tuning_bench import Bench, Request, make_bench
from seqrec.training.tuning_budget import Budget, Clock
from seqrec.training.tuning_origin import GROWN
from seqrec.training.tuning_plan import PLAN, make_plan, require_same_plan, write_plan
from seqrec.training.tuning_processes import PREPARED, search_in_processes
from seqrec.training.tuning_progress import TuningProgress, settings_text
from seqrec.training.tuning_results import save_results
from seqrec.training.tuning_study import (
    DEFAULTS,
    count_trials,
    ended_trials,
    enqueue_first_trials,
    free_journal,
    make_sampler,
    open_study,
    quiet_optuna,
    tried,
    try_again,
)
from seqrec.training.tuning_trial import best_record, best_weights, search

__all__ = ["run_tuning"]

FOLDER = "tuning"  # in the output folder: the trials and the weights of the best one
FEWEST_TARGETS = 100  # of which a comparison of trials says anything
NOTED_EVERY = 5.0  # seconds between two notes of the time used, for a search that is killed
SECONDS, FINISHED = "seconds", "finished_minutes"  # attributes of the study


def run_tuning(
    request: Request,
    budget: Budget,
    data_arguments: DataArguments,
    *,
    output_dir: str,
    interactions: Any = None,
    items: Any = None,
    processes: int = 1,
    overwrite: bool = False,
    modules: Sequence[str] = (),
    command: str | None = None,
    began: float | None = None,
) -> TrainedModel:
    """Search for the best settings by validation, evaluate the best model once on test, and save everything.

    The trials are kept in the folder `tuning` of the output folder: the same call continues a search that was
    interrupted, or one that is finished with a larger budget.

    Args:
        request: What is searched.
        budget: The time or the trials that the search may take.
        data_arguments: Which interactions to use, and how to split them.
        output_dir: Folder for the model, its metrics and card, and for `recipe.yaml`, `trials.parquet` and `tune.png`.
        interactions: As in `run_job`.
        items: As in `run_job`.
        processes: Processes on this machine that share the search.
        overwrite: Whether to start a new search, and replace a model that `output_dir` already holds.
        modules: Modules that the processes import first, which register architectures or parts.
        command: As in `run_job`.
        began: Since when the time counts, in seconds since 1970; now if None.

    Raises:
        InputError: As in `run_job`; or if a setting cannot be searched, or `output_dir` holds another search or one
            that is finished.
        NonFiniteError: If all trials diverge.
    """
    if request.model_type not in MODEL_TYPES:
        known = ", ".join(sorted(MODEL_TYPES))
        raise InputError(f"There is no model_type {request.model_type!r}. Choose one of: {known}.")
    settings = sort_settings(request.given, request.model_type)
    require_evaluations(settings.training)
    arguments = SequentialTrainingArguments(**{**settings.training, "output_dir": output_dir})
    start = require_one_start(request.model_name_or_path, request.init_from)
    require_one_process(arguments)
    check_settings(arguments, MODEL_TYPES[request.model_type](**settings.config) if start is None else None)
    folder, place = Path(output_dir), Path(output_dir, FOLDER)
    with claimed(folder), without_library_bars(), quiet_optuna():
        begin_anew = overwrite or not (place / PLAN).is_file()
        if begin_anew:
            resume_point(folder, None, overwrite=overwrite)
        frames = {"interactions": interactions, "items": items}
        clock = Clock(began or time.time(), seconds=None if budget.minutes is None else 60 * budget.minutes)
        prepare_data = partial(prepare, **frames)
        bench = make_bench(request, arguments, data_arguments, prepare_data, folder=place, clock=clock)
        bench.clock.relative_size = relative_size(bench.data)
        claim_search(request, bench, output_dir, begin_anew=begin_anew)
        study = continue_study(bench, arguments)
        require_unfinished(study, budget, folder)
        trials = fitting_trials(bench, budget)
        warn_of_repeats(bench.data.sequences["validation"], exclude_seen=arguments.exclude_seen)
        try:
            bench.origin.keep(place)
            run_search(bench, study, request, arguments, trials=trials, processes=processes, modules=modules)
            named = {"dataset": data_arguments.dataset, "items": data_arguments.items}
            trained = conclude_search(bench, study, request, arguments, named=named, command=command)
        finally:
            remove_parts(place)
        study.set_user_attr(SECONDS, clock.elapsed)
        study.set_user_attr(FINISHED, budget.minutes or 0)
    return trained


def require_evaluations(given: Mapping[str, Any]) -> None:
    """Refuse training arguments without which trials cannot be compared, or which the search replaces."""
    if given.get("eval_strategy") == IntervalStrategy.NO:
        raise InputError("eval_strategy='no' leaves nothing to compare trials by. Leave it out.")
    if given.get("resume_from_checkpoint"):
        raise InputError("resume_from_checkpoint has no effect: the same search continues by itself. Leave it out.")
    if "metric_for_best_model" in given and given["metric_for_best_model"] is None:
        raise InputError("metric_for_best_model must name the metric that trials are compared by, such as 'ndcg@10'.")


def require_one_process(arguments: SequentialTrainingArguments) -> None:
    """Refuse a search in processes that train one model together."""
    if arguments.world_size > 1:
        raise InputError(
            f"A search was started in {arguments.world_size} processes. Start it without torchrun or accelerate "
            "launch, and choose `processes`."
        )


def relative_size(data: PreparedData) -> float:
    """Return the held-out rows of validation and test, divided by those of validation."""
    validation, test = (len(data.sequences[split]) for split in ("validation", "test"))
    return (validation + test) / max(validation, 1)


def claim_search(request: Request, bench: Bench, output_dir: str, *, begin_anew: bool) -> None:
    """Begin a new search in the output folder, or check that the one in it is the same."""
    plan = make_plan(
        request.given,
        bench.data.protocol,
        request.search,
        model_type=request.model_type,
        **request.starts,
    )
    if begin_anew:
        shutil.rmtree(bench.folder, ignore_errors=True)
        bench.folder.mkdir(parents=True)
        write_plan(bench.folder, plan)
        return
    require_same_plan(bench.folder, plan, output_dir)
    free_journal(bench.folder)
    remove_parts(bench.folder)


def remove_parts(folder: Path) -> None:
    """Delete what only a running search needs."""
    for name in (PREPARED, GROWN):
        shutil.rmtree(folder / name, ignore_errors=True)
    for pattern in ("process-*.log", ".part-*", "*.lock"):
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)


def continue_study(bench: Bench, arguments: SequentialTrainingArguments) -> optuna.Study:
    """Open the study, and enqueue the first trials, or those that a killed search was running."""
    study = open_study(bench.folder, seed=arguments.seed, greater_is_better=arguments.greater_is_better is not False)
    bench.clock.used = study.user_attrs.get(SECONDS, 0.0)
    try_again(study)
    enqueue_first_trials(study, bench.space)
    return study


def require_unfinished(study: optuna.Study, budget: Budget, folder: Path) -> None:
    """Refuse a search that is finished, unless the budget is larger now."""
    if FINISHED not in study.user_attrs or not (folder / "config.json").is_file():
        return
    if budget.minutes is not None and budget.minutes > study.user_attrs[FINISHED]:
        return
    number = count_trials(study)
    if budget.trials is not None and budget.trials > number:
        return
    unit = "minutes" if budget.minutes is not None else "trials"
    raise InputError(
        f"{folder} holds a finished search of {number} trials. Give more `{unit}` to continue it, or start a new one "
        "with overwrite=True."
    )


def fitting_trials(bench: Bench, budget: Budget) -> int | None:
    """Return the number of trials; 1, with a warning, if a comparison would say nothing."""
    targets = len(bench.data.sequences["validation"])
    reason = None
    if targets < FEWEST_TARGETS:
        reason = f"Validation has only {targets} targets, so differences between trials would be chance"
    elif not bench.space.choices:
        reason = "All settings that a search could vary are given, so there is nothing to search"
    if reason is None:
        return budget.trials
    warnings.warn(f"{reason}. Training once, without a search.", stacklevel=4)
    return 1


def run_search(
    bench: Bench,
    study: optuna.Study,
    request: Request,
    arguments: SequentialTrainingArguments,
    *,
    trials: int | None,
    processes: int,
    modules: Sequence[str],
) -> None:
    """Run the trials of a search, in this process or in several."""
    if not arguments.quiet:
        tell(describe_search(bench, arguments, trials))
        if bench.chosen.describe():
            tell(bench.chosen.describe())
    progress = TuningProgress(
        study,
        bench.clock,
        trials=trials,
        metric=str(arguments.metric_for_best_model),
        defaults=bench.space.settings(bench.space.defaults),
        quiet=arguments.quiet,
        has_bar=not arguments.disable_tqdm,
    )
    last_noted = time.time()

    def look() -> None:
        nonlocal last_noted
        progress.update()
        if time.time() - last_noted > NOTED_EVERY:
            last_noted = time.time()
            study.set_user_attr(SECONDS, bench.clock.elapsed)

    seed = arguments.seed + count_trials(study)  # not the numbers that were drawn before
    try:
        with lines_above_bars():
            if processes > 1 and trials != 1:
                search_in_processes(
                    bench,
                    request,
                    processes=processes,
                    trials=trials,
                    seed=seed,
                    threads=max(1, (os.cpu_count() or 1) // processes),
                    modules=modules,
                    between=look,
                )
            else:
                bench.on_step = look
                study.sampler = make_sampler(seed)
                search(bench, study, trials)
    except KeyboardInterrupt as interrupt:
        raise KeyboardInterrupt("The same command continues the search.") from interrupt
    finally:
        progress.close()
        study.set_user_attr(SECONDS, bench.clock.elapsed)


def describe_search(bench: Bench, arguments: SequentialTrainingArguments, trials: int | None) -> str:
    """Say what is searched, on what data, and for how long."""
    protocol = bench.data.protocol
    numbers = {name: f"{protocol[f'num_{name}']:,} {name}" for name in ("users", "items", "interactions")}
    minutes = (bench.clock.seconds or 0) / 60
    budget = f"{minutes:g} minutes" if trials is None else f"{trials} trial{'' if trials == 1 else 's'}"
    searched = f"\nSearching {', '.join(bench.space.choices)}." if trials != 1 else ""
    return f"Tuning {bench.model_type} on {arguments.device.type} for {budget}: {', '.join(numbers.values())}{searched}"


def conclude_search(
    bench: Bench,
    study: optuna.Study,
    request: Request,
    arguments: SequentialTrainingArguments,
    *,
    named: Mapping[str, str | None],
    command: str | None,
) -> TrainedModel:
    """Load the best model, evaluate it, and save it with the results of the search.

    Args:
        bench: What the trials shared.
        study: The study.
        request: What was searched.
        arguments: The training arguments without a search.
        named: The data set and the items by name, for the recipe.
        command: As in `run_job`.

    Raises:
        NonFiniteError: If no trial was completed.
    """
    record = best_record(bench.folder)
    if record is None:
        outcomes = dict.fromkeys(trial.user_attrs.get("outcome") for trial in ended_trials(study))
        raise NonFiniteError(
            f"None of the {count_trials(study)} trials was completed ({', '.join(map(str, outcomes))}). Give a lower "
            "learning_rate, or smaller models."
        )
    trainer = best_trainer(bench, arguments, record)
    trainer.init_from = request.init_from
    metric = str(arguments.metric_for_best_model)
    default = next((trial.value for trial in tried(study) if trial.user_attrs.get(DEFAULTS)), None)
    chosen = {name: value for name, value in record["settings"].items() if bench.found(name, value)}
    tuning = {
        "num_trials": count_trials(study),
        "seconds": round(bench.clock.elapsed, 1),
        "metric": metric,
        "best_trial": record["number"],
        "best": record["value"],
        "defaults": default,
        "settings": chosen,
    }
    if not arguments.quiet:
        tell(describe_best(tuning, bench.space.settings(bench.space.defaults)))
    kept = bench.chosen.kept_in(record["settings"])
    trained = conclude(trainer, bench.data, record["seconds"], command, defaults=kept, sections={"tuning": tuning})
    recipe = {"model_type": request.model_type, **named, **request.starts, **record["settings"]}
    save_results(Path(arguments.output_dir), study, recipe=recipe, metric=metric)
    return trained


def best_trainer(bench: Bench, arguments: SequentialTrainingArguments, record: Mapping[str, Any]) -> SequentialTrainer:
    """Return a trainer as the best trial's was when its weights were the best."""
    settings = sort_settings(record["settings"], bench.model_type)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the defaults have told them already
        best = SequentialTrainingArguments(**{**settings.training, "output_dir": arguments.output_dir})
    trainer = bench.make_trainer(settings.config, best)
    trainer.bare_model.load_state_dict(best_weights(bench.folder))
    trainer.state = TrainerState(**record["state"])
    return trainer


def describe_best(tuning: Mapping[str, Any], defaults: Mapping[str, Any]) -> str:
    """Say which trial was the best, how much better than the defaults, and with which settings."""
    value = f"{tuning['metric']} {format_number(tuning['best'])}"
    compared = f" (defaults: {format_number(tuning['defaults'])})" if tuning["defaults"] is not None else ""
    settings = settings_text(tuning["settings"], defaults)
    text = f"Best of {tuning['num_trials']} trials: trial {tuning['best_trial']}, {value}{compared}."
    return f"{text}\n  {settings}" if settings else text

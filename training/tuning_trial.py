"""One trial of a search: train a model until it is done, pruned, or out of time, and keep its weights if it is best."""

import json
import time
import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import optuna
import torch
from filelock import FileLock
from optuna.trial import TrialState
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments, set_seed

from seqrec.errors import InputError, NonFiniteError
from seqrec.interactions.whole_files import whole_file
from seqrec.training.arguments import SequentialTrainingArguments
from seqrec.training.settings import sort_settings
from seqrec.training.terminal import without_messages
from seqrec.training.trainer import SequentialTrainer
from seqrec.training.tuning_bench import NUM_EPOCHS, Bench
from seqrec.training.tuning_study import DEFAULTS, count_trials, tried

__all__ = ["best_record", "best_weights", "search"]

BEST = "best.safetensors"
RECORD = "record"  # the key of the weights' metadata
LONGEST_SHARE = 0.5  # of the time for all trials: if the defaults would take longer, all trials get fewer epochs
NO_MEMORY = ("allocate memory", "alloc_cpu")  # in the message of a `RuntimeError`
# The search compares and saves trials, so they save, push and report nothing themselves.
OF_TRIALS: dict[str, Any] = {
    "save_strategy": "no",
    "load_best_model_at_end": False,
    "push_to_hub": False,
    "report_to": "none",
    "quiet": True,
}


class TrialWatch(TrainerCallback):
    """Reports evaluations, keeps the best weights, and ends a trial that is pruned, too long, or out of time.

    Attributes:
        best: The best value of the metric; None before the first evaluation.
        weights: The weights that gave it, on the CPU.
        outcome: Why the trial was ended: "pruned", "time" or "too long"; None if it ended by itself.
    """

    def __init__(self, bench: Bench, study: optuna.Study, trial: optuna.Trial) -> None:
        self.bench, self.study, self.trial = bench, study, trial
        self.best: float | None = None
        self.weights: dict[str, Tensor] = {}
        self.outcome: str | None = None
        self.num_evaluations = 0
        self.began = self.last_step = time.time()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """End the trial if its time is over; evaluate it first, if it has never been."""
        self.last_step = time.time()
        self.bench.on_step()
        if self.bench.clock.is_over and self.outcome is None:
            self.outcome, control.should_training_stop = "time", True
            control.should_evaluate = self.best is None and args.eval_strategy == "steps"

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Report the metric, and keep the weights if they are the best so far."""
        clock, now, value = self.bench.clock, time.time(), kwargs["metrics"][f"eval_{args.metric_for_best_model}"]
        clock.evaluation = max(clock.evaluation or 0.0, now - self.last_step)
        epoch_seconds = (now - self.began) / max(state.epoch or 1.0, 1e-9)
        self.bench.fastest_epoch = min(self.bench.fastest_epoch or epoch_seconds, epoch_seconds)
        if self.best is None and self.outcome is None and self.takes_too_long(args, epoch_seconds):
            self.outcome, control.should_training_stop = "too long", True
            return
        if is_better(value, self.best, args):
            self.best = value
            self.weights = {name: one.detach().cpu().clone() for name, one in kwargs["model"].state_dict().items()}
        self.num_evaluations += 1
        self.trial.report(value, self.num_evaluations)
        is_last = state.global_step >= state.max_steps
        if self.outcome is None and not is_last and self.trial.should_prune():
            self.outcome, control.should_training_stop = "pruned", True

    def takes_too_long(self, args: TrainingArguments, epoch_seconds: float) -> bool:
        """Return whether the defaults take too much of the time; if so, fewer epochs are noted for all trials."""
        bench = self.bench
        decides = self.trial.user_attrs.get(DEFAULTS) and NUM_EPOCHS not in self.study.user_attrs
        if not decides or not bench.has_free_epochs() or bench.clock.deadline is None:
            return False
        affordable = int(LONGEST_SHARE * (bench.clock.deadline - self.began) / epoch_seconds)
        if not 2 <= affordable < args.num_train_epochs:
            return False
        self.study.set_user_attr(NUM_EPOCHS, affordable)
        return True


def search(bench: Bench, study: optuna.Study, trials: int | None) -> None:
    """Run trials, one after the other, until the budget is used up; at least one, if no other has ended.

    Args:
        bench: What the trials share, and when they must end.
        study: The study, which other processes may be working on too.
        trials: Number of trials of all processes and commands; None for no limit.
    """
    while trials is None or count_trials(study) < trials:
        left = bench.clock.left
        if left is not None and left <= bench.fastest_epoch and tried(study):
            return
        trial = study.ask()
        if trials is not None and count_trials(study, before=trial.number) >= trials:  # another process was faster
            study.tell(trial, state=TrialState.FAIL)
            return
        run_trial(bench, study, trial)
        bench.on_step()


def run_trial(bench: Bench, study: optuna.Study, trial: optuna.Trial) -> None:
    """Train a model as a trial says, tell the study how good it is, and keep the weights if none are better.

    A trial is pruned if it does not look promising, if it diverges, if there is not enough memory, or if its settings
    do not go together.

    Raises:
        InputError: If the settings of the defaults do not go together or fit the data.
    """
    began = time.time()
    drawn = bench.space.draw(trial)
    trial.set_user_attr("settings", bench.space.settings(drawn))
    try:
        watch, trainer = train(bench, study, trial, drawn)
        while watch.outcome == "too long":
            watch, trainer = train(bench, study, trial, drawn)
    except (NonFiniteError, InputError, MemoryError, RuntimeError) as error:
        reason = reason_to_prune(error)
        if reason is None or (isinstance(error, InputError) and drawn == bench.space.defaults):
            raise
        trial.set_user_attr("outcome", reason)
        study.tell(trial, state=TrialState.PRUNED)
        return
    seconds = time.time() - began
    history = [entry for entry in trainer.state.log_history if f"eval_{metric_name(trainer.args)}" in entry]
    choose = max if trainer.args.greater_is_better is not False else min
    best = choose(history, key=lambda entry: entry[f"eval_{metric_name(trainer.args)}"])
    facts = {
        "outcome": watch.outcome or "done",
        "seconds": seconds,
        "num_epochs": trainer.state.epoch,
        "best_epoch": best["epoch"],
        "num_parameters": trainer.model.num_parameters(),
    }
    for name, value in facts.items():
        trial.set_user_attr(name, value)
    if watch.outcome == "pruned":
        study.tell(trial, state=TrialState.PRUNED)
        return
    record = {"number": trial.number, "value": watch.best, "settings": bench.settings(study, drawn), **facts}
    keep_if_best(bench.folder, watch.weights, {**record, "state": asdict(trainer.state)}, trainer.args)
    study.tell(trial, watch.best)


def train(
    bench: Bench, study: optuna.Study, trial: optuna.Trial, drawn: Mapping[str, Any]
) -> tuple[TrialWatch, SequentialTrainer]:
    """Train a model as a trial says."""
    settings = sort_settings(bench.settings(study, drawn), bench.model_type)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the defaults have told them already
        arguments = SequentialTrainingArguments(**{**settings.training, **OF_TRIALS, "output_dir": str(bench.folder)})
    set_seed(arguments.seed)
    watch = TrialWatch(bench, study, trial)
    trainer = bench.make_trainer(settings.config, arguments, callbacks=[watch])
    with without_warning_of_best_model():
        trainer.train()
    return watch, trainer


def without_warning_of_best_model() -> AbstractContextManager[None]:
    """Hide the library's warning that the best model will not be loaded: the search keeps it itself."""
    beginning = "Using EarlyStoppingCallback without load_best_model_at_end"
    return without_messages("transformers.trainer_callback", beginning)


def reason_to_prune(error: Exception) -> str | None:
    """Say why a trial that failed is only pruned; None if it is a bug."""
    if isinstance(error, NonFiniteError):
        return "diverged"
    if isinstance(error, InputError):
        return "settings that do not go together"
    is_full = isinstance(error, MemoryError | torch.OutOfMemoryError) or any(one in str(error) for one in NO_MEMORY)
    return "not enough memory" if is_full else None


def metric_name(arguments: TrainingArguments) -> str:
    """Return the name of the metric that compares trials."""
    return str(arguments.metric_for_best_model)


def is_better(value: float, best: float | None, arguments: TrainingArguments) -> bool:
    """Return whether a value of the metric is better than the best one before."""
    if best is None:
        return True
    return value > best if arguments.greater_is_better is not False else value < best


def keep_if_best(
    folder: Path, weights: Mapping[str, Tensor], record: Mapping[str, Any], arguments: TrainingArguments
) -> None:
    """Replace the best weights, and what is known of their trial, if this trial is better."""
    with FileLock(folder / f"{BEST}.lock"):  # other processes may end a trial at the same time
        before = best_record(folder)
        if before is None or is_better(record["value"], before["value"], arguments):
            with whole_file(folder / BEST) as part:
                save_file(dict(weights), part, metadata={RECORD: json.dumps(record)})


def best_record(folder: Path) -> dict[str, Any] | None:
    """Return what is known of the best trial; None if there is none yet."""
    if not (folder / BEST).is_file():
        return None
    with safe_open(folder / BEST, framework="pt") as file:
        return json.loads(file.metadata()[RECORD])


def best_weights(folder: Path) -> dict[str, Tensor]:
    """Return the weights of the best trial."""
    return load_file(folder / BEST)

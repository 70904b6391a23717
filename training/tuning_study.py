"""The study of a search: its trials, kept in a journal that several processes share and a later command continues."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from seqrec.training.tuning_space import Space

__all__ = [
    "DEFAULTS",
    "best_value",
    "count_trials",
    "ended_trials",
    "enqueue_first_trials",
    "free_journal",
    "make_sampler",
    "open_study",
    "quiet_optuna",
    "tried",
    "try_again",
]

JOURNAL = "journal.log"
STARTUP_TRIALS = 8  # drawn at random, those of `Space.first_trials` included, before the sampler learns from them
# A trial is pruned if its best evaluation so far is below the median of the others' at the same epoch.
PRUNED_AFTER = {"n_startup_trials": 3, "n_warmup_steps": 3, "n_min_trials": 3}
DEFAULTS = "defaults"  # the mark of the trial with the defaults
COUNTED = (TrialState.COMPLETE, TrialState.PRUNED)


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Keep optuna from logging each trial, and from warning of its features that may change."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)


def open_study(folder: Path, *, seed: int, greater_is_better: bool = True) -> optuna.Study:
    """Open the study in a folder, or create it.

    Args:
        folder: Where its journal is.
        seed: Seed of the sampler. Processes, and commands that continue a search, each need another.
        greater_is_better: Whether higher values of the metric are better.
    """
    return optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(folder / JOURNAL))),
        sampler=make_sampler(seed),
        pruner=optuna.pruners.MedianPruner(**PRUNED_AFTER),
        study_name="tune",
        direction="maximize" if greater_is_better else "minimize",
        load_if_exists=True,
    )


def make_sampler(seed: int) -> optuna.samplers.BaseSampler:
    """Return the sampler, which draws at random until it has trials to learn from."""
    return optuna.samplers.TPESampler(
        seed=seed, n_startup_trials=STARTUP_TRIALS, multivariate=True, group=True, constant_liar=True
    )


def free_journal(folder: Path) -> None:
    """Remove the lock that a killed process may have left on the journal. No other process may be using it."""
    Path(folder, f"{JOURNAL}.lock").unlink(missing_ok=True)


def enqueue_first_trials(study: optuna.Study, space: Space) -> None:
    """Let a new study begin with the defaults, and then with settings that did well on other data."""
    if not study.get_trials(deepcopy=False):
        for number, values in enumerate(space.first_trials()):
            study.enqueue_trial(values, user_attrs={DEFAULTS: number == 0})


def try_again(study: optuna.Study) -> None:
    """Enqueue the trials that a killed search was running."""
    for trial in study.get_trials(deepcopy=False, states=[TrialState.RUNNING]):
        study.tell(trial.number, state=TrialState.FAIL)
        # Of a trial that was killed before it drew anything, nothing is left to try.
        if trial.params or trial.user_attrs.get(DEFAULTS):
            study.enqueue_trial(trial.params, user_attrs={DEFAULTS: bool(trial.user_attrs.get(DEFAULTS))})


def ended_trials(study: optuna.Study) -> list[FrozenTrial]:
    """List the trials that have ended, those that failed included."""
    return study.get_trials(deepcopy=False, states=COUNTED)


def tried(study: optuna.Study) -> list[FrozenTrial]:
    """List the trials that have ended with a value."""
    return [trial for trial in study.get_trials(deepcopy=False, states=COUNTED) if trial.value is not None]


def count_trials(study: optuna.Study, before: int | None = None) -> int:
    """Count the trials that have ended or are running; with `before`, of those with lower numbers."""
    trials: list[Any] = study.get_trials(deepcopy=False, states=(*COUNTED, TrialState.RUNNING))
    return sum(before is None or trial.number < before for trial in trials)


def best_value(study: optuna.Study, trial: FrozenTrial) -> float | None:
    """Return the best evaluation of a trial, even if it was pruned; None if there was none."""
    choose = max if study.direction == StudyDirection.MAXIMIZE else min
    return choose(trial.intermediate_values.values(), default=None)

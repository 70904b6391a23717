"""What a search shows: a line for each trial that ends, and a bar below it in a terminal."""

import sys
import time
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState
from tqdm.auto import tqdm

from seqrec.evaluation.tables import shorten
from seqrec.training.progress_table import format_number, format_time
from seqrec.training.terminal import can_show_bars, line_width, tell
from seqrec.training.tuning_budget import Clock
from seqrec.training.tuning_study import DEFAULTS, ended_trials, tried

__all__ = ["TuningProgress", "settings_text"]

# The cursor returns to the beginning, so that "^C" does not begin another line.
BAR = "{desc} |{bar}|\r"
NARROW_BAR = "{desc}\r"
NARROW = 60  # columns below which there is no room for a bar
BETWEEN = 0.5  # seconds between two looks at the study


class TuningProgress:
    """Prints a line for each trial that has ended, and shows how far the search is.

    Args:
        study: The study.
        clock: Its time.
        trials: The number of trials, if that is the budget.
        metric: The metric that compares trials.
        defaults: The defaults of the settings that vary, which lines leave out.
        quiet: Whether to show nothing.
        has_bar: Whether to show a bar in a terminal.
    """

    def __init__(
        self,
        study: optuna.Study,
        clock: Clock,
        *,
        trials: int | None,
        metric: str,
        defaults: Mapping[str, Any],
        quiet: bool,
        has_bar: bool,
    ) -> None:
        self.study, self.clock, self.trials, self.metric, self.quiet = study, clock, trials, metric, quiet
        self.defaults = defaults
        self.told = {trial.number for trial in ended_trials(study)}
        self.num_before, self.began, self.last_look = len(self.told), time.time(), 0.0
        self.bar: Any = None
        if has_bar and not quiet and can_show_bars():
            self.bar = tqdm(
                desc=self.present(),
                total=100,
                bar_format=BAR if line_width() >= NARROW else NARROW_BAR,
                file=sys.stderr,
                dynamic_ncols=True,
                leave=False,
            )

    def update(self, *, now: bool = False) -> None:
        """Look at the study, unless that was a moment ago; print new lines, and move the bar."""
        if self.quiet or (not now and time.time() - self.last_look < BETWEEN):
            return
        self.last_look = time.time()
        for trial in ended_trials(self.study):
            if trial.number not in self.told:
                self.told.add(trial.number)
                tell(self.line(trial))
        if self.bar is not None:
            self.show_bar()

    def close(self) -> None:
        """Print the last lines, and remove the bar."""
        self.update(now=True)
        if self.bar is not None:
            self.bar.close()

    def line(self, trial: FrozenTrial) -> str:
        """Describe a trial that has ended, and what is left, in a line; a new best one with its settings."""
        attributes = trial.user_attrs
        name = f"Trial {trial.number}{' (defaults)' if attributes.get(DEFAULTS) else ''}"
        value = "" if trial.value is None else f"{self.metric} {format_number(trial.value)}"
        outcome = attributes.get("outcome", "done")
        took = f" in {format_time(attributes['seconds'])}" if "seconds" in attributes else ""
        how = {"done": value, "time": f"{value}, out of time", "pruned": f"pruned at {value}"}.get(outcome, outcome)
        earlier = [one for one in tried(self.study) if one.number != trial.number and one.number in self.told]
        is_best = trial.state == TrialState.COMPLETE and all(self.beats(trial, one) for one in earlier)
        text = f"{name}: {how}{took}{', the best so far' if is_best and earlier else ''}. {self.left()} left."
        if is_best and not attributes.get(DEFAULTS):
            text += f"\n  {settings_text(attributes.get('settings', {}), self.defaults)}"
        return text

    def beats(self, trial: FrozenTrial, other: FrozenTrial) -> bool:
        """Return whether a trial is better than another one."""
        if self.study.direction == optuna.study.StudyDirection.MINIMIZE:
            return trial.value < other.value
        return trial.value > other.value

    def left(self) -> str:
        """Say how much time is left; with a number of trials, by the time of those that have ended."""
        if self.clock.left is not None:
            return format_time(self.clock.left)
        assert self.trials is not None
        done = len(self.told) - self.num_before
        remaining = max(0, self.trials - len(self.told))
        return format_time((time.time() - self.began) / done * remaining if done else None)

    def show_bar(self) -> None:
        """Show the newest trial, the best one, and the share of the budget that is used."""
        if self.clock.seconds is not None:
            share = self.clock.elapsed / self.clock.seconds
        else:
            share = len(self.told) / (self.trials or 1)
        self.bar.n = min(100, round(100 * share))
        self.bar.set_description_str(self.present())

    def present(self) -> str:
        """Name the newest trial, the best value, and the time that is left, in a line."""
        begun = [TrialState.RUNNING, TrialState.COMPLETE, TrialState.PRUNED]
        trials = self.study.get_trials(deepcopy=False, states=begun)
        number = max((trial.number for trial in trials), default=0)
        has_best = any(trial.state == TrialState.COMPLETE for trial in trials)
        best = f", best {self.metric} {format_number(self.study.best_value)}" if has_best else ""
        return shorten(f"trial {number}{best}, {self.left()} left", line_width() - 1)


def settings_text(settings: Mapping[str, Any], defaults: Mapping[str, Any]) -> str:
    """Return the settings that differ from the defaults, in one line."""
    changed = {name: value for name, value in settings.items() if name not in defaults or value != defaults[name]}
    words = [
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}" for name, value in changed.items()
    ]
    return ", ".join(words)

"""What training shows in a terminal: a table with a line for each evaluation, and a bar below it."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tqdm.auto import tqdm
from transformers import (
    PrinterCallback,
    ProgressCallback,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer_callback import CallbackHandler
from transformers.trainer_utils import IntervalStrategy

from seqrec.training.progress_table import ProgressTable, metric_names
from seqrec.training.progress_text import end_of_training, selecting_metric, whole
from seqrec.training.terminal import (
    can_show_bars,
    line_width,
    lines_above_bars,
    tell,
    without_idle_warnings,
    without_library_bars,
)

__all__ = ["TrainingProgress", "showing_progress", "shows_bars", "shows_lines", "use_training_progress"]

# The cursor returns to the beginning, so that "^C" does not begin another line.
WIDE_BAR = "{desc} {percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt} steps, {remaining} left\r"
NARROW_BAR = "{desc} {percentage:3.0f}% |{bar}| {remaining}\r"
NARROW = 60  # columns below which only the narrow bar has room for a bar


class TrainingProgress(TrainerCallback):
    """Prints a line for each evaluation, or for each logged loss if there are no evaluations.

    Lines and bars go to standard error, of the main process only; bars only if it is a terminal.
    """

    def __init__(self) -> None:
        self.bar: Any = None
        self.end()

    def begin(self, step: int) -> None:
        """Begin a new training, after this many steps."""
        self.end()
        self.is_training, self.began = True, time.perf_counter()
        self.first_step = self.last_logged = step

    def end(self) -> None:
        """Forget the training, and remove its bar."""
        if self.bar is not None:
            self.bar.close()
        self.bar = None
        self.table: ProgressTable | None = None
        self.is_training, self.began = False, 0.0
        self.first_step = self.last_logged = 0
        self.losses: list[tuple[int, float]] = []  # since the last line: a number of steps, and their mean loss

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Begin a new table."""
        self.begin(state.global_step)
        if not shows_lines(args):
            return
        if state.is_hyper_param_search and state.trial_params:
            tell(describe_trial(state))
        if state.global_step:
            tell(f"Resuming after epoch {whole(state.epoch or 0)}.")
        if shows_bars(args):
            self.bar = tqdm(
                desc=present_epoch(state),
                total=state.max_steps,
                initial=state.global_step,
                bar_format=WIDE_BAR if line_width() >= NARROW else NARROW_BAR,
                file=sys.stderr,
                dynamic_ncols=True,
                leave=False,
            )

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Name the epoch next to the bar."""
        if self.bar is not None:
            self.bar.set_description_str(present_epoch(state), refresh=False)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Move the bar."""
        if self.bar is not None:
            self.bar.update(state.global_step - self.bar.n)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Remember the loss; without evaluations, print it."""
        if not self.is_training or logs is None or "loss" not in logs:
            return
        self.losses.append((state.global_step - self.last_logged, logs["loss"]))
        self.last_logged = state.global_step
        if args.eval_strategy == IntervalStrategy.NO:
            self.print_line(args, state, {}, by=args.logging_strategy)

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Print a line, unless this is an evaluation outside training."""
        if self.is_training:
            self.print_line(args, state, metrics or {}, by=args.eval_strategy)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Say why training ended, and which evaluation was best."""
        self.end()
        if shows_lines(args):
            tell(end_of_training(args, state))

    def print_line(
        self, args: TrainingArguments, state: TrainerState, metrics: dict[str, Any], *, by: IntervalStrategy | str
    ) -> None:
        """Print a line, after the header if it is the first one or the terminal has become too narrow."""
        loss, self.losses = mean_loss(self.losses), []
        if not shows_lines(args):
            return
        if self.table is None or self.table.width > line_width():
            before = self.table
            self.table = fitting_table(args, metrics, "epoch" if by == IntervalStrategy.EPOCH else "step")
            if self.table != before:  # they are the same in a terminal too narrow for any table
                tell(self.table.header())
        seconds, steps = time.perf_counter() - self.began, state.global_step - self.first_step
        line = self.table.line(
            whole(state.epoch or 0) if self.table.place == "epoch" else state.global_step,
            loss=loss,
            metrics={name: metrics[f"eval_{name}"] for name in metric_names(metrics)},
            best=selecting_metric(args) if steps and is_best(metrics, args, state) else None,
            seconds=seconds,
            seconds_left=seconds / steps * (state.max_steps - state.global_step) if steps else None,
        )
        tell(line)


def fitting_table(arguments: TrainingArguments, metrics: dict[str, Any], place: str) -> ProgressTable:
    """Choose the columns of the table for the present terminal."""
    return ProgressTable.fitting(
        line_width(),
        place,
        has_loss=arguments.logging_strategy != IntervalStrategy.NO,
        metrics=metric_names(metrics),
        best=selecting_metric(arguments),
    )


def use_training_progress(handler: CallbackHandler) -> None:
    """Replace the progress bar or printed logs that `Trainer` adds by default; a notebook's table stays."""
    if type(handler.callbacks[-1]) in (ProgressCallback, PrinterCallback):  # the trainer adds its own last
        handler.callbacks[-1] = TrainingProgress()


@contextmanager
def showing_progress(handler: CallbackHandler) -> Iterator[None]:
    """Keep warnings and log messages out of the progress bars, and remove these if training is interrupted."""
    try:
        with without_idle_warnings(), without_library_bars(), lines_above_bars():
            yield
    finally:
        for callback in handler.callbacks:
            if isinstance(callback, TrainingProgress):
                callback.end()


def shows_lines(arguments: TrainingArguments) -> bool:
    """Return whether this process is to say how a training goes."""
    return arguments.process_index == 0 and not getattr(arguments, "quiet", False)


def shows_bars(arguments: TrainingArguments) -> bool:
    """Return whether this process is to show progress bars."""
    return arguments.process_index == 0 and not arguments.disable_tqdm and can_show_bars()


def describe_trial(state: TrainerState) -> str:
    """Return the settings that a hyper-parameter search tries, in one line."""
    values = {name: f"{value:.3g}" if isinstance(value, float) else value for name, value in state.trial_params.items()}
    settings = ", ".join(f"{name} {value}" for name, value in values.items())
    return f"{state.trial_name or 'Trial'}: {settings}"


def present_epoch(state: TrainerState) -> str:
    """Say which epoch begins, and of how many unless that is unknown, as for streamed data."""
    total = f"/{state.num_train_epochs}" if state.num_train_epochs < 10**6 else ""
    return f"epoch {int(state.epoch or 0) + 1}{total}"


def mean_loss(losses: list[tuple[int, float]]) -> float | None:
    """Average the losses of several logs, weighted by their steps; None without logs."""
    steps = sum(count for count, _ in losses)
    return sum(count * loss for count, loss in losses) / steps if steps else None


def is_best(metrics: dict[str, Any], arguments: TrainingArguments, state: TrainerState) -> bool:
    """Return whether an evaluation is better than all before, which `Trainer` decides only afterwards."""
    value = metrics.get(f"eval_{selecting_metric(arguments)}")
    if value is None:
        return False
    if arguments.greater_is_better:
        return value > (float("-inf") if state.best_metric is None else state.best_metric)
    return value < (float("inf") if state.best_metric is None else state.best_metric)

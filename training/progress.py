"""What training shows in a terminal: a table with a line for each evaluation, and a bar below it."""

import logging
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
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
from transformers.utils.import_utils import is_in_notebook

from seqrec.evaluation.tables import terminal_width, wrap
from seqrec.training.progress_table import ProgressTable, metric_names
from seqrec.training.progress_text import end_of_training, whole

__all__ = [
    "TrainingProgress",
    "can_show_bars",
    "line_width",
    "showing_progress",
    "shows_bars",
    "shows_lines",
    "tell",
    "use_training_progress",
]

MAX_WIDTH = 80
BAR = "{desc} {percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt} steps, {remaining} left"


class TrainingProgress(TrainerCallback):
    """Prints a line for each evaluation, or for each logged loss if there are no evaluations.

    Lines and bars go to standard error, of the main process only; bars only if it is a terminal.
    """

    def __init__(self) -> None:
        self.bar: Any = None
        self.end()

    def end(self) -> None:
        """Forget the training, and remove its bar."""
        if self.bar is not None:
            self.bar.close()
        self.bar = self.began = self.table = None
        self.first_step = self.last_logged = 0
        self.losses: list[tuple[int, float]] = []  # steps and their mean loss, since the last line

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Begin a new table."""
        self.end()
        self.began = time.perf_counter()
        self.first_step = self.last_logged = state.global_step
        if not shows_lines(args):
            return
        if state.is_hyper_param_search and state.trial_params:
            settings = ", ".join(f"{name}={value}" for name, value in state.trial_params.items())
            tell(f"{state.trial_name or 'Trial'}: {settings}")
        if state.global_step:
            tell(f"Resuming after step {state.global_step:,} of {state.max_steps:,}.")
        if shows_bars(args):
            self.bar = tqdm(
                total=state.max_steps,
                initial=state.global_step,
                bar_format=BAR,
                file=sys.stderr,
                dynamic_ncols=True,
                leave=False,
            )

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Name the epoch next to the bar."""
        if self.bar is not None:
            total = f"/{state.num_train_epochs}" if state.num_train_epochs < 10**6 else ""  # unknown if streamed
            self.bar.set_description_str(f"epoch {int(state.epoch or 0) + 1}{total}", refresh=False)

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
        if self.began is None or "loss" not in (logs or {}):
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
        if self.began is not None:
            self.print_line(args, state, metrics or {}, by=args.eval_strategy)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Say why training ended, and which evaluation was best."""
        self.end()
        if shows_lines(args):
            tell(end_of_training(args, state))

    def print_line(
        self, args: TrainingArguments, state: TrainerState, metrics: dict[str, Any], by: IntervalStrategy
    ) -> None:
        """Print a line, after the header if it is the first one or the terminal has become too narrow."""
        loss, self.losses = mean_loss(self.losses), []
        if not shows_lines(args):
            return
        width = line_width()
        best = (args.metric_for_best_model or "").removeprefix("eval_")
        place = "epoch" if by == IntervalStrategy.EPOCH else "step"
        if self.table is None or self.table.width > width:
            table = ProgressTable.fitting(
                width,
                place,
                has_loss=args.logging_strategy != IntervalStrategy.NO,
                metrics=metric_names(metrics),
                best=best,
            )
            if table != self.table:
                tell(table.header())
            self.table = table
        seconds = time.perf_counter() - self.began
        steps = state.global_step - self.first_step
        tell(
            self.table.line(
                whole(state.epoch or 0) if place == "epoch" else state.global_step,
                loss=loss,
                metrics={name: metrics[f"eval_{name}"] for name in metric_names(metrics)},
                best=best if is_best(metrics.get(f"eval_{best}"), args, state) else None,
                seconds=seconds,
                seconds_left=seconds / steps * (state.max_steps - state.global_step) if steps else None,
            )
        )


def use_training_progress(handler: CallbackHandler) -> None:
    """Replace the progress bar or printed logs that `Trainer` adds by default; a notebook's table stays."""
    if type(handler.callbacks[-1]) in (ProgressCallback, PrinterCallback):  # the trainer adds its own last
        handler.callbacks[-1] = TrainingProgress()


@contextmanager
def showing_progress(handler: CallbackHandler) -> Iterator[None]:
    """Keep warnings and log messages out of the progress bars, and remove these if training is interrupted."""
    try:
        with lines_above_bars():
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


def can_show_bars() -> bool:
    """Return whether progress bars can be shown here, in a terminal or a notebook, instead of filling a log file."""
    return is_in_notebook() or terminal_width(sys.stderr) is not None


def tell(text: str) -> None:
    """Write lines to standard error, above the bars, broken between words where the terminal is narrow."""
    if sys.stderr is not None:
        tqdm.write("\n".join(wrap(line, line_width()) for line in text.split("\n")), file=sys.stderr)
        sys.stderr.flush()


def line_width() -> int:
    """Return the most columns that a line may occupy: 80, or fewer in a narrow terminal."""
    return min(terminal_width(sys.stderr) or MAX_WIDTH, MAX_WIDTH)


def mean_loss(losses: list[tuple[int, float]]) -> float | None:
    """Average the losses of several logs, weighted by their steps; None without logs."""
    steps = sum(count for count, _ in losses)
    return sum(count * loss for count, loss in losses) / steps if steps else None


def is_best(value: Any, arguments: TrainingArguments, state: TrainerState) -> bool:
    """Return whether a metric is better than at all evaluations before, which `Trainer` decides only afterwards."""
    if value is None:
        return False
    if arguments.greater_is_better:
        return value > (float("-inf") if state.best_metric is None else state.best_metric)
    return value < (float("inf") if state.best_metric is None else state.best_metric)


@contextmanager
def lines_above_bars() -> Iterator[None]:
    """Make warnings and log messages appear above the progress bars of a terminal, instead of within them."""
    if terminal_width(sys.stderr) is None:
        yield
        return

    def above(write: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        with tqdm.external_write_mode(file=sys.stderr):
            write(*args, **kwargs)

    show = warnings.showwarning
    warnings.showwarning = partial(above, show)
    handlers = console_handlers()
    for handler in handlers:
        handler.emit = partial(above, handler.emit)  # type: ignore[method-assign]
    try:
        yield
    finally:
        warnings.showwarning = show
        for handler in handlers:
            del handler.emit


def console_handlers() -> list[logging.Handler]:
    """List the handlers that write log messages to the console."""
    loggers = [logging.root, *logging.root.manager.loggerDict.values()]
    found = {id(handler): handler for logger in loggers for handler in getattr(logger, "handlers", [])}
    if logging.lastResort is not None:  # the handler of messages that no other handles
        found[id(logging.lastResort)] = logging.lastResort
    return [handler for handler in found.values() if getattr(handler, "stream", None) in (sys.stdout, sys.stderr)]

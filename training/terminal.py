"""Lines and progress bars on standard error, without getting into each other's way."""

import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars
from tqdm.auto import tqdm
from transformers.utils.import_utils import is_in_notebook
from transformers.utils.logging import disable_progress_bar, enable_progress_bar, is_progress_bar_enabled

from seqrec.evaluation.tables import terminal_width, wrap

__all__ = [
    "can_show_bars",
    "line_width",
    "lines_above_bars",
    "tell",
    "without_idle_warnings",
    "without_library_bars",
    "without_messages",
]

MAX_WIDTH = 80


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


@contextmanager
def without_messages(logger_name: str, beginning: str) -> Iterator[None]:
    """Hide the messages of a logger that begin so."""

    def is_shown(record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith(beginning)

    logger = logging.getLogger(logger_name)
    logger.addFilter(is_shown)
    try:
        yield
    finally:
        logger.removeFilter(is_shown)


def without_idle_warnings() -> AbstractContextManager[None]:
    """Hide a warning of `Trainer` about checkpoints written within a second, which it rightly sorts by their steps."""
    return without_messages("transformers.trainer_utils", "mtime may not be reliable")


@contextmanager
def without_library_bars() -> Iterator[None]:
    """Hide the progress bars that transformers shows while it saves and loads models."""
    if not is_progress_bar_enabled():
        yield
        return
    hub_shows_bars = not are_progress_bars_disabled()
    disable_progress_bar()  # also those of huggingface_hub
    try:
        yield
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # if an environment variable disables those of huggingface_hub
            enable_progress_bar()
        if not hub_shows_bars:
            disable_progress_bars()

"""Log messages and warnings on the console: one line each, which a terminal breaks between words."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from seqrec.evaluation.tables import printable, terminal_width, wrap

__all__ = ["console_text", "in_one_line", "logging_to_console"]


def in_one_line(message: object) -> str:
    """Put a message on one line, with control characters escaped."""
    return printable(" ".join(str(message).split()))


def console_text(message: object) -> str:
    """Format a message for standard error: on one line, control characters escaped, broken to fit a terminal."""
    return wrap(in_one_line(f"seqrec: {message}"), terminal_width(sys.stderr))


class ConsoleHandler(logging.StreamHandler):
    """Writes log messages to the present standard error."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a message without its origin."""
        return console_text(record.getMessage())


@contextmanager
def logging_to_console() -> Iterator[None]:
    """Let the package's log messages look like its warnings."""
    logger, handler = logging.getLogger("seqrec"), ConsoleHandler(sys.stderr)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)

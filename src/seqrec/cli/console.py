"""Console behaviour: any encoding, closed pipes, Ctrl-C, and one-line warnings and errors."""

import json
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

import torch
from safetensors import SafetensorError

from seqrec.cli.console_log import console_text
from seqrec.evaluation.tables import printable

__all__ = ["INTERRUPTED", "REFUSED", "exit_status", "json_text", "plain_warnings", "ready_console", "tell"]

REFUSED, INTERRUPTED, BROKEN_PIPE = 2, 130, 141  # exit statuses; the last two are those of shells
# In the message of a `RuntimeError`, these mean a full disk, too little memory or a missing package.
FORESEEN_WORDS = ("PytorchStreamWriter", "inline_container", "allocate memory", "alloc_cpu", "to be installed")


def exit_status(name: str, command: Callable[[], object]) -> int:
    """Run a command, and turn expected errors into one line and an exit status.

    Returns:
        0 for success; 2 for a user's mistake or a system failure (a full disk, no permission, no connection); 130 for
        Ctrl-C; 141 if the reader of the output is gone, like tools killed by SIGPIPE.

    Raises:
        Exception: Any unexpected error, with its traceback.
    """
    try:
        try:
            command()
        except SystemExit:  # argparse printed a help text
            flush_output()
            raise
        flush_output()
    except KeyboardInterrupt:
        tell(f"\nseqrec {name}: interrupted.")
        return INTERRUPTED
    except BrokenPipeError:
        discard_output()
        return BROKEN_PIPE
    except Exception as error:
        reason = foreseen(error)
        if reason is None:
            raise
        tell(f"seqrec {name}: {reason}")
        return REFUSED
    return 0


def foreseen(error: Exception) -> str | None:
    """Describe an expected error in one line; None for an exception that can only be a bug."""
    if isinstance(error, OSError):
        reason = error.strerror or str(error) or type(error).__name__
        return in_one_line(f"{error.filename!s}: {reason}." if error.filename else reason)
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return "There is not enough memory. Use a smaller batch or model."
    if isinstance(error, RuntimeError) and not any(words in str(error) for words in FORESEEN_WORDS):
        return None
    if isinstance(error, ValueError | ImportError | SafetensorError | RuntimeError):
        return in_one_line(error)
    return None


def in_one_line(message: object) -> str:
    """Put a message on one line, with control characters escaped."""
    return printable(" ".join(str(message).split()))


def tell(message: str) -> None:
    """Write a line to standard error, if it is still open."""
    with suppress(OSError):
        print(message, file=sys.stderr, flush=True)


def ready_console() -> None:
    """Make printing safe for any kind of stream, and let Ctrl-C interrupt anything that waits."""
    sys.stdout, sys.stderr = (stream or open_nothing() for stream in (sys.stdout, sys.stderr))
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    if hasattr(signal, "siginterrupt"):  # polars makes system calls restart, so Ctrl-C would not end a stalled one
        signal.siginterrupt(signal.SIGINT, True)


def open_nothing() -> TextIO:
    """Open a replacement for a stream that was already closed at the start."""
    return open(os.devnull, "w", encoding="utf-8")


def flush_output() -> None:
    """Write buffered output while errors can still be reported."""
    try:
        sys.stdout.flush()
    except OSError:
        discard_output()
        raise


def discard_output() -> None:
    """Redirect standard output and error to nowhere, so that Python does not fail again when flushing them at exit."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            os.dup2(nothing, stream.fileno())
    os.close(nothing)


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Print each warning once, on one line that a terminal breaks between words, without its location in the code."""
    told: set[str] = set()
    format_before = warnings.formatwarning

    def plain_warning(message: Warning | str, *_: Any, **__: Any) -> str:
        line = f"{console_text(message)}\n"
        if line in told:
            return ""
        told.add(line)
        return line

    warnings.formatwarning = plain_warning
    try:
        yield
    finally:
        warnings.formatwarning = format_before


def json_text(value: Any, indent: int | None = None) -> str:
    """Format JSON for any console: with characters beyond ASCII only if all of them can be printed."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return json.dumps(value, indent=indent)
    is_harmless = all(line == printable(line) for line in text.split("\n"))
    return text if is_harmless else json.dumps(value, indent=indent)

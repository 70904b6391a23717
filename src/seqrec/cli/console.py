"""Console behaviour: any encoding, closed pipes, Ctrl-C, and one-line warnings and errors."""

import _thread
import json
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import Any, TextIO

from wrapt import register_post_import_hook

from seqrec.cli.console_log import console_text, in_one_line
from seqrec.evaluation.tables import printable
from seqrec.interactions.one_line import one_line

__all__ = ["INTERRUPTED", "REFUSED", "exit_status", "json_text", "plain_warnings", "ready_console", "tell"]

UNEXPECTED, REFUSED, INTERRUPTED, BROKEN_PIPE = 1, 2, 130, 141  # exit statuses; the last two are those of shells
ISSUES = "https://github.com/seqrec/seqrec/issues"
# In the message of a `RuntimeError`, these mean a full disk, too little memory or a missing package.
FORESEEN_WORDS = ("PytorchStreamWriter", "inline_container", "allocate memory", "alloc_cpu", "to be installed")


def exit_status(name: str, command: Callable[[], object]) -> int:
    """Run a command, and turn errors into one line and an exit status.

    Returns:
        0 for success; 1 for a bug; 2 for a user's mistake or a system failure (a full disk, no permission, no
        connection); 130 for Ctrl-C; 141 if the reader of the output is gone, like tools killed by SIGPIPE.

    Raises:
        Exception: A bug, with its traceback, if the environment variable SEQREC_TRACEBACK is set.
    """
    with noticing_interrupts() as interrupts:
        try:
            run_and_flush(command)
        except KeyboardInterrupt as interrupt:
            return tell_interrupt(name, str(interrupt))
        except BrokenPipeError:
            discard_output()
            return BROKEN_PIPE
        except Exception as error:
            if interrupts:  # some libraries turn the interruption of their import into another error
                return tell_interrupt(name)
            return tell_error(name, error)
    return 0


def run_and_flush(command: Callable[[], object]) -> None:
    """Run a command, and write its output while errors can still be reported."""
    try:
        command()
    except SystemExit:  # argparse printed a help text
        flush_output()
        raise
    flush_output()


def tell_interrupt(name: str, advice: str = "") -> int:
    """Say that a command was interrupted, and how to go on, if it told."""
    tell(f"\n{prefix(name)}: interrupted. {advice}".rstrip())
    return INTERRUPTED


def tell_error(name: str, error: Exception) -> int:
    """Describe an error in one line, and return the exit status; raise a bug again if that is wanted."""
    reason = foreseen(error)
    if reason is not None:
        tell(f"{prefix(name)}: {reason}")
        return REFUSED
    if os.environ.get("SEQREC_TRACEBACK"):
        raise error
    tell(
        f"{prefix(name)}: unexpected {type(error).__name__}: {one_line(error)}. This is a bug: set SEQREC_TRACEBACK=1 "
        f"to see where it happened, and report it at {ISSUES}."
    )
    return UNEXPECTED


def prefix(name: str) -> str:
    """Return what a line about a command begins with; its name is empty for `seqrec` alone."""
    return f"seqrec {name}".rstrip()


@contextmanager
def noticing_interrupts() -> Iterator[list[int]]:
    """Yield a list that grows with each Ctrl-C, and see to it that none is lost.

    Python ignores exceptions in some callbacks, also of its import system; an interrupt there is sent again.
    """
    interrupts: list[int] = []
    if threading.current_thread() is not threading.main_thread() or (
        signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield interrupts
        return

    def notice(number: int, frame: Any) -> None:
        interrupts.append(number)
        signal.default_int_handler(number, frame)

    def send_again(unraisable: Any) -> None:
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            threading.Timer(0.02, _thread.interrupt_main).start()
        else:
            hook_before(unraisable)

    hook_before, sys.unraisablehook = sys.unraisablehook, send_again
    signal.signal(signal.SIGINT, notice)
    try:
        yield interrupts
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.unraisablehook = hook_before


def foreseen(error: Exception) -> str | None:
    """Describe an expected error in one line; None for an exception that can only be a bug."""
    if isinstance(error, OSError):
        reason = error.strerror or str(error) or type(error).__name__
        return in_one_line(f"{error.filename!s}: {reason}." if error.filename else reason)
    if isinstance(error, MemoryError) or is_a(error, "torch", "OutOfMemoryError"):
        return "There is not enough memory. Use a smaller batch or model."
    if isinstance(error, RuntimeError) and not any(words in str(error) for words in FORESEEN_WORDS):
        return None
    if isinstance(error, ValueError | ImportError | RuntimeError) or is_a(error, "safetensors", "SafetensorError"):
        return in_one_line(error)
    return None


def is_a(error: Exception, module: str, name: str) -> bool:
    """Return whether an error is of a class in a module that may not have been imported."""
    kind = getattr(sys.modules.get(module), name, None)
    return kind is not None and isinstance(error, kind)


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
    register_post_import_hook(interrupt_what_waits, "polars")


def interrupt_what_waits(_: ModuleType) -> None:
    """Undo that polars makes system calls restart, so that Ctrl-C would not end a stalled one."""
    if hasattr(signal, "siginterrupt"):
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

"""The console: any encoding, readers that go away, Ctrl-C, warnings in one line, and one line for what went wrong."""

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

from seqrec.evaluation.tables import printable

REFUSED, INTERRUPTED, BROKEN_PIPE = 2, 130, 141  # exit statuses; the last two as shells report them
# What libraries say of a full disk, too little memory and a missing package in a `RuntimeError`.
FORESEEN_WORDS = ("PytorchStreamWriter", "inline_container", "allocate memory", "alloc_cpu", "to be installed")


def exit_status(name: str, command: Callable[[], object]) -> int:
    """Run a command, and turn what may go wrong without a fault of ours into one line and an exit status.

    Returns:
        0; 2 for a mistake of the user or a failure of the system (a full disk, no permission, no connection); 130
        for Ctrl-C; 141, as tools that die of SIGPIPE, if whoever read the output is gone.

    Raises:
        Exception: What we did not foresee, with its traceback.
    """
    try:
        try:
            command()
        except SystemExit:  # argparse printed a help
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
    """Tell in one line what went wrong; None for an exception that only a fault of ours explains."""
    if isinstance(error, OSError):
        reason = error.strerror or str(error) or type(error).__name__
        return in_one_line(f"{error.filename!s}: {reason}." if error.filename else reason)
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return "There is not enough memory. Try a smaller batch or model."
    if isinstance(error, RuntimeError) and not any(words in str(error) for words in FORESEEN_WORDS):
        return None
    if isinstance(error, ValueError | ImportError | SafetensorError | RuntimeError):
        return in_one_line(error)
    return None


def in_one_line(message: object) -> str:
    """Put a message on one line, its control characters escaped."""
    return printable(" ".join(str(message).split()))


def tell(message: str) -> None:
    """Write a line to standard error, if anybody still reads it."""
    with suppress(OSError):
        print(message, file=sys.stderr, flush=True)


def ready_console() -> None:
    """Make printing safe whatever the streams are, and let Ctrl-C end whatever waits."""
    sys.stdout, sys.stderr = (stream or open_nothing() for stream in (sys.stdout, sys.stderr))
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    if hasattr(signal, "siginterrupt"):  # polars has system calls restarted, so that a stalled connection goes on
        signal.siginterrupt(signal.SIGINT, True)


def open_nothing() -> TextIO:
    """Open a stream in place of one that was closed before we began."""
    return open(os.devnull, "w", encoding="utf-8")


def flush_output() -> None:
    """Write what is buffered, while a failure can still be told."""
    try:
        sys.stdout.flush()
    except OSError:
        discard_output()
        raise


def discard_output() -> None:
    """Point standard output and error to nothing, so that Python does not fail again when it flushes them at exit."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            os.dup2(nothing, stream.fileno())
    os.close(nothing)


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Print each warning as one line, once, without the place in the code that it comes from."""
    told: set[str] = set()
    format_before = warnings.formatwarning

    def plain_warning(message: Warning | str, *_: Any, **__: Any) -> str:
        line = f"seqrec: {in_one_line(message)}\n"
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
    """Write JSON that any console shows as it is: beyond ASCII only where all of it can be printed."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return json.dumps(value, indent=indent)
    is_harmless = all(line == printable(line) for line in text.split("\n"))
    return text if is_harmless else json.dumps(value, indent=indent)

"""The command line: `seqrec prepare`, `seqrec train` and so on; `USAGE` lists the commands."""

import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from importlib.metadata import version
from typing import Any

from wrapt import register_post_import_hook

from seqrec.cli.console import INTERRUPTED, REFUSED, exit_status, plain_warnings, ready_console, tell
from seqrec.cli.console_log import logging_to_console
from seqrec.cli.parsers import close

__all__ = ["main"]

USAGE = """seqrec COMMAND [flags]

  prepare     split and encode interactions once, for several trainings
  train       train, evaluate, save and document a model
  tune        search for the best settings, and train with them
  evaluate    evaluate a saved model on held-out interactions
  recommend   recommend items for one history, or for every user in a file
  predict     predict ratings and other outcomes for the pairs in a file
  embed       write the vectors of items, or of the users in a file
  picture     draw a picture of a saved model and its recommendations
  add-items   add new items to a saved model, without training
  hide-items  never recommend some items of a saved model
  show-items  recommend hidden items again
  export      export a saved model to ONNX, OpenVINO or torch.export
  push        share a saved model on the Hub
  demo        try a saved model in the browser
  space       write a Space of the Hub with the same page
  serve       answer HTTP requests for recommendations
  endpoint    make a saved model ready for an inference endpoint of the Hub

`seqrec COMMAND --help` lists a command's flags; `seqrec --version` prints the version."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status; see `exit_status`.

    Args:
        arguments: The words after `seqrec`; None for those of this process, which is then about to end.
    """
    ready_console()
    argv = list(sys.argv[1:] if arguments is None else arguments)
    status = run(argv)
    if status == INTERRUPTED and arguments is None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C could only disturb Python's own end
    return status


def run(argv: list[str]) -> int:
    """Run a command and return its exit status."""
    if not argv or argv[0] in ("-h", "--help"):
        return exit_status("", lambda: print(USAGE))
    if argv[0] == "--version":
        return exit_status("", lambda: print(f"seqrec {version('seqrec')}"))
    command = COMMANDS.get(argv[0])
    if command is None:
        tell(f"seqrec: {no_command(argv[0])}")
        return REFUSED
    register_post_import_hook(hide_loading_bars, "transformers.utils.logging")
    register_post_import_hook(hide_conversion_bars, "datasets.utils.tqdm")
    with plain_warnings(), logging_to_console():
        return exit_status(argv[0], partial(command, argv[1:]))


def no_command(word: str) -> str:
    """Say that there is no such command, and which it may be a misspelling of."""
    kind = "flag" if word.startswith("-") else "command"
    near = close(word, [*COMMANDS, "--help", "--version"])
    advice = f"Did you mean {near}?" if near else f"Choose one of: {', '.join(COMMANDS)}."
    return f"there is no {kind} {word!r}. {advice}"


def hide_loading_bars(logging: Any) -> None:
    """Hide the progress bars of loading and saving; training and ranking keep theirs."""
    logging.disable_progress_bar()


def hide_conversion_bars(tqdm: Any) -> None:
    """Hide the progress bars of converting tables; downloads keep theirs."""
    tqdm.disable_progress_bars()


def run_command(name: str, argv: Sequence[str]) -> None:
    """Import a command, and run it."""
    function = f"{name.replace('-', '_')}_command"
    getattr(import_module(f"seqrec.cli.{function}"), function)(argv)


COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {
    name: partial(run_command, name)
    for name in (
        "prepare",
        "train",
        "tune",
        "evaluate",
        "recommend",
        "predict",
        "embed",
        "picture",
        "add-items",
        "hide-items",
        "show-items",
        "export",
        "push",
        "demo",
        "space",
        "serve",
        "endpoint",
    )
}

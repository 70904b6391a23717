"""The command line: `seqrec prepare`, `seqrec train`, `seqrec evaluate`, `seqrec recommend`, `seqrec push`."""

import sys
from collections.abc import Callable, Sequence
from functools import partial

from transformers.utils.logging import disable_progress_bar

from seqrec.cli.console import INTERRUPTED, REFUSED, exit_status, plain_warnings, ready_console, tell
from seqrec.cli.console_log import logging_to_console
from seqrec.cli.evaluate_command import evaluate_command
from seqrec.cli.prepare_command import prepare_command
from seqrec.cli.push_command import push_command
from seqrec.cli.recommend_command import recommend_command
from seqrec.cli.train_command import train_command

__all__ = ["main"]

USAGE = """seqrec COMMAND [flags]

  prepare    split and encode interactions once, for several trainings
  train      train, evaluate, save and document a model
  evaluate   evaluate a saved model on held-out interactions
  recommend  recommend items for one history, or for every user in a file
  push       share a saved model on the Hub

`seqrec COMMAND --help` lists a command's flags."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status; see `exit_status`."""
    ready_console()
    argv = list(sys.argv[1:] if arguments is None else arguments)
    if not argv or argv[0] in ("-h", "--help"):
        return exit_status("", lambda: print(USAGE))
    command = COMMANDS.get(argv[0])
    if command is None:
        tell(f"seqrec: there is no command {argv[0]!r}. Choose one of: {', '.join(COMMANDS)}.")
        return REFUSED
    disable_progress_bar()  # for loading and saving; training and ranking keep theirs
    with plain_warnings(), logging_to_console():
        status = exit_status(argv[0], partial(command, argv[1:]))
    if status == INTERRUPTED and argv[0] == "train":
        tell("Completed epochs are kept: add --resume_from_checkpoint true to continue.")
    return status


COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {
    "prepare": prepare_command,
    "train": train_command,
    "evaluate": evaluate_command,
    "recommend": recommend_command,
    "push": push_command,
}

"""Flags that several commands share."""

import sys
from collections.abc import Sequence
from importlib import import_module

from seqrec.cli.parsers import FlagParser, not_empty
from seqrec.errors import InputError
from seqrec.interactions.one_line import one_line

__all__ = ["add_device_flag", "add_import_flag", "add_model_flag", "add_quiet_flag", "import_modules"]


def add_model_flag(parser: FlagParser) -> None:
    """Add the saved model to run."""
    parser.add_argument(
        "--model", required=True, type=not_empty, help="Folder of the model, or its repository on the Hub."
    )


def add_device_flag(parser: FlagParser) -> None:
    """Add the device to run on."""
    parser.add_argument(
        "--device", default="auto", help="auto (default: the GPU if there is one), cpu, cuda, cuda:1, mps, …"
    )


def add_quiet_flag(parser: FlagParser) -> None:
    """Add the switch for showing only the result, warnings and errors."""
    parser.add_argument("--quiet", action="store_true", help="Show nothing but the result, warnings and errors.")


def add_import_flag(parser: FlagParser) -> None:
    """Add Python modules to import first."""
    parser.add_argument(
        "--import",
        dest="modules",
        action="append",
        type=not_empty,
        metavar="MODULE",
        help="Python module that registers architectures, event columns or parts; may be given several times.",
    )


def import_modules(argv: Sequence[str]) -> bool:
    """Import the modules that `--import` names, also from the current folder; return whether there are any.

    Raises:
        InputError: If one does not exist, or fails.
    """
    parser = FlagParser(prog="seqrec", add_help=False)
    add_import_flag(parser)
    modules = parser.parse_known_args(argv)[0].modules or []
    if modules and "" not in sys.path:
        sys.path.append("")
    for name in modules:
        try:
            import_module(name)
        except (Exception, SystemExit) as error:  # a script may end Python
            raise InputError(f"--import {name} failed: {type(error).__name__}: {one_line(error)}.") from error
    return bool(modules)

"""Flags, and checks of flags, that several commands share. Nothing here imports anything heavy."""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from seqrec.cli.parsers import FlagParser, not_empty, positive_integer
from seqrec.errors import InputError
from seqrec.interactions.locations import is_address, require_dataset_name, similar
from seqrec.interactions.one_line import one_line

__all__ = [
    "COLUMNS",
    "add_backend_flag",
    "add_column_flags",
    "add_device_flag",
    "add_engine_flags",
    "add_import_flag",
    "add_model_flag",
    "add_quiet_flag",
    "add_request_flags",
    "asks_for_help",
    "check_dataset",
    "columns_of",
    "import_modules",
    "require_ray",
    "value_of",
]

COLUMNS = {name: f"{name}_column" for name in ("user_id", "item_id", "timestamp", "rating", "click")}  # and their flags
HELP = {"-h", "--help", "--help_all"}


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


def add_backend_flag(parser: FlagParser) -> None:
    """Add what computes recommendations."""
    parser.add_argument(
        "--backend",
        default="torch",
        choices=("torch", "onnx", "openvino"),
        help="torch (default), or the graph that `seqrec export` wrote, by onnx or openvino.",
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


def add_engine_flags(parser: FlagParser, work: str) -> None:
    """Add the engine whose workers do some work."""
    parser.add_argument(
        "--engine",
        choices=("ray", "spark"),
        help=f"{work} on the workers of a cluster of Ray or Spark, or on all cores of this machine (extra [ray], "
        "[spark]). They must share the folder of the output.",
    )
    parser.add_argument(
        "--num_workers", type=positive_integer, help="Number of workers of Ray (default: one for each core, or GPU)."
    )


def require_ray(flags: argparse.Namespace) -> None:
    """Raise an `InputError` if --num_workers is given without Ray, which alone reads it."""
    if flags.num_workers is not None and flags.engine != "ray":
        raise InputError("--num_workers only applies to --engine ray. Leave it out.")


def add_column_flags(parser: FlagParser, of: str) -> None:
    """Add the names of a table's columns, where `of` is the flag of the table."""
    for column, flag in COLUMNS.items():
        parser.add_argument(
            f"--{flag}",
            type=not_empty,
            help=f"Column of {of} with the {column}s (default: as in training, or {column}).",
        )


def columns_of(flags: argparse.Namespace) -> dict[str, str]:
    """Return the names of the columns that flags give."""
    return {column: getattr(flags, flag) for column, flag in COLUMNS.items() if getattr(flags, flag) is not None}


def add_request_flags(parser: FlagParser) -> None:
    """Add the time of requests, recent interactions, and what to do with unknown items."""
    parser.add_argument(
        "--at",
        type=not_empty,
        help="When the items are asked for, for models with request_time=target: an ISO time, a number, or 'now'.",
    )
    parser.add_argument(
        "--recent",
        type=not_empty,
        help="File of all users' interactions in recent days, to count instead of those in training, for models with "
        "popularity_windows.",
    )
    parser.add_argument(
        "--unknown", choices=("skip", "error"), default="skip", help="How to treat unknown ids (default: skip)."
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


def check_dataset(argv: Sequence[str], *, engines: bool = False) -> None:
    """Refuse a command line that names no interactions, or files or folders that do not exist.

    Args:
        argv: The command line.
        engines: Whether --engine reads addresses such as s3://bucket/table.

    Raises:
        InputError: On any of these.
    """
    dataset = value_of("dataset", argv)
    if dataset is None:
        raise InputError(
            "No interactions were named. Pass --dataset ml-100k, a file, a folder, or a data set on the Hub."
        )
    if engines and is_address(dataset) and value_of("engine", argv):
        return
    if dataset.strip():  # otherwise the message names the flag
        require_dataset_name(dataset)
    items = value_of("items", argv)
    if items and not Path(items).exists():
        raise InputError(f"There is no file {items!r}.{similar(items)}")


def value_of(name: str, argv: Sequence[str]) -> str | None:
    """Return the text that a command line gives for a flag; None without the flag."""
    parser = FlagParser(prog="seqrec", add_help=False)
    parser.add_argument(f"--{name}", f"--{name.replace('_', '-')}")
    return getattr(parser.parse_known_args(argv)[0], name)


def asks_for_help(argv: Sequence[str]) -> bool:
    """Return whether a command line asks for help."""
    return bool(HELP & set(argv))

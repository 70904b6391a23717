"""`seqrec tune`."""

import argparse
import shlex
import time
from collections.abc import Iterable, Sequence
from functools import partial

from seqrec.cli.config_file import with_config_file
from seqrec.cli.parsers import FlagParser, finite_number, not_empty, positive_integer
from seqrec.cli.shared_flags import asks_for_help, import_modules
from seqrec.cli.train_command import check_train_flags, own_flags
from seqrec.registration import MODELS
from seqrec.training.tuning_budget import require_budget

__all__ = ["tune_command"]

DESCRIPTION = (
    "Search for the settings with the best validation, beginning with the defaults, and save the best model, evaluated "
    "once on test, with recipe.yaml (for `seqrec train --config`), trials.parquet and tune.png. The same command "
    "continues a search that was interrupted."
)
# Flags of the command itself, and those of the data and the output; all others fix a setting.
SHARED = (
    *("minutes", "trials", "processes", "search", "overwrite", "device"),
    *("model_type", "model_name_or_path", "init_from", "model_revision"),
)
OF_TUNE = {"dataset", "items", "output_dir"}
EPILOG = (
    "All flags of `seqrec train` work too, and fix their settings; `seqrec train --help` lists them. Give --dataset, "
    "--output_dir, and either --minutes or --trials."
)


def tune_command(argv: Sequence[str]) -> None:
    """`seqrec tune`."""
    began = time.time()
    argv = with_config_file(argv)
    if asks_for_help(argv):
        help_parser().print_help()
        return
    own = tune_flags(MODELS)
    if not import_modules(argv):  # which may declare further flags
        check_train_flags(argv, own)
        check_budget(own, argv)
    tune(argv, began)


def tune_flags(model_types: Iterable[str]) -> FlagParser:
    """Build a parser of the flags of `seqrec tune` that no dataclass declares."""
    parser = FlagParser(
        prog="seqrec tune", add_help=False, parents=[own_flags(model_types)], conflict_handler="resolve"
    )
    add_search_flags(parser)
    overwrite = parser._option_string_actions["--overwrite"]
    overwrite.help = "Start a new search, and replace a model that output_dir already holds."
    return parser


def add_search_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the search."""
    group = parser.add_argument_group("search")
    group.add_argument("--minutes", type=number, metavar="M", help="Minutes for the whole search, with evaluation.")
    group.add_argument("--trials", type=number, metavar="N", help="Number of trials, instead of --minutes.")
    group.add_argument(
        "--processes",
        type=positive_integer,
        default=1,
        metavar="N",
        help="Processes that share the search (default: 1).",
    )
    group.add_argument(
        "--search",
        type=names,
        metavar="NAMES",
        help="Settings to vary, separated by commas (default: those that are usually worth it).",
    )


def help_parser() -> FlagParser:
    """Build a parser for the help alone, which needs nothing heavy."""
    return FlagParser(
        prog="seqrec tune",
        usage="seqrec tune --dataset DATA --output_dir DIR (--minutes M | --trials N) [flags]",
        description=DESCRIPTION,
        epilog=EPILOG,
        parents=[tune_flags(MODELS)],
        formatter_class=partial(argparse.HelpFormatter, max_help_position=40, width=110),
    )


def number(text: str) -> float:
    """Parse a finite number; an integer if it is one."""
    value = finite_number(text)
    return int(value) if value.is_integer() else value


def names(text: str) -> list[str]:
    """Split the names of settings at commas."""
    return [name.strip().lstrip("-") for name in not_empty(text).split(",") if name.strip()]


def check_budget(parser: FlagParser, argv: Sequence[str]) -> None:
    """Refuse an unusable budget before anything heavy is imported."""
    flags = parser.parse_known_args(argv)[0]
    with parser.naming_flags():
        require_budget(flags.minutes, flags.trials, flags.processes)


def tune(argv: Sequence[str], began: float) -> None:
    """Search as the flags say, and print a summary; the time counts from when the command began."""
    from seqrec.cli.summary import print_result
    from seqrec.cli.train_flags import given_flags, train_parser
    from seqrec.modeling.modeling_auto import MODEL_TYPES
    from seqrec.training.tune import tune_settings

    own = tune_flags(MODEL_TYPES)
    parser = train_parser(argv, own)
    with parser.naming_flags():
        parser.parse_all(argv)  # which refuses mistakes
        given = given_flags(parser, argv)
        flags = vars(own.parse_known_args(argv)[0])
        settings = {name: value for name, value in given.items() if name not in {*flags, *OF_TUNE}}
        flags = {name: flags[name] for name in SHARED}
        trained = tune_settings(
            settings,
            dataset=given.get("dataset"),
            items_name=given.get("items"),
            output_dir=given.get("output_dir", parser.get_default("output_dir")),
            modules=own.parse_known_args(argv)[0].modules or (),
            command=shlex.join(["seqrec", "tune", *argv]),
            began=began,
            **flags,
        )
    print_result(trained)
    trained.trainer.accelerator.end_training()

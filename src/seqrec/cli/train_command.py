"""`seqrec train`."""

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from seqrec.cli.config_file import with_config_file
from seqrec.cli.declared_flags import config_flag_names, data_flag_names, training_flag_names
from seqrec.cli.output import require_folder
from seqrec.cli.parsers import FlagParser, flag_names, not_empty, require_flags, true_or_false
from seqrec.cli.shared_flags import (
    add_device_flag,
    add_import_flag,
    asks_for_help,
    check_dataset,
    import_modules,
    value_of,
)
from seqrec.registration import MODELS

__all__ = ["check_train_flags", "own_flags", "train_command"]


def train_command(argv: Sequence[str]) -> None:
    """`seqrec train`."""
    argv = with_config_file(argv)
    if not import_modules(argv):  # which may declare further flags
        check_train_flags(argv)
    train(argv)


def own_flags(model_types: Iterable[str]) -> FlagParser:
    """Build a parser of the flags of `seqrec train` that no dataclass declares."""
    parser = FlagParser(prog="seqrec train", add_help=False)
    parser.add_argument("--model_type", choices=sorted(model_types), help="Architecture (default: sasrec).")
    parser.add_argument(
        "--model_name_or_path",
        type=not_empty,
        help="Folder or Hub repository of a model to fine-tune, instead of training from scratch. If it reads item "
        "features, new items are added first.",
    )
    parser.add_argument(
        "--init_from",
        type=not_empty,
        help="Folder or Hub repository of a model of another catalogue, whose network and feature encoders the new "
        "model starts with.",
    )
    parser.add_argument(
        "--model_revision", help="Branch, commit or refs/pr/NUMBER of either repository (default: main)."
    )
    parser.add_argument(
        "--overwrite",
        type=true_or_false,
        nargs="?",
        const=True,
        default=False,
        help="Replace a model or checkpoints that output_dir already holds.",
    )
    parser.add_argument("--config", help="YAML file with any of these flags.")
    add_device_flag(parser)
    add_import_flag(parser)
    return parser


def check_train_flags(argv: Sequence[str], own: FlagParser | None = None) -> None:
    """Refuse, before anything heavy is imported, unknown flags, an unusable output folder and data that do not exist.

    Args:
        argv: The words of the command line.
        own: A parser of the flags that no dataclass declares; those of `seqrec train` if None.

    Raises:
        InputError: On any of these.
    """
    if asks_for_help(argv):
        return
    own = own or own_flags(MODELS)
    names = flag_names(own) | data_flag_names() | training_flag_names() | config_flag_names()
    require_flags(argv, names, own.prog)
    own.parse_known_args(argv)
    output_dir = value_of("output_dir", argv)
    if output_dir is not None:
        require_folder(output_dir)
    check_dataset(argv)


def train(argv: Sequence[str]) -> None:
    """Train as the flags say, and print a summary."""
    from seqrec.cli.summary import print_result
    from seqrec.cli.train_flags import config_flags, device_flags, given_flags, train_parser
    from seqrec.training.checkpoints import complete_checkpoints
    from seqrec.training.job import run_job

    parser = train_parser(argv)
    with parser.naming_flags():
        data_arguments, training_arguments, rest = parser.parse_all([*argv, *device_flags(argv)])
        options = vars(rest)
        given = given_flags(parser, argv)
        names = config_flags(options["model_type"])
        try:
            trained = run_job(
                data_arguments,
                training_arguments,
                model_type=options["model_type"],
                model_name_or_path=options["model_name_or_path"],
                init_from=options["init_from"],
                model_revision=options["model_revision"],
                config_fields={name: given[name] for name in names if name in given},
                given=given,
                overwrite=options["overwrite"],
                command=shlex.join(["seqrec", "train", *argv]),
            )
        except KeyboardInterrupt as interrupt:
            if complete_checkpoints(Path(training_arguments.output_dir)):
                raise KeyboardInterrupt("Add --resume_from_checkpoint true to continue.") from interrupt
            raise
    if trained.trainer.is_world_process_zero():
        print_result(trained)
    trained.trainer.accelerator.end_training()  # leaves the process group, if there is one

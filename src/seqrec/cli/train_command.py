"""`seqrec train`."""

import shlex
from collections.abc import Sequence

from seqrec.cli.config_file import with_config_file
from seqrec.cli.own_flags import check_train_flags
from seqrec.cli.shared_flags import import_modules

__all__ = ["train_command"]


def train_command(argv: Sequence[str]) -> None:
    """`seqrec train`."""
    argv = with_config_file(argv)
    if not import_modules(argv):  # which may declare further flags
        check_train_flags(argv)
    train(argv)


def train(argv: Sequence[str]) -> None:
    """Train as the flags say, and print a summary."""
    from seqrec.cli.summary import print_summary
    from seqrec.cli.train_flags import config_flags, device_flags, train_parser
    from seqrec.training.job import run_job

    parser = train_parser(argv)
    with parser.naming_flags():
        data_arguments, training_arguments, rest = parser.parse_all([*argv, *device_flags(argv)])
        options = vars(rest)
        names = config_flags(options["model_type"])
        trained = run_job(
            data_arguments,
            training_arguments,
            model_type=options["model_type"],
            model_name_or_path=options["model_name_or_path"],
            model_revision=options["model_revision"],
            config_fields={name: options[name] for name in names if options[name] is not None},
            overwrite=options["overwrite"],
            command=shlex.join(["seqrec", "train", *argv]),
        )
    if trained.trainer.is_world_process_zero() and not training_arguments.quiet:
        print_summary(trained)
    trained.trainer.accelerator.end_training()  # leaves the process group, if there is one

"""`seqrec prepare`."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from seqrec.cli.collected_values import Collect, names
from seqrec.cli.declared_flags import data_flag_names
from seqrec.cli.output import require_new_folder
from seqrec.cli.parsers import FlagParser, flag_names, not_empty, require_flags
from seqrec.cli.shared_flags import (
    add_engine_flags,
    add_import_flag,
    add_quiet_flag,
    asks_for_help,
    check_dataset,
    import_modules,
    require_ray,
)
from seqrec.errors import InputError
from seqrec.evaluation.tables import printable

if TYPE_CHECKING:
    from seqrec.cli.dataclass_parser import DataclassParser
    from seqrec.interactions.data_arguments import DataArguments
    from seqrec.interactions.large_preparation import LargeSet

__all__ = ["prepare_command"]


def prepare_command(argv: Sequence[str]) -> None:
    """`seqrec prepare`."""
    own = own_flags()
    if not asks_for_help(argv):
        require_flags(argv, flag_names(own) | data_flag_names(), own.prog)
        check_own_flags(own, argv)
        check_dataset(argv, engines=True)
    import_modules(argv)
    parser = full_parser(own)
    with parser.naming_flags():
        prepare_data(*parser.parse_all(argv))


def own_flags() -> FlagParser:
    """Build a parser of the flags that no dataclass declares."""
    parser = FlagParser(prog="seqrec prepare", add_help=False)
    parser.add_argument("--output_dir", required=True, help="New folder for sequences, vocabulary and catalogue.")
    parser.add_argument("--repo_id", type=not_empty, help="Also push it to this data set on the Hub (org/name).")
    parser.add_argument("--private", action="store_true", default=None, help="Make a new data set private.")
    parser.add_argument(
        "--tasks",
        nargs="+",
        action=Collect,
        type=names,
        default=[],
        metavar="NAME,NAME",
        help="Tasks of models to be trained on it, as in `seqrec train`, whose columns of labels are kept.",
    )
    add_engine_flags(parser, "Divide, sort and encode a table of any size")
    add_quiet_flag(parser)
    add_import_flag(parser)
    return parser


def check_own_flags(parser: FlagParser, argv: Sequence[str]) -> None:
    """Raise an `InputError` unless the data set can be written, and pushed if that is wanted."""
    flags = parser.parse_known_args(argv)[0]
    if flags.private and flags.repo_id is None:
        raise InputError("--private has no effect without --repo_id. Leave it out, or give --repo_id.")
    require_ray(flags)
    if flags.repo_id is not None:
        from huggingface_hub.utils import validate_repo_id

        from seqrec.interactions.hub_errors import explained

        with explained(flags.repo_id, "pushed"):
            validate_repo_id(flags.repo_id)
    require_new_folder(flags.output_dir)


def full_parser(own: FlagParser) -> "DataclassParser":
    """Build a parser of all flags."""
    from seqrec.cli.dataclass_parser import DataclassParser
    from seqrec.interactions.data_arguments import DataArguments

    return DataclassParser(
        [DataArguments],
        prog=own.prog,
        parents=[own],
        description="Split and encode interactions once; then train on them with `seqrec train --dataset DIR`.",
    )


def prepare_data(data_arguments: "DataArguments", flags: argparse.Namespace) -> None:
    """Prepare as the flags say, and tell what was written."""
    from seqrec.configuration.configuration_next_item import NextItemConfig
    from seqrec.configuration.task_entries import NEXT_ITEM_TASK
    from seqrec.interactions.preparation import prepare

    columns = NextItemConfig(tasks=list(dict.fromkeys([NEXT_ITEM_TASK, *flags.tasks]))).label_tasks
    written = prepare_in_parts(data_arguments, columns, flags)
    if written is None:
        data = prepare(data_arguments, event_columns=columns)
        data.save(flags.output_dir, name=flags.repo_id)
        num_rows, num_items = {part: len(rows) for part, rows in data.sequences.items()}, len(data.items)
        kept = data.protocol["num_interactions"]
        told = f"Read {data.protocol.get('num_interactions_read', kept):,} interactions: kept {kept:,}."
    else:
        num_rows, num_items, told = written.num_rows, written.num_items, written.counts.describe()
    if not flags.quiet:
        print(told)
        parts = ", ".join(f"{count:,} for {part.replace('_', ' ')}" for part, count in num_rows.items())
        print(f"Wrote the histories ({parts}) and the {num_items:,} items to {printable(flags.output_dir)}.")
    if flags.repo_id is not None:
        from seqrec.hub.sharing import push_prepared_set

        address = push_prepared_set(flags.output_dir, flags.repo_id, private=flags.private)
        print(address if flags.quiet else f"Pushed them to {address}")


def prepare_in_parts(
    data_arguments: "DataArguments", columns: Sequence[str], flags: argparse.Namespace
) -> "LargeSet | None":
    """Prepare data that are too large for memory, or on the workers of an engine; return None for any others."""
    from seqrec.interactions.engine_tables import shared_source
    from seqrec.interactions.large_preparation import large_source, prepare_large
    from seqrec.interactions.workers import find_workers

    workers = find_workers(flags.engine, flags.num_workers)
    options = {"event_columns": columns, "name": flags.repo_id, "progress": not flags.quiet, "workers": workers}
    if workers is not None:
        with shared_source(data_arguments, workers, flags.output_dir) as source:
            return prepare_large(data_arguments, source, flags.output_dir, **options)
    found = large_source(data_arguments)
    return None if found is None else prepare_large(data_arguments, found, flags.output_dir, **options)

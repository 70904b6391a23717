"""`seqrec recommend`."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import get_args

from seqrec.cli.console import json_text
from seqrec.cli.output import WRITERS, require_output_file, write_frame
from seqrec.cli.parsers import FlagParser, not_empty, positive_integer, some_ids, split_ids
from seqrec.cli.shared_flags import add_device_flag, add_import_flag, add_model_flag, add_quiet_flag, import_modules
from seqrec.errors import InputError
from seqrec.evaluation.tables import printable, terminal_width
from seqrec.interactions.locations import require_model_name
from seqrec.search.index_names import IndexName

__all__ = ["recommend_command"]

COLUMNS = {"user_id": "user_id_column", "item_id": "item_id_column", "timestamp": "timestamp_column"}  # and their flags
DEFAULT_K = 10


def recommend_command(argv: Sequence[str]) -> None:
    """`seqrec recommend`."""
    parser = recommend_parser()
    with parser.naming_flags():
        flags = parser.parse_args(argv)
        require_one_source(flags)
        require_model_name(flags.model)
        import_modules(argv)
        recommend(flags)


def recommend_parser() -> FlagParser:
    """Build the parser of the flags."""
    parser = FlagParser(
        prog="seqrec recommend", description="Recommend items for one history, or for every user in a file."
    )
    add_model_flag(parser)
    add_device_flag(parser)
    parser.add_argument("--history", type=split_ids, help="Raw item ids, oldest first, separated by commas.")
    parser.add_argument(
        "--timestamps",
        type=split_ids,
        help="Times of the items of --history, separated by commas, for models that read times: ISO times, or numbers "
        "since 1970.",
    )
    parser.add_argument("--input", type=not_empty, help="File of interactions, instead of --history.")
    for column, flag in COLUMNS.items():
        parser.add_argument(
            f"--{flag}",
            type=not_empty,
            help=f"Column of --input with the {column}s (default: as in training, or {column}).",
        )
    parser.add_argument("--output", help=f"File for the recommendations for --input ({', '.join(WRITERS)}).")
    parser.add_argument("--k", type=positive_integer, help=f"Number of items per history (default: {DEFAULT_K}).")
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
    parser.add_argument("--allow", type=some_ids, help="Recommend only these ids.")
    parser.add_argument("--deny", type=some_ids, help="Never recommend these ids.")
    parser.add_argument(
        "--index", default="exact", choices=get_args(IndexName), help="How to search the catalogue (default: exact)."
    )
    parser.add_argument("--include_seen", action="store_true", help="Allow items in the history to be recommended.")
    parser.add_argument(
        "--unknown", choices=("skip", "error"), default="skip", help="How to treat unknown ids (default: skip)."
    )
    parser.add_argument("--json", action="store_true", help="Print JSON instead of a table.")
    add_quiet_flag(parser)
    add_import_flag(parser)
    return parser


def recommend(flags: argparse.Namespace) -> None:
    """Recommend as the flags say, and print or write the result."""
    from seqrec.cli.summary import recommendations_table
    from seqrec.inference.recommender import Recommender
    from seqrec.modeling.devices import resolve_device

    device = resolve_device(flags.device)
    recommender = Recommender.from_pretrained(flags.model, index=flags.index, device=device)
    if flags.recent is not None:
        recommender.update_popularity(flags.recent)
    k = min(DEFAULT_K, len(recommender.items)) if flags.k is None else flags.k
    options = {
        "at": flags.at,
        "allow": flags.allow,
        "deny": flags.deny,
        "exclude_seen": not flags.include_seen,
        "unknown": flags.unknown,
    }
    if flags.input is not None:
        frame = recommender.recommend_frame(flags.input, k, columns=columns_of(flags), **options)
        write_frame(frame, flags.output)
        users = frame["user_id"].n_unique()
        if not flags.quiet:
            print(f"Wrote {len(frame)} recommendations for {users} users to {printable(flags.output)}.")
        return
    found = recommender.recommend(flags.history, k, timestamps=flags.timestamps, **options)
    if flags.json:
        print(json_text([asdict(one) for one in found]))
    else:
        print(recommendations_table(found, width=terminal_width(sys.stdout)))


def columns_of(flags: argparse.Namespace) -> dict[str, str]:
    """Return the names of the columns that flags give."""
    return {column: getattr(flags, flag) for column, flag in COLUMNS.items() if getattr(flags, flag) is not None}


def require_one_source(flags: argparse.Namespace) -> None:
    """Raise an `InputError` unless the flags give one history, or an input and an output file, and go together."""
    if (flags.history is None) == (flags.input is None):
        raise InputError("Give either --history or --input.")
    if (flags.input is None) != (flags.output is None):
        raise InputError("--input and --output go together. Give both or neither.")
    columns = columns_of(flags)
    if flags.input is not None and flags.timestamps is not None:
        raise InputError("--timestamps goes with --history; the times of --input are in its column. Leave it out.")
    if flags.input is None and columns:
        raise InputError(f"--{COLUMNS[next(iter(columns))]} has no effect without --input. Leave it out.")
    if flags.input is not None:
        if flags.json:
            raise InputError("--json only applies to printing, not to --output. For JSON, let --output end in .jsonl.")
        require_output_file(flags.output, model=flags.model, sources={"--input": flags.input})

"""`seqrec recommend`."""

import argparse
import sys
from collections.abc import Sequence
from typing import get_args

from seqrec.cli.console import json_text
from seqrec.cli.diversity_flags import add_diversity_flags, diversity_of
from seqrec.cli.output import WRITERS, require_output
from seqrec.cli.parsers import FlagParser, finite_number, not_empty, positive_integer, some_ids, split_ids, weights
from seqrec.cli.shared_flags import (
    COLUMNS,
    add_backend_flag,
    add_column_flags,
    add_device_flag,
    add_engine_flags,
    add_import_flag,
    add_model_flag,
    add_quiet_flag,
    add_request_flags,
    columns_of,
    import_modules,
    require_ray,
)
from seqrec.errors import InputError
from seqrec.evaluation.tables import printable, terminal_width
from seqrec.interactions.locations import require_model_name
from seqrec.search.index_names import IndexName

__all__ = ["recommend_command"]

DEFAULT_K = 10
DEFAULT_RERANKED = 100
METHOD_NAMES = ("leave_one_out", "integrated_gradients", "attention_rollout")  # as in `Recommender.explain`


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
    add_backend_flag(parser)
    parser.add_argument("--history", type=split_ids, help="Raw item ids, oldest first, separated by commas.")
    parser.add_argument(
        "--timestamps",
        type=split_ids,
        help="Times of the items of --history, separated by commas, for models that read times: ISO times, or numbers "
        "since 1970.",
    )
    parser.add_argument("--input", type=not_empty, help="File of interactions, instead of --history.")
    add_column_flags(parser, "--input")
    parser.add_argument(
        "--output",
        help=f"File for the recommendations for --input ({', '.join(WRITERS)}), or folder for Parquet files (lists/).",
    )
    parser.add_argument("--k", type=positive_integer, help=f"Number of items per history (default: {DEFAULT_K}).")
    parser.add_argument(
        "--rank_by",
        type=weights,
        help="Rank the best items again by a weighted sum of standardised scores, such as "
        "next_item=1,rating=0.2: the score of recommending, and tasks that the model predicts.",
    )
    parser.add_argument(
        "--rerank_from",
        type=positive_integer,
        help="Number of best items that --rank_by ranks again, and that diverse lists are chosen from (default: "
        f"{DEFAULT_RERANKED}).",
    )
    add_diversity_flags(parser)
    add_request_flags(parser)
    parser.add_argument("--allow", type=some_ids, help="Recommend only these ids.")
    parser.add_argument("--deny", type=some_ids, help="Never recommend these ids.")
    parser.add_argument(
        "--where",
        type=not_empty,
        help="Recommend only items whose columns meet a condition, such as \"year >= 1990 and 'Comedy' in genres\".",
    )
    parser.add_argument("--min_score", type=finite_number, help="Leave out items that score lower.")
    parser.add_argument(
        "--item_columns",
        type=split_ids,
        help="Columns of the items to add to the result, separated by commas, such as title,year.",
    )
    parser.add_argument(
        "--index", default="exact", choices=get_args(IndexName), help="How to search the catalogue (default: exact)."
    )
    parser.add_argument("--include_seen", action="store_true", help="Allow items in the history to be recommended.")
    parser.add_argument(
        "--explain",
        nargs="?",
        const="leave_one_out",
        choices=METHOD_NAMES,
        help="Print, under each item, the past items that contributed most to its score, by a method (default: "
        "leave_one_out); --json prints all. Only with --history.",
    )
    parser.add_argument("--json", action="store_true", help="Print JSON instead of a table.")
    add_engine_flags(parser, "Answer an --input of more than 200,000 rows")
    add_quiet_flag(parser)
    add_import_flag(parser)
    return parser


def recommend(flags: argparse.Namespace) -> None:
    """Recommend as the flags say, and print or write the result."""
    from seqrec.cli.reasons import explained_table, reasons_for, with_reasons
    from seqrec.cli.summary import recommendations_table
    from seqrec.inference.recommender import Recommender

    how = {"device": flags.device, "index": flags.index, "backend": flags.backend}
    recommender = Recommender.from_pretrained(flags.model, **how)
    if flags.recent is not None:
        recommender.update_popularity(flags.recent)
    k = min(DEFAULT_K, len(recommender.items)) if flags.k is None else flags.k
    options = {
        "at": flags.at,
        "allow": flags.allow,
        "deny": flags.deny,
        "where": flags.where,
        "min_score": flags.min_score,
        "item_columns": flags.item_columns or (),
        "exclude_seen": not flags.include_seen,
        "unknown": flags.unknown,
        "rank_by": flags.rank_by,
        "rerank_from": DEFAULT_RERANKED if flags.rerank_from is None else flags.rerank_from,
        **diversity_of(flags),
    }
    if flags.input is not None:
        progress = sys.stderr.isatty() and not flags.quiet
        columns = columns_of(flags)
        on_workers = {"engine": flags.engine, "num_workers": flags.num_workers, "worker_device": flags.device}
        found = recommender.recommend_file(
            flags.input, flags.output, k, columns=columns, progress=progress, **on_workers, **options
        )
        if not flags.quiet:
            written = f"{found.num_rows} recommendations for {found.num_users} users"
            print(f"Wrote {written} to {printable(flags.output)}.")
        return
    found = recommender.recommend(flags.history, k, timestamps=flags.timestamps, **options)
    reasons = reasons_for(recommender, found, flags) if flags.explain else None
    width = terminal_width(sys.stdout)
    if flags.json:
        told = [one.to_dict() for one in found]
        print(json_text(told if reasons is None else with_reasons(told, reasons)))
    elif reasons is None:
        print(recommendations_table(found, width=width))
    else:
        print(explained_table(recommendations_table(found, width=width), reasons, width=width))


def require_one_source(flags: argparse.Namespace) -> None:
    """Raise an `InputError` unless the flags give one history, or an input and an output file, and go together."""
    if (flags.history is None) == (flags.input is None):
        raise InputError("Give either --history or --input.")
    if (flags.input is None) != (flags.output is None):
        raise InputError("--input and --output go together. Give both or neither.")
    if not diversity_of(flags) and flags.rerank_from is not None and flags.rank_by is None:
        raise InputError("--rerank_from has no effect without --rank_by or an option of diverse lists. Leave it out.")
    if flags.engine is not None and flags.input is None:
        raise InputError("--engine has no effect without --input. Leave it out.")
    require_ray(flags)
    columns = columns_of(flags)
    if flags.input is not None and flags.explain is not None:
        raise InputError("--explain goes with --history. For --input, use Recommender.explain_frame. Leave it out.")
    if flags.input is not None and flags.timestamps is not None:
        raise InputError("--timestamps goes with --history; the times of --input are in its column. Leave it out.")
    if flags.input is None and columns:
        raise InputError(f"--{COLUMNS[next(iter(columns))]} has no effect without --input. Leave it out.")
    if flags.input is not None:
        if flags.json:
            raise InputError("--json only applies to printing, not to --output. For JSON, let --output end in .jsonl.")
        require_output(flags.output, model=flags.model, sources={"--input": flags.input})

"""`seqrec predict`."""

import argparse
import sys
from collections.abc import Sequence

from seqrec.cli.output import WRITERS, require_output_file, write_frame
from seqrec.cli.parsers import FlagParser, not_empty
from seqrec.cli.shared_flags import (
    add_backend_flag,
    add_column_flags,
    add_device_flag,
    add_import_flag,
    add_model_flag,
    add_quiet_flag,
    add_request_flags,
    columns_of,
    import_modules,
)
from seqrec.evaluation.tables import printable
from seqrec.interactions.locations import require_model_name

__all__ = ["predict_command"]


def predict_command(argv: Sequence[str]) -> None:
    """`seqrec predict`."""
    parser = predict_parser()
    with parser.naming_flags():
        flags = parser.parse_args(argv)
        sources = {"--input": flags.input, "--histories": flags.histories}
        require_output_file(flags.output, model=flags.model, sources=sources)
        require_model_name(flags.model)
        import_modules(argv)
        predict(flags)


def predict_parser() -> FlagParser:
    """Build the parser of the flags."""
    parser = FlagParser(
        prog="seqrec predict",
        description="Predict ratings, and the probabilities of clicks and other outcomes, for pairs of users and items "
        "in a file.",
    )
    add_model_flag(parser)
    add_device_flag(parser)
    add_backend_flag(parser)
    parser.add_argument(
        "--input",
        type=not_empty,
        required=True,
        help="File of pairs: user_id and item_id, and optionally timestamp, when the item is offered. Without "
        "--histories, a column history (ids separated by commas, or a list) replaces user_id.",
    )
    parser.add_argument(
        "--histories",
        type=not_empty,
        help="File of the users' interactions. A pair with a timestamp is predicted from those before it.",
    )
    parser.add_argument(
        "--output", type=not_empty, required=True, help=f"File for the predictions ({', '.join(WRITERS)})."
    )
    add_column_flags(parser, "--input and --histories")
    add_request_flags(parser)
    add_quiet_flag(parser)
    add_import_flag(parser)
    return parser


def predict(flags: argparse.Namespace) -> None:
    """Predict as the flags say, and write the result."""
    from seqrec.inference.recommender import Recommender

    recommender = Recommender.from_pretrained(flags.model, device=flags.device, backend=flags.backend)
    if flags.recent is not None:
        recommender.update_popularity(flags.recent)
    frame = recommender.predict_frame(
        flags.input,
        flags.histories,
        at=flags.at,
        unknown=flags.unknown,
        columns=columns_of(flags),
        progress=sys.stderr.isatty() and not flags.quiet,
    )
    write_frame(frame, flags.output)
    if not flags.quiet:
        tasks = " and ".join(recommender.model.config.label_tasks)
        print(f"Wrote predictions of {tasks} for {len(frame)} pairs to {printable(flags.output)}.")

"""`seqrec embed`."""

import argparse
from collections.abc import Sequence

from seqrec.cli.parsers import FlagParser, not_empty
from seqrec.cli.shared_flags import (
    COLUMNS,
    add_column_flags,
    add_device_flag,
    add_import_flag,
    add_model_flag,
    add_quiet_flag,
    add_request_flags,
    columns_of,
    import_modules,
)
from seqrec.cli.vector_output import VECTOR_ENDINGS, require_vector_output, write_vectors
from seqrec.errors import InputError
from seqrec.evaluation.tables import printable
from seqrec.interactions.locations import require_model_name

__all__ = ["embed_command"]


def embed_command(argv: Sequence[str]) -> None:
    """`seqrec embed`."""
    parser = embed_parser()
    with parser.naming_flags():
        flags = parser.parse_args(argv)
        require_one_source(flags)
        require_vector_output(flags.output, model=flags.model, sources={"--input": flags.input})
        require_model_name(flags.model)
        import_modules(argv)
        embed(flags)


def embed_parser() -> FlagParser:
    """Build the parser of the flags."""
    parser = FlagParser(
        prog="seqrec embed",
        description="Write the vectors of all items, or of every user in a file. The product of both is the score by "
        "which seqrec recommend ranks.",
    )
    add_model_flag(parser)
    add_device_flag(parser)
    parser.add_argument("--items", action="store_true", help="Write the vectors of the items.")
    parser.add_argument("--input", type=not_empty, help="File of interactions whose users' vectors are written.")
    parser.add_argument(
        "--output", type=not_empty, required=True, help=f"File for the vectors ({', '.join(VECTOR_ENDINGS)})."
    )
    add_column_flags(parser, "--input")
    add_request_flags(parser)
    add_quiet_flag(parser)
    add_import_flag(parser)
    return parser


def require_one_source(flags: argparse.Namespace) -> None:
    """Raise an `InputError` unless the flags ask for items or for users, and go together."""
    if flags.items == (flags.input is not None):
        raise InputError("Give either --items or --input.")
    columns = columns_of(flags)
    if flags.items and (columns or flags.at is not None):
        flag = COLUMNS[next(iter(columns))] if columns else "at"
        raise InputError(f"--{flag} has no effect with --items. Leave it out.")


def embed(flags: argparse.Namespace) -> None:
    """Write vectors as the flags say."""
    from seqrec.inference.recommender import Recommender
    from seqrec.modeling.devices import resolve_device

    recommender = Recommender.from_pretrained(flags.model, device=resolve_device(flags.device))
    if flags.recent is not None:
        recommender.update_popularity(flags.recent)
    if flags.items:
        frame = recommender.item_embeddings()
    else:
        frame = recommender.user_embeddings(
            flags.input, at=flags.at, unknown=flags.unknown, columns=columns_of(flags) or None
        )
    write_vectors(frame, flags.output)
    if not flags.quiet:
        told = "items" if flags.items else "users"
        size = frame["vector"].dtype.shape[0]  # type: ignore[attr-defined]
        print(f"Wrote the vectors of {len(frame)} {told} ({size} numbers each) to {printable(flags.output)}.")

"""`seqrec endpoint`."""

from collections.abc import Sequence

from seqrec.cli.parsers import FlagParser, not_empty
from seqrec.cli.shared_flags import add_quiet_flag
from seqrec.evaluation.tables import printable

__all__ = ["endpoint_command"]


def endpoint_command(argv: Sequence[str]) -> None:
    """`seqrec endpoint`."""
    parser = FlagParser(
        prog="seqrec endpoint",
        description="Write handler.py and requirements.txt into the folder of a model. Once it is pushed, an inference "
        "endpoint of the Hub can answer with it, without seqrec.",
    )
    parser.add_argument("--model", required=True, type=not_empty, help="Folder of the model.")
    add_quiet_flag(parser)
    with parser.naming_flags():
        flags = parser.parse_args(argv)
        from seqrec.hub.endpoint_files import write_endpoint_files  # here, as it takes long to import

        paths = write_endpoint_files(flags.model)
    if not flags.quiet:
        print(f"Wrote {' and '.join(printable(str(path)) for path in paths)}. Push the model with: seqrec push")

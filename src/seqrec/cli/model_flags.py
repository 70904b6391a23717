"""Flags shared by the commands that run a saved model."""

from seqrec.cli.parsers import FlagParser, not_empty
from seqrec.cli.train_flags import DEVICE_HELP

__all__ = ["add_model_flags"]


def add_model_flags(parser: FlagParser) -> None:
    """Add the flags shared by commands that run a saved model."""
    parser.add_argument(
        "--model", required=True, type=not_empty, help="Folder of the model, or its repository on the Hub."
    )
    parser.add_argument("--device", default="auto", help=DEVICE_HELP)

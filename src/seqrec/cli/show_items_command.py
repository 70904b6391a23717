"""`seqrec show-items`."""

from collections.abc import Sequence

from seqrec.cli.hide_items_command import change_hidden_items

__all__ = ["show_items_command"]


def show_items_command(argv: Sequence[str]) -> None:
    """`seqrec show-items`."""
    change_hidden_items("show", argv)

"""`seqrec add-items`."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from seqrec.cli.output import require_new_folder
from seqrec.cli.parsers import FlagParser, not_empty
from seqrec.cli.shared_flags import add_import_flag, add_model_flag, add_quiet_flag, import_modules
from seqrec.errors import InputError
from seqrec.evaluation.tables import printable
from seqrec.interactions.locations import require_model_name, similar

__all__ = ["add_items_command"]


def add_items_command(argv: Sequence[str]) -> None:
    """`seqrec add-items`."""
    parser = add_items_parser()
    with parser.naming_flags():
        flags = parser.parse_args(argv)
        require_model_name(flags.model)
        if not Path(flags.items).exists():
            raise InputError(f"There is no file {flags.items!r}.{similar(flags.items)}")
        require_new_folder(flags.output_dir)
        import_modules(argv)
        add_items(flags)


def add_items_parser() -> FlagParser:
    """Build the parser of the flags."""
    parser = FlagParser(
        prog="seqrec add-items",
        description="Add new items to a trained model, without training. Known items keep their scores.",
    )
    add_model_flag(parser)
    parser.add_argument(
        "--items",
        required=True,
        type=not_empty,
        help="File with one row per new item: item_id, optionally title, the columns of the features that the model "
        "reads, and similar_to: ids of known items that it resembles, separated by '|' (required if the model reads no "
        "features).",
    )
    parser.add_argument(
        "--item_id_column", type=not_empty, help="Column of the item ids (default: as in training, or item_id)."
    )
    parser.add_argument(
        "--item_text_model",
        type=not_empty,
        help="Folder of the model that encoded texts in training, if it is not where it was then.",
    )
    parser.add_argument("--output_dir", required=True, help="New folder for the model with all items.")
    add_quiet_flag(parser)
    add_import_flag(parser)
    return parser


def add_items(flags: Namespace) -> None:
    """Add items as the flags say, and tell how many there are."""
    from seqrec.inference.recommender import Recommender

    recommender = Recommender.from_pretrained(flags.model, device="cpu")
    known = len(recommender.items)
    columns = {} if flags.item_id_column is None else {"item_id": flags.item_id_column}
    recommender.add_items(flags.items, columns=columns, item_text_model=flags.item_text_model)
    recommender.save_pretrained(flags.output_dir)
    if not flags.quiet:
        added = len(recommender.items) - known
        print(f"Added {added:,} items to the {known:,} of the model, and saved it to {printable(flags.output_dir)}.")

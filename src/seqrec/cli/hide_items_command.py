"""`seqrec hide-items`, and the parts of it that `seqrec show-items` shares."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from seqrec.cli.output import require_new_folder
from seqrec.cli.parsers import FlagParser, not_empty, some_ids
from seqrec.cli.shared_flags import add_import_flag, add_model_flag, add_quiet_flag, import_modules
from seqrec.errors import InputError
from seqrec.evaluation.tables import printable
from seqrec.interactions.locations import require_model_name, similar, table_suffix

if TYPE_CHECKING:
    from seqrec.inference.recommender import Recommender

__all__ = ["change_hidden_items", "hide_items_command"]

DESCRIPTIONS = {
    "hide": "Never recommend some items of a trained model, such as those out of stock; they stay known in histories.",
    "show": "Recommend items again that `seqrec hide-items` has hidden.",
}


def hide_items_command(argv: Sequence[str]) -> None:
    """`seqrec hide-items`."""
    change_hidden_items("hide", argv)


def change_hidden_items(verb: Literal["hide", "show"], argv: Sequence[str]) -> None:
    """Run `seqrec hide-items` or `seqrec show-items`."""
    parser = hidden_items_parser(verb)
    with parser.naming_flags():
        flags = parser.parse_args(argv)
        require_model_name(flags.model)
        if isinstance(flags.items, Path) and not flags.items.exists():
            raise InputError(f"There is no file '{flags.items}'.{similar(flags.items)}")
        require_new_folder(flags.output_dir)
        import_modules(argv)
        save_changed(verb, flags)


def hidden_items_parser(verb: Literal["hide", "show"]) -> FlagParser:
    """Build the parser of the flags."""
    parser = FlagParser(prog=f"seqrec {verb}-items", description=DESCRIPTIONS[verb])
    add_model_flag(parser)
    parser.add_argument(
        "--items",
        required=True,
        type=file_or_ids,
        help="Raw item ids, separated by commas, or a file with one row per item and a column item_id.",
    )
    parser.add_argument(
        "--item_id_column", type=not_empty, help="Column of the file's item ids (default: as in training, or item_id)."
    )
    parser.add_argument("--output_dir", required=True, help="New folder for the changed model.")
    add_quiet_flag(parser)
    add_import_flag(parser)
    return parser


def file_or_ids(text: str) -> Path | list[str]:
    """Parse the name of a table, which ends as such, or else ids."""
    return Path(text) if table_suffix(Path(text)) else some_ids(text)


def save_changed(verb: Literal["hide", "show"], flags: Namespace) -> None:
    """Hide or show items as the flags say, and tell how many are hidden now."""
    from seqrec.inference.recommender import Recommender

    recommender = Recommender.from_pretrained(flags.model, device="cpu")
    item_ids = read_item_ids(flags, recommender)
    {"hide": recommender.hide_items, "show": recommender.show_items}[verb](item_ids)
    recommender.save_pretrained(flags.output_dir)
    if not flags.quiet:
        hidden = int(recommender.items.is_hidden.sum())
        print(
            f"{hidden:,} of the {len(recommender.items):,} items are now hidden. Saved the model to "
            f"{printable(flags.output_dir)}."
        )


def read_item_ids(flags: Namespace, recommender: "Recommender") -> list[str]:
    """Return the ids that `--items` lists, or those in its file."""
    from seqrec.interactions.item_tables import read_items

    if isinstance(flags.items, list):
        return flags.items
    columns = {} if flags.item_id_column is None else {"item_id": flags.item_id_column}
    return read_items(flags.items, columns={**recommender.columns, **columns})["item_id"].to_list()

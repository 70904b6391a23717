"""`seqrec picture`."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqrec.cli.output import require_output_file
from seqrec.cli.parsers import FlagParser, not_empty, positive_integer, split_ids
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
from seqrec.errors import InputError
from seqrec.evaluation.tables import printable
from seqrec.interactions.locations import require_dataset_name, require_model_name

if TYPE_CHECKING:
    from seqrec.inference.recommender import Recommender

__all__ = ["picture_command"]

DEFAULT_K = 10
REQUEST = {"timestamps", "at", "recent"}
# For each kind, the flag that it needs, and those that it takes too.
KINDS: dict[str, tuple[str | None, set[str]]] = {
    "attention": ("history", REQUEST),
    "contributions": ("history", {*REQUEST, "k", "method"}),
    "item_map": (None, {"colour_by"}),
    "popularity": ("dataset", {"at", "recent", "k", *COLUMNS.values()}),
    "slices": (None, set()),
}


def picture_command(argv: Sequence[str]) -> None:
    """`seqrec picture`."""
    parser = picture_parser()
    with parser.naming_flags():
        flags = parser.parse_args(argv)
        require_flags_of_kind(flags)
        require_output_file(flags.output, model=flags.model, sources={"--dataset": flags.dataset}, endings=[".png"])
        require_model_name(flags.model)
        if flags.dataset is not None:
            require_dataset_name(flags.dataset)
        import_modules(argv)
        draw(flags)


def picture_parser() -> FlagParser:
    """Build the parser of the flags."""
    parser = FlagParser(prog="seqrec picture", description="Draw a picture of a saved model and its recommendations.")
    add_model_flag(parser)
    parser.add_argument(
        "--kind",
        required=True,
        choices=sorted(KINDS),
        help="attention: which past items each layer and head looks at. contributions: how much each past item adds to "
        "the scores of recommended ones. item_map: items with similar vectors lie together. popularity: recommended "
        "items compared with those of the data. slices: accuracy by slice, as measured in training.",
    )
    parser.add_argument("--output", type=not_empty, required=True, help="File for the picture (.png).")
    parser.add_argument(
        "--history", type=split_ids, help="Raw item ids, oldest first, separated by commas (attention, contributions)."
    )
    parser.add_argument(
        "--timestamps",
        type=split_ids,
        help="Times of the items of --history, separated by commas, for models that read times.",
    )
    parser.add_argument(
        "--dataset", type=not_empty, help="Interactions of the users to recommend for (popularity): see seqrec train."
    )
    add_column_flags(parser, "--dataset")
    parser.add_argument(
        "--k",
        type=positive_integer,
        help=f"Number of recommended items (contributions, popularity; default: {DEFAULT_K}).",
    )
    parser.add_argument(
        "--method",
        type=not_empty,
        help="leave_one_out (default), integrated_gradients or attention_rollout (contributions).",
    )
    parser.add_argument(
        "--colour_by",
        "--color_by",
        type=not_empty,
        help="Column of the items, such as genres, or popularity (item_map; default: the first column with few "
        "categories, or else popularity).",
    )
    add_request_flags(parser)
    add_device_flag(parser)
    add_quiet_flag(parser)
    add_import_flag(parser)
    return parser


def require_flags_of_kind(flags: argparse.Namespace) -> None:
    """Raise an `InputError` if the kind of picture lacks a flag, or does not take one that was given."""
    needed, taken = KINDS[flags.kind]
    if needed is not None and getattr(flags, needed) is None:
        raise InputError(f"--kind {flags.kind} needs --{needed}. Give it.")
    for flag in ("history", "dataset", "k", "method", "colour_by", *sorted(REQUEST), *COLUMNS.values()):
        if getattr(flags, flag) is not None and flag not in {needed, *taken}:
            raise InputError(f"--{flag} has no effect on --kind {flags.kind}. Leave it out.")


def draw(flags: argparse.Namespace) -> None:
    """Draw the picture as the flags say."""
    from seqrec.inference.recommender import Recommender
    from seqrec.interactions.whole_files import whole_file
    from seqrec.modeling.devices import resolve_device

    recommender = Recommender.from_pretrained(flags.model, device=resolve_device(flags.device))
    if flags.recent is not None:
        recommender.update_popularity(flags.recent)
    with whole_file(flags.output) as part:
        DRAWERS[flags.kind](recommender, flags, part)
    if not flags.quiet:
        print(f"Drew {printable(flags.output)}.")


def request_of(flags: argparse.Namespace) -> dict[str, Any]:
    """Return the options of a request for one history."""
    return {"timestamps": flags.timestamps, "at": flags.at, "unknown": flags.unknown}


def list_length(recommender: "Recommender", flags: argparse.Namespace) -> int:
    """Return the number of items to recommend."""
    return min(DEFAULT_K, len(recommender.items)) if flags.k is None else flags.k


def draw_attention(recommender: "Recommender", flags: argparse.Namespace, path: Path) -> None:
    """Draw where each layer and head looks."""
    from seqrec.inference.attention_picture import save_attention

    save_attention(recommender, flags.history, path, **request_of(flags))


def draw_contributions(recommender: "Recommender", flags: argparse.Namespace, path: Path) -> None:
    """Draw how much each past item contributes to the scores."""
    from seqrec.inference.contributions_picture import save_contributions

    save_contributions(
        recommender,
        flags.history,
        path,
        k=list_length(recommender, flags),
        method=flags.method or "leave_one_out",
        **request_of(flags),
    )


def draw_item_map(recommender: "Recommender", flags: argparse.Namespace, path: Path) -> None:
    """Draw the map of the items."""
    from seqrec.inference.item_map_picture import save_item_map

    save_item_map(recommender.model, recommender.items, path, colour_by=flags.colour_by)


def draw_popularity(recommender: "Recommender", flags: argparse.Namespace, path: Path) -> None:
    """Draw the popularity of recommended items and of the data."""
    from seqrec.inference.popularity_picture import save_popularity
    from seqrec.interactions.sources import load_interactions

    data = load_interactions(flags.dataset, columns=columns_of(flags) or None, remembered=recommender.columns)
    save_popularity(
        recommender,
        data.interactions,
        path,
        k=list_length(recommender, flags),
        at=flags.at,
        unknown=flags.unknown,
    )


def draw_slices(recommender: "Recommender", flags: argparse.Namespace, path: Path) -> None:
    """Draw the accuracy by slice, from the record of the training."""
    from seqrec.training.slices_picture import save_slices_picture

    save_slices_picture(recommender.metrics or {}, path)
    if not path.stat().st_size:
        raise InputError(
            f"{printable(flags.model)} holds no accuracy by slice in its metrics.json, where seqrec train writes it. "
            "Train the model again, or draw another kind."
        )


DRAWERS: dict[str, Callable[["Recommender", argparse.Namespace, Path], None]] = {
    "attention": draw_attention,
    "contributions": draw_contributions,
    "item_map": draw_item_map,
    "popularity": draw_popularity,
    "slices": draw_slices,
}

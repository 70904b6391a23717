"""The trade-off curve of `seqrec evaluate --diversity_curve`."""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqrec.cli.console import json_text
from seqrec.cli.output import require_output_file
from seqrec.cli.parsers import FlagParser, not_empty, positive_integer
from seqrec.errors import InputError

if TYPE_CHECKING:
    from seqrec.inference.recommender import Recommender
    from seqrec.interactions.prepared_sets import PreparedData

__all__ = ["add_curve_flags", "check_curve_flags", "draw_curve"]

VECTORS = "vectors"
DEFAULT_CANDIDATES = 100


def add_curve_flags(parser: FlagParser) -> None:
    """Add the flags of the curve."""
    parser.add_argument(
        "--diversity_curve",
        type=not_empty,
        help="PNG file for NDCG@10 against coverage and distance within lists, by methods that make lists more diverse "
        "and their strengths. The figures are written next to it, as JSON.",
    )
    parser.add_argument(
        "--diversify_by",
        type=not_empty,
        help="Column of the items, such as genres, by which --diversity_curve makes lists diverse (default: vectors, "
        "those of the model).",
    )
    parser.add_argument(
        "--rerank_from",
        type=positive_integer,
        help=f"Number of best items from which --diversity_curve chooses lists (default: {DEFAULT_CANDIDATES}).",
    )


def check_curve_flags(flags: argparse.Namespace, where: Mapping[str, Any]) -> None:
    """Raise an `InputError` if the picture or its figures cannot be written, or a flag has no effect.

    Args:
        flags: The parsed flags.
        where: The model and the sources; see `require_output_file`.
    """
    if flags.diversity_curve is None:
        for name in ("diversify_by", "rerank_from"):
            if getattr(flags, name) is not None:
                raise InputError(f"--{name} has no effect without --diversity_curve. Leave it out.")
        return
    require_output_file(flags.diversity_curve, **where, flag="--diversity_curve", endings=(".png",))
    figures = str(figures_of(flags.diversity_curve))
    require_output_file(figures, **where, flag="The JSON file of --diversity_curve,", endings=(".json",))


def figures_of(picture: str) -> Path:
    """Return the file of a picture's figures."""
    return Path(picture).with_suffix(".json")


def draw_curve(
    recommender: "Recommender", data: "PreparedData", flags: argparse.Namespace, exclude_seen: bool
) -> dict[str, Any] | None:
    """Compute the curve, and write its picture and its figures; None if the flags do not ask for it."""
    if flags.diversity_curve is None:
        return None
    from seqrec.evaluation.diversity_curve import diversity_curve
    from seqrec.evaluation.diversity_picture import save_diversity_picture
    from seqrec.evaluation.list_candidates import find_candidates
    from seqrec.interactions.whole_files import whole_file, write_text_whole

    column = VECTORS if flags.diversify_by is None else flags.diversify_by
    if column != VECTORS:
        data.items.categories(column)  # fails before the ranking if there is none
    progress = sys.stderr.isatty() and not flags.quiet
    candidates = find_candidates(
        recommender.model,
        data.sequences[flags.split],
        num_candidates=min(flags.rerank_from or DEFAULT_CANDIDATES, len(data.items)),
        max_length=recommender.model.config.max_history_length,
        exclude_seen=exclude_seen,
        progress=progress,
    )
    vectors_VD = recommender.model.item_vectors().float().numpy(force=True)
    curve = {
        "split": flags.split,
        "exclude_seen": exclude_seen,
        **diversity_curve(candidates, data.items, vectors_VD, diversify_by=column, progress=progress),
    }
    with whole_file(flags.diversity_curve) as part:
        save_diversity_picture(curve, part)
    write_text_whole(figures_of(flags.diversity_curve), json_text(curve, indent=2) + "\n")
    return curve

"""Flags for diverse lists."""

import argparse
from dataclasses import asdict, fields
from typing import Any, get_args

from seqrec.cli.parsers import FlagParser, finite_number, integer, limits, not_empty
from seqrec.search.diversity_options import DiversityMethod, DiversityOptions

__all__ = ["add_diversity_flags", "diversity_of"]

NAMES = [field.name for field in fields(DiversityOptions)]


def add_diversity_flags(parser: FlagParser) -> None:
    """Add the fields of `DiversityOptions`."""
    parser.add_argument(
        "--diversity",
        type=finite_number,
        help="From 0, the best items, to 1, the most diverse ones among the best --rerank_from (default: 0).",
    )
    parser.add_argument(
        "--method",
        choices=get_args(DiversityMethod),
        help="How lists become diverse: mmr (default) avoids items like one already listed, dpp makes the list varied "
        "as a whole, calibrated gives it the history's mix of categories.",
    )
    parser.add_argument(
        "--diversify_by",
        type=not_empty,
        help="Compare items by the model's vectors (default: vectors) or by a column of the items, such as genres.",
    )
    parser.add_argument(
        "--max_per",
        type=limits,
        help="Most items of one category in a list, by column, such as genres=3,brand=1.",
    )
    parser.add_argument(
        "--popularity_penalty",
        type=finite_number,
        help="Strength of preferring less popular items, at least 0 (default: 0).",
    )
    parser.add_argument(
        "--exploration",
        type=finite_number,
        help="Temperature of drawing items at random, best ones more often; 0 takes the best (default: 0).",
    )
    parser.add_argument("--seed", type=integer, help="Makes what --exploration draws for a history the same each time.")


def diversity_of(flags: argparse.Namespace) -> dict[str, Any]:
    """Return the options of `Recommender.recommend` that the flags give; an empty dictionary if lists stay as they are.

    Raises:
        InputError: If an option is out of range or has no effect.
    """
    given = {name: getattr(flags, name) for name in NAMES if getattr(flags, name) is not None}
    options = DiversityOptions(**given)
    return asdict(options) if options else {}

"""The past items that explain recommendations, for the terminal and for JSON."""

import argparse
import warnings
from collections.abc import Sequence
from typing import Any

from seqrec.cli.summary import fitting
from seqrec.inference.recommendations import Recommendations
from seqrec.inference.recommender import Recommender

__all__ = ["explained_table", "reasons_for", "with_reasons"]

NUM_SHOWN = 3
INDENT = 6

Reasons = list[list[dict[str, Any]]]


def reasons_for(recommender: Recommender, found: Recommendations, flags: argparse.Namespace) -> Reasons:
    """Explain each item of a list; lists by popularity, and empty ones, have no reasons."""
    names = [one.item_id for one in found]
    if found.is_popularity or not names:
        return [[] for _ in names]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # recommending has already warned
        table = recommender.explain(
            flags.history,
            names,
            method=flags.explain,
            timestamps=flags.timestamps,
            at=flags.at,
            unknown=flags.unknown,
        )
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for row in table.to_dicts():
        rows[row.pop("recommended")].append(row)
    return list(rows.values())


def with_reasons(items: Sequence[dict[str, Any]], reasons: Reasons) -> list[dict[str, Any]]:
    """Add the reasons to the items of a list."""
    return [{**item, "reasons": own} for item, own in zip(items, reasons, strict=True)]


def explained_table(table: str, reasons: Reasons, *, width: int | None = None) -> str:
    """Print, under each line of a table of recommendations, the items that contributed most to its score.

    Args:
        table: Its first line are the names of the columns.
        reasons: Reasons for each item; the table stays as it is where there are none.
        width: Columns of the terminal; None for no limit.
    """
    head, *lines = table.split("\n")
    shown = [head]
    for line, own in zip(lines, reasons, strict=False):
        past = [one for one in own if one["source"] == "item" and one["contribution"] > 0][:NUM_SHOWN]
        told = "; ".join(f"{one['title'] or one['item_id']} ({one['contribution']:+.3f})" for one in past)
        shown.append(line)
        if told:
            shown.append(" " * INDENT + fitting(f"because of {told}", width and max(1, width - INDENT)))
    return "\n".join(shown)

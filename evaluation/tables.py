"""Small tables for the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any
from unicodedata import category

__all__ = ["RANKERS", "align", "metrics_table", "printable"]

SHOWN_METRICS = ("ndcg@10", "hr@10", "mrr@10", "coverage@10", "novelty@10")
COMMANDS = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # control, format, lone surrogate, line and paragraph separator
JOINERS = "\u200c\u200d"  # format characters needed to spell Persian, Indic scripts and emoji
RANKERS = {"model": "model", "popularity": "popularity", "item_knn": "item-kNN"}  # key: display name


def metrics_table(figures: Mapping[str, Any]) -> str:
    """Format the metrics of the model and the baselines, one line per held-out split.

    Args:
        figures: The content of `metrics.json`.
    """
    rows = [["", "split", *SHOWN_METRICS]]
    for ranker, name in RANKERS.items():
        for split, metrics in figures[ranker].items():
            values = [metrics[metric] for metric in SHOWN_METRICS]
            rows.append([name, split, *("-" if value is None else f"{value:.4f}" for value in values)])
    return align(rows, left_columns=2)


def align(rows: Sequence[Sequence[str]], *, left_columns: int) -> str:
    """Pad cells so that columns line up: the first `left_columns` align left, the rest right.

    Cells are escaped by `printable`.
    """
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if index < left_columns else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def printable(text: str) -> str:
    r"""Escape characters that would control a terminal instead of being displayed.

    These are control characters, line breaks, changes of writing direction, and other invisible characters. Lone
    surrogates, which cannot be sent to a terminal, are escaped as well.

    >>> printable("Le goût\x1b[2J")
    'Le goût\\x1b[2J'
    """
    if text.isprintable():
        return text
    return "".join(
        character.encode("unicode_escape").decode()
        if category(character) in COMMANDS and character not in JOINERS
        else character
        for character in text
    )

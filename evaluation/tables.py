"""Small tables, and text that fits, for the terminal."""

import os
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, TextIO
from unicodedata import category, combining, east_asian_width

__all__ = [
    "RANKERS",
    "align",
    "align_within",
    "display_width",
    "metrics_table",
    "printable",
    "shorten",
    "terminal_width",
    "wrap",
]

SHOWN_METRICS = ("ndcg@10", "hr@10", "mrr@10", "coverage@10", "novelty@10")
COMMANDS = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # control, format, lone surrogate, line and paragraph separator
JOINERS = "\u200c\u200d"  # format characters needed to spell Persian, Indic scripts and emoji
UNKNOWN_WIDTH = 80
# The model and the baselines: key in `metrics.json`, and display name.
RANKERS = {
    "model": "model",
    "popularity": "popularity",
    "recent_popularity": "recent (7 days)",
    "item_knn": "item-kNN",
}


def metrics_table(figures: Mapping[str, Any], *, width: int | None = None) -> str:
    """Format the metrics of the model and the baselines that were measured, one line per held-out split.

    Args:
        figures: The content of `metrics.json`.
        width: Columns of the terminal; metrics that do not fit are left out. None for no limit.
    """
    request_time = figures.get("protocol", {}).get("request_time")
    rows = [[f"request_time={request_time}" if request_time else "", "split", *SHOWN_METRICS]]
    for ranker, name in RANKERS.items():
        for split, metrics in figures.get(ranker, {}).items():
            values = [metrics[metric] for metric in SHOWN_METRICS]
            rows.append([name, split, *("-" if value is None else f"{value:.4f}" for value in values)])
    return align_within(rows, width)


def align_within(rows: Sequence[Sequence[str]], width: int | None) -> str:
    """Align a table whose first two columns are names; the last columns are left out if it is wider than a terminal."""
    table = align(rows, left_columns=2)
    while width is not None and len(rows[0]) > 3 and len(table.partition("\n")[0]) > width:
        rows = [row[:-1] for row in rows]
        table = align(rows, left_columns=2)
    return table


def align(rows: Sequence[Sequence[str]], *, left_columns: int) -> str:
    """Pad cells so that columns line up: the first `left_columns` align left, the rest right.

    Cells are escaped by `printable`.
    """
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(display_width, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        paddings = [" " * (width - display_width(cell)) for cell, width in zip(row, widths, strict=True)]
        cells = [
            cell + padding if index < left_columns else padding + cell
            for index, (cell, padding) in enumerate(zip(row, paddings, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def terminal_width(stream: TextIO | None) -> int | None:
    """Return the columns of the terminal that a stream writes to, or None if it is not a terminal."""
    try:
        if stream is None or not stream.isatty():
            return None
        return os.get_terminal_size(stream.fileno()).columns or UNKNOWN_WIDTH  # 0 if the terminal does not know
    except (OSError, ValueError):  # a stream without a file, or closed
        return None


def display_width(text: str) -> int:
    """Count the columns that a text occupies in a terminal: 2 for wide East Asian characters, 0 for accents.

    >>> display_width("名前: e\u0301")
    7
    """
    if text.isascii():
        return len(text)
    return sum(character_width(character) for character in text)


def character_width(character: str) -> int:
    """Count the columns of one character."""
    if combining(character) or character in JOINERS or category(character) in {"Mn", "Me"}:
        return 0
    return 2 if east_asian_width(character) in "WF" else 1


def shorten(text: str, width: int, *, ellipsis: str = "…") -> str:
    """Cut a text to at most `width` columns; an ellipsis marks the cut.

    >>> shorten("The Empire Strikes Back", 12)
    'The Empire…'
    """
    if display_width(text) <= width:
        return text
    kept, room = "", width - len(ellipsis)
    for character in text:
        room -= character_width(character)
        if room < 0:
            break
        kept += character
    return kept.rstrip() + ellipsis[: max(width, 0)]


def wrap(text: str, width: int | None) -> str:
    """Break a text between words into lines of at most `width` columns, unless `width` is None.

    Words are never broken, so that paths can be copied. Further lines are indented by two spaces.
    """
    if width is None or display_width(text) <= width:
        return text
    return textwrap.fill(text, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


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

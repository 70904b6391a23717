"""Small tables for a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

SHOWN_METRICS = ("ndcg@10", "hr@10", "mrr@10", "coverage@10", "novelty@10")
ENCODERS = ("model", "popularity")


def metrics_table(figures: Mapping[str, Any]) -> str:
    """Lay out the metrics of the model and of popularity, a line for each held-out split.

    Args:
        figures: As in `metrics.json`.
    """
    rows = [["", "split", *SHOWN_METRICS]]
    for encoder in ENCODERS:
        for split, metrics in figures[encoder].items():
            rows.append([encoder, split, *(f"{metrics[name]:.4f}" for name in SHOWN_METRICS)])
    return align(rows, left_columns=2)


def align(rows: Sequence[Sequence[str]], *, left_columns: int) -> str:
    """Pad cells so that columns line up: the first to the left, the rest to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if index < left_columns else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)

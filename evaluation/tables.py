"""Small tables for a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

SHOWN_METRICS = ("ndcg@10", "hr@10", "mrr@10", "coverage@10", "novelty@10")
RANKERS = {"model": "model", "popularity": "popularity", "item_knn": "item-kNN"}  # and what to call them


def metrics_table(figures: Mapping[str, Any]) -> str:
    """Lay out the metrics of the model and of the baselines, a line for each held-out split.

    Args:
        figures: As in `metrics.json`.
    """
    rows = [["", "split", *SHOWN_METRICS]]
    for ranker, name in RANKERS.items():
        for split, metrics in figures[ranker].items():
            values = [metrics[metric] for metric in SHOWN_METRICS]
            rows.append([name, split, *("-" if value is None else f"{value:.4f}" for value in values)])
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

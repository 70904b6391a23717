"""The trade-off curve as a table for the terminal."""

from collections.abc import Mapping
from typing import Any

from seqrec.evaluation.tables import align_within

__all__ = ["curve_table", "strongest_within"]

MOST_LOSS = 0.03


def curve_table(curve: Mapping[str, Any], *, width: int | None = None) -> str:
    """Format the model's own lists, and the strongest setting of each method that costs at most 3 % of the NDCG.

    Args:
        curve: The result of `diversity_curve`.
        width: Columns of the terminal; metrics that do not fit are left out. None for no limit.
    """
    names = [f"{name}@{curve['k']}" for name in ("ndcg", "coverage", "intra_list_distance", "popularity_lift", "gini")]
    shown = [("own lists", "", curve["own"])]
    for method, found in curve["methods"].items():
        point = strongest_within(found["points"], curve["own"], names[0])
        if point is not None:
            shown.append((method, f"{found['option']}={point['strength']:g}", point))
    rows = [[f"at most −{MOST_LOSS:.0%}", "strength", *names]]
    for method, strength, metrics in shown:
        values = [metrics[name] for name in names]
        rows.append([method, strength, *("-" if value is None else f"{value:.4f}" for value in values)])
    return align_within(rows, width)


def strongest_within(
    points: list[dict[str, Any]], own: Mapping[str, Any], accuracy: str, most_loss: float = MOST_LOSS
) -> dict[str, Any] | None:
    """Return the last point, and so the strongest, that keeps enough of the accuracy; None if there is none."""
    kept = [point for point in points if point[accuracy] >= own[accuracy] * (1 - most_loss)]
    return kept[-1] if kept else None

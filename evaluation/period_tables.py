"""Tables of metrics with one list per user, for the terminal."""

from collections.abc import Mapping
from typing import Any

from seqrec.evaluation.tables import align_within

__all__ = ["period_table"]


def period_table(figures: Mapping[str, Any], *, width: int | None = None) -> str:
    """Format the metrics of a period, one line per list length.

    Args:
        figures: The result of `PeriodRanking.metrics`.
        width: Columns of the terminal; metrics that do not fit are left out. None for no limit.
    """
    names = list(dict.fromkeys(name.partition("@")[0] for name in figures))
    ks = list(dict.fromkeys(name.partition("@")[2] for name in figures))
    rows = [["once per user", "k", *names]]
    rows += [["", k, *(f"{figures[f'{name}@{k}']:.4f}" for name in names)] for k in ks]
    return align_within(rows, width)

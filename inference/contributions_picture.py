"""A heat map of reasons: how much each item of a history contributes to the scores of recommended items.

Shape suffixes: E events and other sources, K recommended items.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes

from seqrec.errors import InputError
from seqrec.evaluation.picture_style import WIDTH, picture, readable_names
from seqrec.inference.recommender import Recommender
from seqrec.interactions.raw_ids import ItemIds

__all__ = ["draw_contributions", "save_contributions"]

MOST_EVENTS = 50
MOST_COLUMNS = 15
MOST_NUMBERS = 25  # rows, with more of which cells are too low for numbers
NAME_WIDTH = 30
ROW_HEIGHT = 0.19  # inches
OTHER_SOURCES = {"recent_popularity": "(recent popularity)", "times": "(times)"}


def save_contributions(
    recommender: Recommender,
    history: ItemIds,
    path: str | Path,
    *,
    k: int = 10,
    method: str = "leave_one_out",
    **request: Any,
) -> None:
    """Draw how much each item of a history contributes to the scores of the k best items, as a PNG.

    Args:
        recommender: A model.
        history: Raw ids of one user's items, oldest first.
        path: The file to write.
        k: Number of recommended items, at most 15.
        method: See `Recommender.explain`.
        **request: Times and other columns of the request; see `Recommender.explain`.

    Raises:
        InputError: If there are more than 15 columns, or nothing to recommend; otherwise as in `Recommender.explain`.
    """
    if k > MOST_COLUMNS:
        raise InputError(f"k={k} is more columns than a heat map can show. Ask for at most {MOST_COLUMNS} items.")
    found = recommender.recommend(history, k, **request)
    if not found:
        raise InputError("No item is left to recommend for this history, so there is nothing to draw.")
    item_ids = [one.item_id for one in found]
    contributions_EK, names = as_matrix(recommender.explain(history, item_ids, method=method, **request), item_ids)
    shown_E, note = strongest(contributions_EK)
    rows = [names[row] for row in shown_E]
    columns = [
        f"{place}. {name}"
        for place, name in enumerate(readable_names([one.title for one in found], item_ids, NAME_WIDTH - 4), start=1)
    ]
    height = 2.3 + ROW_HEIGHT * max(len(rows), 4)
    with picture(path, WIDTH, height, title="Contributions of past items to recommended ones") as figure:
        figure.suptitle(
            f"What each past item (oldest first) contributes to the scores{note}", x=0.02, ha="left", fontsize=10
        )
        draw_contributions(figure.add_subplot(), contributions_EK[shown_E], rows, columns)


def as_matrix(reasons: pl.DataFrame, item_ids: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Return contributions (E, K), the oldest event first, and the names of the events and other sources."""
    events = reasons.filter(pl.col("recommended") == item_ids[0])
    past = events.filter(pl.col("source") == "item").sort("position", descending=True)
    others = [source for source in OTHER_SOURCES if source in events["source"]]
    rows: dict[Any, int] = {position: row for row, position in enumerate(past["position"])}
    rows |= {source: len(past) + place for place, source in enumerate(others)}
    columns = {item_id: column for column, item_id in enumerate(item_ids)}
    contributions_EK = np.zeros((len(rows), len(item_ids)))
    for one in reasons.iter_rows(named=True):
        row = rows.get(one["position"] if one["source"] == "item" else one["source"])
        if row is not None:
            contributions_EK[row, columns[one["recommended"]]] = one["contribution"]
    names = readable_names(past["title"].to_list(), past["item_id"].to_list(), NAME_WIDTH)
    return contributions_EK, [*names, *(OTHER_SOURCES[source] for source in others)]


def strongest(contributions_EK: np.ndarray) -> tuple[np.ndarray, str]:
    """Return the rows to show, in their order, and a note if these are not all."""
    if len(contributions_EK) <= MOST_EVENTS:
        return np.arange(len(contributions_EK)), ""
    order_E = np.argsort(-np.abs(contributions_EK).sum(axis=1), kind="stable")
    return np.sort(order_E[:MOST_EVENTS]), f": the strongest {MOST_EVENTS} of {len(contributions_EK)}"


def draw_contributions(axis: Axes, contributions_EK: np.ndarray, rows: Sequence[str], columns: Sequence[str]) -> None:
    """Draw a matrix of contributions: red if they raise the score, blue if they lower it.

    Args:
        axis: Where to draw.
        contributions_EK: The numbers.
        rows: Names of the past items.
        columns: Names of the recommended items.
    """
    limit = float(np.abs(contributions_EK).max()) or 1.0
    image = axis.imshow(contributions_EK, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
    axis.set_yticks(range(len(rows)), rows, fontsize=8)
    axis.set_xticks(range(len(columns)), columns, fontsize=8, rotation=35, ha="right", rotation_mode="anchor")
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    if len(rows) <= MOST_NUMBERS:
        digits = 2 if limit < 10 else 1
        for row, values in enumerate(contributions_EK.tolist()):
            for column, value in enumerate(values):
                shade = "white" if abs(value) > 0.6 * limit else "black"
                shown = f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−")
                axis.text(column, row, shown, ha="center", va="center", fontsize=7, color=shade)
    bar = axis.figure.colorbar(image, ax=axis, pad=0.01, aspect=30, shrink=min(1, MOST_NUMBERS / len(rows)))
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)

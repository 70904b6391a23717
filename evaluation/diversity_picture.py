"""A picture of the trade-off between accuracy and variety: one line per method, one dot per strength."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, PercentFormatter

from seqrec.evaluation.picture_style import BLUE, CATEGORY_COLOURS, GREY, TEXT_GREY, picture
from seqrec.search.diversity_options import VECTORS

__all__ = ["save_diversity_picture"]

NAMES = {
    "mmr": "MMR",
    "dpp": "DPP",
    "calibrated": "calibrated",
    "max_per": "at most n per category",
    "popularity_penalty": "popularity penalty",
    "exposure": "minimum exposure",
}
MARKERS = dict(zip(NAMES, "osD^vP", strict=True))
COLOURS = dict(zip(NAMES, (CATEGORY_COLOURS[place] for place in (1, 3, 2, 4, 6, 0)), strict=True))
MOST_LOSS = 0.35  # strengths that cost more of the accuracy are not drawn
MARKED_LOSS = 0.03


def save_diversity_picture(curve: Mapping[str, Any], path: str | Path, *, title: str | None = None) -> None:
    """Draw NDCG against the coverage of the catalogue and against the distance within lists, as a PNG.

    Args:
        curve: The result of `diversity_curve`.
        path: The file to write.
        title: A title above the panels.
    """
    k, column = curve["k"], curve["diversify_by"]
    by = "item vectors" if column == VECTORS else column
    with picture(path, 9, 4.2, title=f"NDCG@{k} against coverage and distance within lists") as figure:
        axes = figure.subplots(1, 2, sharey=True)
        draw_panel(axes[0], curve, [f"coverage@{k}"])
        distance = [f"intra_list_distance@{k}"]
        draw_panel(axes[1], curve, distance if column == VECTORS else ["categories", column, *distance])
        mark_loss(axes[1], curve["own"][f"ndcg@{k}"])
        axes[0].set_xlabel(f"items in at least one list (coverage@{k})")
        axes[0].xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes[1].set_xlabel(f"distance of items within lists, by {by}")
        axes[0].set_ylabel(f"NDCG@{k} on {curve['split']}")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=4, frameon=False, fontsize=9)
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize="medium", fontweight="bold")


def draw_panel(axis: Axes, curve: Mapping[str, Any], path: Sequence[str]) -> None:
    """Draw the lines of all methods, which begin at the model's own lists, and mark a loss of 3 % of the NDCG."""
    accuracy = f"ndcg@{curve['k']}"
    own_accuracy, own_variety = curve["own"][accuracy], value(curve["own"], path)
    if own_variety is None:
        return
    axis.axhline(own_accuracy * (1 - MARKED_LOSS), color=GREY, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    for method, found in curve["methods"].items():
        varieties, accuracies = [own_variety], [own_accuracy]
        for point in found["points"]:
            variety = value(point, path)
            if variety is not None and point[accuracy] >= own_accuracy * (1 - MOST_LOSS):
                varieties.append(variety)
                accuracies.append(point[accuracy])
        axis.plot(
            varieties,
            accuracies,
            marker=MARKERS[method],
            markevery=slice(1, None),
            markersize=4.5,
            linewidth=1.4,
            alpha=0.9,
            color=COLOURS[method],
            label=NAMES[method],
        )
    axis.plot(own_variety, own_accuracy, "*", color=BLUE, markersize=14, label="the model's own lists", zorder=5)
    axis.yaxis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:.3f}".removeprefix("0")))
    axis.spines[["top", "right"]].set_visible(False)
    axis.margins(x=0.06, y=0.06)


def mark_loss(axis: Axes, own: float) -> None:
    """Say which loss the line marks, to the right of a panel."""
    axis.annotate(
        f"−{MARKED_LOSS:.0%}",
        (1, own * (1 - MARKED_LOSS)),
        xycoords=("axes fraction", "data"),
        xytext=(3, 0),
        textcoords="offset points",
        va="center",
        fontsize=8,
        color=TEXT_GREY,
    )


def value(metrics: Mapping[str, Any], path: Sequence[str]) -> float | None:
    """Return a metric at a path of keys; None if it is undefined."""
    found: Any = metrics
    for key in path:
        found = found[key]
    return found

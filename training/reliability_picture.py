"""A picture of how reliable predicted probabilities are: what was predicted, and how often it came true."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from seqrec.evaluation.picture_style import BLUE, GREY, picture
from seqrec.evaluation.task_metrics import NUM_BINS
from seqrec.hub.card_tables import dig
from seqrec.hub.card_values import is_count, is_known, is_share, mapping

__all__ = ["save_reliability_picture"]

MAX_COLUMNS = 3
PANEL_WIDTH, PANEL_HEIGHT = 3.6, 4.2  # inches
HEIGHT_RATIOS = (4, 1)  # of the shares and the numbers of rows
COLUMNS = ("num_rows", "predicted", "observed")

Bins = dict[str, list[Any]]


def save_reliability_picture(metrics: Mapping[str, Any], path: Path) -> None:
    """Draw the share of label 1 by predicted probability on test, as a PNG with a panel for each binary task.

    Args:
        metrics: The content of `metrics.json`. Without binary tasks, nothing is written.
        path: The file to write.
    """
    panels = {task: bins for task in mapping(metrics.get("tasks")) if (bins := bins_of(metrics, task))}
    if not panels:
        return
    num_columns = min(len(panels), MAX_COLUMNS)
    num_rows = -(-len(panels) // num_columns)
    width, height = 0.6 + PANEL_WIDTH * num_columns, PANEL_HEIGHT * num_rows
    with picture(path, width, height, title="Reliability of predicted probabilities on test") as figure:
        parts = figure.subfigures(num_rows, num_columns, squeeze=False).flat
        for part, (task, bins) in zip(parts, panels.items(), strict=False):
            upper, lower = part.subplots(2, 1, sharex=True, height_ratios=HEIGHT_RATIOS)
            draw_shares(upper, bins)
            upper.set_title(title(metrics, task, bins), fontsize=10)
            draw_numbers(lower, bins)
            lower.set_xlabel(f"predicted probability of {task}")


def draw_shares(axis: Axes, bins: Bins) -> None:
    """Draw the share of label 1 in each bin, and the line of perfect probabilities."""
    axis.plot([0, 1], [0, 1], "--", color=GREY, linewidth=1, label="perfect")
    axis.plot(bins["predicted"], bins["observed"], "o-", color=BLUE, markersize=4, clip_on=False, label="this model")
    axis.set_xlim(0, 1)
    axis.set_ylim(0, 1)
    axis.set_ylabel("share that came true, on test")
    axis.legend(loc="upper left", frameon=False, fontsize=8)
    axis.spines[["top", "right"]].set_visible(False)


def draw_numbers(axis: Axes, bins: Bins) -> None:
    """Draw the number of rows in each bin."""
    starts = [min(int(predicted * NUM_BINS), NUM_BINS - 1) / NUM_BINS for predicted in bins["predicted"]]
    axis.bar(starts, bins["num_rows"], 1 / NUM_BINS, align="edge", color=BLUE, alpha=0.4, linewidth=0)
    axis.set_ylabel("rows")
    axis.yaxis.set_major_locator(MaxNLocator(2, integer=True))
    axis.yaxis.set_major_formatter("{x:,.0f}")
    axis.spines[["top", "right"]].set_visible(False)


def title(metrics: Mapping[str, Any], task: str, bins: Bins) -> str:
    """Return the task's name with its number of rows and its calibration error, if known."""
    error = dig(metrics, "tasks", task, "model", "test", "ece")
    shown = f"{task}: n = {sum(bins['num_rows']):,}"
    return f"{shown}, ECE {error:.3f}" if is_known(error) else shown


def bins_of(metrics: Mapping[str, Any], task: str) -> Bins | None:
    """Return the bins of a task on test that hold rows; None if there are none, or values are not numbers."""
    found = mapping(dig(metrics, "tasks", task, "reliability", "test"))
    bins = {name: values for name in COLUMNS if isinstance(values := found.get(name), list)}
    if bins.keys() != {*COLUMNS} or len({len(values) for values in bins.values()} - {0}) != 1:
        return None
    is_usable = all(map(is_count, bins["num_rows"])) and all(map(is_share, [*bins["predicted"], *bins["observed"]]))
    return bins if is_usable else None

"""Plot all results: ours, published ones and baselines, with one panel per data set and split."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from statistics import mean
from typing import Any

from matplotlib.axes import Axes

from seqrec.evaluation.picture_style import BLUE, picture
from seqrec.evaluation.tables import RANKERS

OURS, PUBLISHED, BASELINE = BLUE, "#444444", "#b0b0b0"
METRIC = "ndcg@10"
COLUMNS = 2


@dataclass(frozen=True)
class Dot:
    """One line of a panel: name of the model, values by seed, and colour."""

    label: str
    values: Sequence[float]
    colour: str


def draw_results(results: Sequence[Mapping[str, Any]], published: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Plot test NDCG@10 of every recipe: the mean as a dot, the range over seeds as a line.

    Args:
        results: Content of `benchmarks/results`, sorted by data set, split and recipe.
        published: Entries of `published.yaml`, drawn in the leave-one-out panels.
        path: The PNG to write.
    """
    panels = [
        (split_title(dataset, protocol), dots_of(list(group), reports_on(published, dataset, protocol)))
        for (dataset, protocol), group in groupby(results, key=lambda result: (result["dataset"], result["protocol"]))
    ]
    panels.sort(key=lambda panel: -len(panel[1]))
    rows = [panels[start : start + COLUMNS] for start in range(0, len(panels), COLUMNS)]
    heights = [1 + max(len(dots) for _, dots in row) for row in rows]
    height = 0.26 * sum(heights) + 0.5 * len(rows)
    with picture(path, 15, height, title="Test NDCG@10 of all recipes and baselines", dpi=110) as figure:
        axes = figure.subplots(len(rows), COLUMNS, height_ratios=heights, squeeze=False)
        for axis in axes.flat[len(panels) :]:
            axis.set_axis_off()
        for axis, (title, dots) in zip(axes.flat, panels, strict=False):
            draw_panel(axis, title, dots)
        figure.supxlabel(
            "test NDCG@10 over the full catalogue: seqrec (blue, with the range over seeds), published results (dark), "
            "baselines (grey)",
            fontsize="medium",
        )


def split_title(dataset: str, protocol: str) -> str:
    """Name a data set and its split."""
    return f"{dataset}, {protocol.replace('_', '-')}"


def known_of_requests(result: Mapping[str, Any]) -> str:
    """Say what a model knows of requests in addition to their items, as far as recorded."""
    windows = result.get("popularity_windows")
    counts = f"counts of {', '.join(map(str, windows))} days" if windows else None
    return ", ".join(filter(None, (result.get("request_time"), counts)))


def recipe_title(recipe: str, known: str) -> str:
    """Name a recipe, and what its model knows of requests, if it reads times."""
    return f"{recipe} ({known})" if known else recipe


def reports_on(published: Iterable[Mapping[str, Any]], dataset: str, protocol: str) -> list[Mapping[str, Any]]:
    """Select the published results on one data set; all of them use leave-one-out."""
    return [entry for entry in published if protocol == "leave_one_out" and entry["dataset"] == dataset]


def dots_of(results: Sequence[Mapping[str, Any]], published: Iterable[Mapping[str, Any]]) -> list[Dot]:
    """Collect one panel's dots, best first."""
    ours = [
        Dot(recipe_title(recipe, known), [result["metrics"]["test"][METRIC] for result in group], OURS)
        for (recipe, known), group in groupby(results, key=lambda result: (result["recipe"], known_of_requests(result)))
    ]
    reported = [Dot(f"{entry['model']} ({entry['source']})", [entry[METRIC]], PUBLISHED) for entry in published]
    measured = {ranker: result[ranker] for result in reversed(results) for ranker in RANKERS if ranker in result}
    baselines = [Dot(RANKERS[ranker], [found["test"][METRIC]], BASELINE) for ranker, found in measured.items()]
    return sorted([*ours, *reported, *baselines], key=lambda dot: -mean(dot.values))


def draw_panel(axis: Axes, title: str, dots: Sequence[Dot]) -> None:
    """Draw one panel, with a line per dot and its value next to it."""
    axis.set_title(title, loc="left", fontweight="bold", fontsize="medium")
    most = max(max(dot.values) for dot in dots)
    for place, dot in enumerate(dots):
        axis.plot([0, mean(dot.values)], [place, place], color="#e8e8e8", linewidth=1, zorder=1)
        axis.plot([min(dot.values), max(dot.values)], [place, place], color=dot.colour, linewidth=3, alpha=0.4)
        axis.plot(mean(dot.values), place, "o", color=dot.colour, markersize=5)
        axis.text(
            max(dot.values) + most * 0.025, place, f"{mean(dot.values):.4f}", va="center", fontsize=8, color=dot.colour
        )
    axis.set_yticks(range(len(dots)), [dot.label for dot in dots], fontsize=8)
    for label, dot in zip(axis.get_yticklabels(), dots, strict=True):
        label.set_color(dot.colour)
    axis.set_ylim(len(dots) - 0.4, -0.6)
    axis.set_xlim(0, most * 1.15)
    axis.tick_params(axis="both", length=0, labelsize=8)
    axis.spines[["top", "right", "left"]].set_visible(False)

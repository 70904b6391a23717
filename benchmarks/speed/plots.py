"""Plots: ratios as bars with ranges, and cost curves."""

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

SPEED_COLOUR, MEMORY_COLOUR, QUIET_COLOUR = "#1f6feb", "#c2571a", "#8a8a8a"
CURVES = (
    ("history length", ("length",)),
    ("items in the catalogue", ("items, full softmax", "items, 256 negatives")),
    ("Transformer blocks", ("blocks",)),
)
STYLES = ("-", "--")


def draw_all(report: dict[str, Any], folder: Path) -> None:
    """Draw all plots that the report has data for."""
    if any(ratio for result in report["cases"].values() for ratio in told_ratios(result)):
        draw_ratios(report["cases"], folder / "ratios.png")
    if report["cases"].get("curves", {}).get("contenders"):
        draw_curves(report["cases"]["curves"], folder / "curves.png")


def told_ratios(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the ratios to plot."""
    return [ratio for ratio in result["ratios"] if ratio["against_peers"]]


def draw_ratios(cases: dict[str, Any], path: Path) -> None:
    """Plot the median of each ratio as a bar starting at 1, with its range, grouped by case."""
    rows: list[tuple[str, dict[str, Any] | None]] = []
    for result in cases.values():
        told = told_ratios(result)
        if told:
            rows.append((result["title"], None))
            rows += [(ratio["title"], ratio) for ratio in told]
    figure = Figure(figsize=(12, 1.2 + 0.3 * len(rows)), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.add_subplot()
    axis.set_xscale("log")
    most = max(ratio["max"] for _, ratio in rows if ratio)
    least = min(ratio["min"] for _, ratio in rows if ratio)
    axis.set_xlim(min(0.8, least * 0.9), most * 1.6)
    for place, (_, ratio) in enumerate(rows):
        if ratio is not None:
            draw_bar(axis, place, ratio)
    axis.axvline(1, color="black", linewidth=0.8)
    axis.set_yticks(range(len(rows)), [text for text, _ in rows])
    for label, (_, ratio) in zip(axis.get_yticklabels(), rows, strict=True):
        label.set_fontweight("bold" if ratio is None else "normal")
    axis.set_ylim(len(rows) - 0.4, -0.6)
    axis.tick_params(axis="y", length=0)
    ticks = [tick for tick in (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500) if axis.get_xlim()[0] <= tick <= most * 1.6]
    axis.set_xticks(ticks, [f"{tick:g}×" for tick in ticks])
    axis.minorticks_off()
    axis.grid(axis="x", color="#e4e4e4", linewidth=0.8)
    axis.set_axisbelow(True)
    figure.supxlabel("times as fast (or as small) as the peer; lines: range over rounds", fontsize="medium")
    axis.spines[["top", "right", "left"]].set_visible(False)
    figure.savefig(path)


def draw_bar(axis: Axes, place: int, ratio: dict[str, Any]) -> None:
    """Draw one ratio and its label."""
    middle = ratio["median"]
    axis.barh(place, middle - 1, left=1, height=0.62, color=SPEED_COLOUR if middle >= 1 else MEMORY_COLOUR)
    axis.plot([ratio["min"], ratio["max"]], [place, place], color="black", linewidth=1.2)
    axis.annotate(
        f"{middle:.3g}×", (max(ratio["max"], middle, 1), place), xytext=(5, 0), textcoords="offset points", va="center"
    )


def draw_curves(result: dict[str, Any], path: Path) -> None:
    """Plot speed (left axis) and peak memory (right axis) for each curve."""
    figure = Figure(figsize=(14, 4.2), dpi=120, layout=ConstrainedLayoutEngine(w_pad=0.15))
    FigureCanvasAgg(figure)
    for panel, (label, names) in zip(figure.subplots(1, len(CURVES)), CURVES, strict=True):
        draw_panel(panel, label, {name: points_of(result, name) for name in names})
    figure.savefig(path)


def points_of(result: dict[str, Any], name: str) -> list[tuple[int, float, float]]:
    """Collect a curve's points: position, targets per second, and GiB."""
    return [
        (one["point"], one["summary"]["speed"]["median"], one["summary"]["peak_mib"]["median"] / 1024)
        for title, one in result["contenders"].items()
        if title.startswith(f"{name}: ")
    ]


def draw_panel(axis: Axes, label: str, curves: dict[str, list[tuple[int, float, float]]]) -> None:
    """Draw one panel."""
    memory_axis = axis.twinx()
    places: set[int] = set()
    for style, (name, points) in zip(STYLES, curves.items(), strict=False):
        if not points:
            continue
        where, speeds, memory = zip(*points, strict=True)
        places.update(where)
        axis.plot(where, speeds, style, marker="o", color=SPEED_COLOUR, label=name.split(", ")[-1])
        memory_axis.plot(where, memory, style, marker="s", markersize=4, color=MEMORY_COLOUR)
    axis.set_xscale("log")
    axis.set_xticks(sorted(places), [short(place) for place in sorted(places)])
    axis.minorticks_off()
    axis.set_ylim(bottom=0)
    memory_axis.set_ylim(bottom=0)
    axis.set_xlabel(label)
    axis.set_ylabel("targets a second", color=SPEED_COLOUR)
    memory_axis.set_ylabel("peak memory, GiB", color=MEMORY_COLOUR)
    axis.yaxis.set_major_formatter(lambda number, _: short(number))
    axis.grid(color="#ececec", linewidth=0.8)
    axis.spines[["top"]].set_visible(False)
    memory_axis.spines[["top"]].set_visible(False)
    if len(curves) > 1:
        axis.legend(frameon=False, handlelength=3, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=len(curves))


def short(number: float) -> str:
    """Format thousands as k and millions as M."""
    for size, suffix in ((10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number / size:g}{suffix}"
    return f"{number:g}"

"""A picture of the accuracy by slice: bars of the model, with intervals, and of the baselines."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from seqrec.evaluation.picture_style import BLUE, DARK_GREY, GREY, LIGHT_GREY, TEXT_GREY, WIDTH, picture
from seqrec.evaluation.tables import RANKERS
from seqrec.hub.card_tables import dig
from seqrec.hub.card_values import is_count, is_known, mapping

__all__ = ["save_slices_picture"]

PANELS = {
    "history_length": "items in the history",
    "short_history": "short histories",
    "target_popularity": "popularity of the held-out item",
    "target_count": "training interactions of the held-out item",
}
# In this order, from the left.
COLOURS = {"model": BLUE, "item_knn": DARK_GREY, "recent_popularity": GREY, "popularity": LIGHT_GREY}
NAMES = {**RANKERS, "model": "this model"}
TICKS = {
    **{"head": "head\n(most popular)", "middle": "middle\n", "tail": "tail\n(rarest)"},
    **{"short": "≤2 items", "longer": ">2 items"},
    **{"cold": "0\n(cold)", "rare": "1–5\n(rare)", "frequent": ">5\n"},
}
METRIC = "ndcg@10"
MAX_COLUMNS = 2
NARROW_WIDTH = 5.0  # inches of a single panel
GROUP_WIDTH = 0.8  # of the bars of one slice; the distance between slices is 1
FULL_GROUPS = 3  # with fewer slices, bars do not get wider


def save_slices_picture(metrics: Mapping[str, Any], path: Path) -> None:
    """Draw NDCG@10 on test by slice, with 95% intervals of the model if they are known, as a PNG.

    Args:
        metrics: The content of `metrics.json`. Without slices of the model, nothing is written.
        path: The file to write.
    """
    panels = {name: title for name, title in PANELS.items() if slices_of(metrics, "model", name)}
    if not panels:
        return
    num_columns = min(len(panels), MAX_COLUMNS)
    num_rows = -(-len(panels) // num_columns)
    with picture(
        path, WIDTH if num_columns > 1 else WIDTH - 2.2, 0.4 + 2.9 * num_rows, title="NDCG@10 on test by slice"
    ) as figure:
        axes = list(figure.subplots(num_rows, num_columns, sharey=True, squeeze=False).flat)
        for axis, (name, title) in zip(axes, panels.items(), strict=False):
            draw(axis, metrics, name)
            axis.set_xlabel(title, fontsize=9)
        for axis in axes[len(panels) :]:
            axis.set_axis_off()
        figure.supylabel("NDCG@10 on test", fontsize=9)
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False, fontsize=9)


def draw(axis: Axes, metrics: Mapping[str, Any], name: str) -> None:
    """Draw a group of bars for each slice, with the number of held-out items below."""
    slices = slices_of(metrics, "model", name)
    rankers = [ranker for ranker in COLOURS if slices_of(metrics, ranker, name)]
    width = GROUP_WIDTH / len(rankers)
    for place, ranker in enumerate(rankers):
        found = slices_of(metrics, ranker, name)
        shift = (place - (len(rankers) - 1) / 2) * width
        errors = errors_of(metrics, name, slices) if ranker == "model" else {}
        bars = axis.bar(
            [index + shift for index in range(len(slices))],
            [found.get(slice_, 0) for slice_ in slices],
            width,
            color=COLOURS[ranker],
            label=NAMES[ranker],
            **errors,
        )
        if ranker == "model":
            axis.bar_label(bars, fmt="{:.3f}", padding=1, fontsize=7, color=COLOURS[ranker])
    axis.set_xticks(range(len(slices)), [tick(metrics, name, slice_) for slice_ in slices], fontsize=8)
    room = max(FULL_GROUPS - len(slices), 0) / 2
    axis.set_xlim(-0.6 - room, len(slices) - 0.4 + room)
    axis.margins(y=0.1)  # room for the labels
    axis.tick_params(axis="x", length=0)
    axis.tick_params(axis="y", labelsize=8, labelleft=True)
    axis.spines[["top", "right"]].set_visible(False)


def slices_of(metrics: Mapping[str, Any], ranker: str, name: str) -> dict[str, float]:
    """Return the known accuracies by slice."""
    found = mapping(dig(metrics, "slices", ranker, "test", name))
    values: dict[str, Any] = {slice_: mapping(entry).get(METRIC) for slice_, entry in found.items()}
    return {slice_: value for slice_, value in values.items() if is_known(value)}


def errors_of(metrics: Mapping[str, Any], name: str, slices: Mapping[str, float]) -> dict[str, Any]:
    """Return how to draw the model's 95% intervals; nothing if they are not known for all slices."""
    intervals = [dig(metrics, "slice_confidence", "model", "test", name, slice_, METRIC) for slice_ in slices]
    if not all(isinstance(one, list | tuple) and len(one) == 2 and all(map(is_known, one)) for one in intervals):
        return {}
    below = [max(value - low, 0) for value, (low, _) in zip(slices.values(), intervals, strict=True)]
    above = [max(high - value, 0) for value, (_, high) in zip(slices.values(), intervals, strict=True)]
    return {"yerr": [below, above], "ecolor": TEXT_GREY, "capsize": 2, "error_kw": {"elinewidth": 1}}


def tick(metrics: Mapping[str, Any], name: str, slice_: str) -> str:
    """Return a slice's name with its number of held-out items, if known."""
    number = dig(metrics, "slices", "model", "test", name, slice_, "num_users")
    shown = TICKS.get(slice_, slice_).replace("-", "–")
    return f"{shown}\nn = {number:,}" if is_count(number) else shown

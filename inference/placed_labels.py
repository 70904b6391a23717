"""Names next to points, none of which covers another or is cut."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.transforms import Bbox

__all__ = ["place_labels"]

MOST_LABELS = 28
GAP = 4  # points between a point and its name
PADDING = 2  # pixels between names
# Where a name may stand: shift in gaps, and alignments.
SIDES = (
    *((1, 0, "left", "center"), (-1, 0, "right", "center")),
    *((0, 1, "center", "bottom"), (0, -1, "center", "top")),
    *((1, 1, "left", "bottom"), (-1, 1, "right", "bottom"), (1, -1, "left", "top"), (-1, -1, "right", "top")),
)


def place_labels(axis: Axes, places_N2: np.ndarray, names: Sequence[str]) -> None:
    """Write names next to points, the first ones first; those without room are left out.

    The layout of the figure is fixed from then on.

    Args:
        axis: Where the points are drawn.
        places_N2: The points.
        names: Their names, the most important first.
    """
    figure = axis.figure
    assert isinstance(figure, Figure)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    whole = axis.get_window_extent()
    taken: list[Bbox] = []
    for place, name in zip(places_N2, names, strict=True):
        if len(taken) == MOST_LABELS:
            return
        box = write(axis, place, name, whole, taken)
        if box is not None:
            taken.append(box)


def write(axis: Axes, place: np.ndarray, name: str, whole: Bbox, taken: Sequence[Bbox]) -> Bbox | None:
    """Write one name on the first side with room, and return its box; None if there is no room."""
    label = axis.annotate(
        name,
        tuple(place),
        xytext=(0, 0),
        textcoords="offset points",
        fontsize=7,
        annotation_clip=False,
        path_effects=[withStroke(linewidth=2, foreground="white", alpha=0.8)],
    )
    for across, up, horizontal, vertical in SIDES:
        label.set(position=(GAP * across, GAP * up), horizontalalignment=horizontal, verticalalignment=vertical)
        box = label.get_window_extent().padded(PADDING)
        is_inside = whole.x0 <= box.x0 and box.x1 <= whole.x1 and whole.y0 <= box.y0 and box.y1 <= whole.y1
        if is_inside and not any(box.overlaps(other) for other in taken):
            return box
    label.remove()
    return None

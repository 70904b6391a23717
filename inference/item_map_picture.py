"""A map of the items: those with similar vectors lie together.

Shape suffixes: N items on the map.
"""

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from seqrec.errors import InputError
from seqrec.evaluation.picture_style import CATEGORY_COLOURS, LIGHT_GREY, TEXT_GREY, WIDTH, picture, readable_names
from seqrec.inference.neighbour_layout import place_neighbours
from seqrec.inference.placed_labels import place_labels
from seqrec.interactions.catalogue import Catalogue
from seqrec.interactions.item_categories import NO_CATEGORY
from seqrec.interactions.item_rows import rows_of
from seqrec.modeling.modeling_next_item import NextItemHead
from seqrec.search.finite import require_finite

__all__ = ["MOST_ITEMS", "save_item_map"]

MOST_ITEMS = 1000  # more overlap, and take long
MOST_CANDIDATES = 150  # for names
NAME_WIDTH = 26
OTHER, NONE = "other", "without a value"
SCALE = "viridis_r"
NUM_COLOURS = 256
POPULARITY = "popularity"
FEW_CATEGORIES = 30  # of a column that colours items if none is named


@dataclass(frozen=True)
class Colouring:
    """The colours of items: names of categories (N), or else numbers (N)."""

    title: str
    categories: list[str] | None = None
    numbers_N: np.ndarray | None = None
    is_logarithmic: bool = False


def save_item_map(model: NextItemHead, items: Catalogue, path: str | Path, *, colour_by: str | None = None) -> None:
    """Draw the most popular items, of which those with similar vectors (by cosine) lie together, as a PNG.

    Places come from t-SNE, without anything random. The most popular items are named, as far as names fit.

    Args:
        model: A model.
        items: Its catalogue.
        path: The file to write.
        colour_by: A column of the items: categories such as genres, of which an item's first counts, or numbers such as
            a year; or "popularity". None for the first column with at most 30 categories, or else popularity.

    Raises:
        InputError: If the items have no such column, or it has no usable values.
        NonFiniteError: If an item vector is infinite or NaN.
    """
    token_ids_N = items.by_popularity()[:MOST_ITEMS]
    colouring = colour(items, token_ids_N, colour_by)
    with torch.no_grad():
        vectors_ND = model.item_vectors(torch.as_tensor(token_ids_N, device=model.device)).float()
    vectors_ND = torch.nn.functional.normalize(require_finite(vectors_ND, what="Item vectors"))
    places_N2 = place_neighbours(vectors_ND).numpy()
    counts_N = items.counts[rows_of(token_ids_N)]
    title = "Map of the items: similar ones lie together"
    with picture(path, WIDTH, 6.2, title=title, num_colours=NUM_COLOURS) as figure:
        axis = figure.add_subplot()
        draw_points(axis, places_N2, counts_N, colouring)
        all_or_some = f"{len(items):,} items" if len(items) <= MOST_ITEMS else f"{MOST_ITEMS:,} most popular items"
        figure.suptitle(f"The {all_or_some}: those with similar vectors lie together", x=0.03, ha="left", fontsize=10)
        named = rows_of(token_ids_N[:MOST_CANDIDATES])
        names = readable_names([items.titles[row] for row in named], [items.item_ids[row] for row in named], NAME_WIDTH)
        place_labels(axis, places_N2[:MOST_CANDIDATES], names)


def colour(items: Catalogue, token_ids_N: np.ndarray, column: str | None) -> Colouring:
    """Return the colours of items."""
    rows_N = rows_of(token_ids_N)
    column = column_of_few(items) if column is None else column
    if column is None or (column == POPULARITY and POPULARITY not in items.descriptions):
        return Colouring("training interactions", numbers_N=np.maximum(items.counts[rows_N], 1), is_logarithmic=True)
    if column in items.descriptions and items.frame[column].dtype.is_numeric():
        return Colouring(column, numbers_N=items.frame[column].to_numpy().astype(np.float64)[rows_N])
    found = items.categories(column)
    first_N = found.codes_VM[token_ids_N, 0]
    names = [NONE if code == NO_CATEGORY else found.names[code] for code in first_N.tolist()]
    common = {name for name, _ in Counter(name for name in names if name != NONE).most_common(len(CATEGORY_COLOURS))}
    shown = [name if name in common | {NONE} else OTHER for name in names]
    has_several = (found.codes_VM[token_ids_N, 1:] != NO_CATEGORY).any()
    return Colouring(f"{column} (first)" if has_several else column, categories=shown)


def column_of_few(items: Catalogue) -> str | None:
    """Return the first column with few categories; None if there is none."""
    for column in items.descriptions:
        if items.frame[column].dtype.is_numeric():
            continue
        with suppress(InputError):  # values that are no categories
            if 1 < len(items.categories(column).names) <= FEW_CATEGORIES:
                return column
    return None


def draw_points(axis: Axes, places_N2: np.ndarray, counts_N: np.ndarray, colouring: Colouring) -> None:
    """Draw a point for each item, the larger the more popular, and explain the colours."""
    sizes_N = 5 + 75 * counts_N / max(counts_N.max(), 1)
    options: dict[str, Any] = {"alpha": 0.75, "linewidths": 0}
    if colouring.numbers_N is not None:
        order_N = np.argsort(-counts_N, kind="stable")  # small points above large ones
        across_N, up_N = places_N2[order_N].T
        points = axis.scatter(
            across_N,
            up_N,
            s=sizes_N[order_N],
            c=colouring.numbers_N[order_N],
            cmap=SCALE,
            norm=LogNorm() if colouring.is_logarithmic else None,
            plotnonfinite=False,
            **options,
        )
        bar = axis.figure.colorbar(points, ax=axis, shrink=0.6, aspect=30, pad=0.01)
        if colouring.is_logarithmic:
            bar.ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            bar.ax.yaxis.set_major_formatter("{x:,.0f}")
            bar.ax.yaxis.set_minor_formatter(NullFormatter())
        bar.set_label(colouring.title, fontsize=9)
        bar.ax.tick_params(labelsize=8)
        bar.outline.set_visible(False)
    else:
        draw_categories(axis, places_N2, sizes_N, np.array(colouring.categories), colouring.title, options)
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[:].set_visible(False)
    axis.margins(0.04)


def draw_categories(
    axis: Axes, places_N2: np.ndarray, sizes_N: np.ndarray, names_N: np.ndarray, title: str, options: dict[str, Any]
) -> None:
    """Draw the items of each category in a colour, and name the categories."""
    counted = Counter(names_N.tolist())
    common = sorted(counted.keys() - {OTHER, NONE}, key=lambda name: (-counted[name], name))
    colours = dict(zip(common, CATEGORY_COLOURS, strict=False))
    grey = {name: shade for name, shade in ((OTHER, TEXT_GREY), (NONE, LIGHT_GREY)) if name in counted}
    shades = {**colours, **grey}
    for name in (*grey, *common):  # the rarest above the others
        is_here_N = names_N == name
        across_N, up_N = places_N2[is_here_N].T
        axis.scatter(across_N, up_N, s=sizes_N[is_here_N], color=shades[name], **options)
    shown = readable_names([*shades], [*shades], NAME_WIDTH)
    axis.figure.legend(
        [Line2D([], [], marker="o", linestyle="", markersize=5, color=shade) for shade in shades.values()],
        shown,
        loc="outside right upper",
        title=title,
        frameon=False,
        fontsize=8,
        title_fontsize=9,
    )

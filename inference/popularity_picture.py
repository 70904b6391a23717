"""A picture of how popular recommended items are, compared with the items that users chose.

Shape suffixes: I items.
"""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from seqrec.errors import InputError
from seqrec.evaluation.picture_style import BLUE, DARK_GREY, LIGHT_GREY, TEXT_GREY, WIDTH, picture
from seqrec.evaluation.slices import popularity_thirds
from seqrec.inference.recommender import Recommender
from seqrec.interactions.item_rows import by_row

__all__ = ["recommended_counts", "save_popularity"]

MOST_USERS = 2000
BAR_WIDTH = 0.29
BANDS = ("head\n(most popular)", "middle", "tail\n(rarest)")


def save_popularity(
    recommender: Recommender, interactions: pl.DataFrame, path: str | Path, *, k: int = 10, **request: Any
) -> None:
    """Draw the popularity of the items in users' lists, next to that of the items in training interactions, as a PNG.

    Args:
        recommender: A model.
        interactions: Interactions of the users to recommend for, by our column names. Of more than 2,000 users, 2,000
            are chosen, evenly spaced among their ids.
        path: The file to write.
        k: Number of items for each user.
        **request: Options of `Recommender.recommend_frame`.

    Raises:
        InputError: If the catalogue has no counts of training interactions; otherwise as in
            `Recommender.recommend_frame`.
    """
    if not recommender.items.counts.any():
        raise InputError("The catalogue counts no training interactions, so no item is popular. Train a model on some.")
    users = interactions["user_id"].unique().sort()
    chosen = users if len(users) <= MOST_USERS else users[np.linspace(0, len(users) - 1, MOST_USERS).astype(int)]
    chosen_rows = interactions.filter(pl.col("user_id").is_in(chosen.implode()))
    lists = recommender.recommend_frame(chosen_rows, k, **request)
    counts_I = recommender.items.counts
    shown_I = recommended_counts(recommender, lists)
    which = f"{len(chosen):,} users" if len(chosen) == len(users) else f"{len(chosen):,} of {len(users):,} users"
    with picture(path, WIDTH, 3.6, title="Popularity of recommended items and of the data") as figure:
        figure.suptitle(f"How popular are the items in the lists of {k} for {which}?", x=0.02, ha="left", fontsize=10)
        left, right = figure.subplots(1, 2, width_ratios=(1, 1))
        draw_shares(left, counts_I, shown_I)
        draw_bands(right, counts_I, shown_I)
        handles, labels = right.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower left", ncols=3, frameon=False, fontsize=8)


def recommended_counts(recommender: Recommender, lists: pl.DataFrame) -> np.ndarray:
    """Return how often each item is in lists (I)."""
    token_ids = recommender.tokenizer.encode_item_ids(lists["item_id"].to_list())
    return by_row(np.bincount(token_ids, minlength=recommender.items.vocab_size))


def draw_shares(axis: Axes, counts_I: np.ndarray, shown_I: np.ndarray) -> None:
    """Draw the share of interactions, and of places in lists, that the most popular items have together."""
    order_I = np.argsort(-counts_I, kind="stable")
    share_I = np.arange(1, len(counts_I) + 1) / len(counts_I)
    axis.plot(share_I, np.cumsum(counts_I[order_I]) / counts_I.sum(), color=DARK_GREY)
    axis.plot(share_I, np.cumsum(shown_I[order_I]) / max(shown_I.sum(), 1), color=BLUE)
    axis.set_xscale("log")
    axis.set_xlim(share_I[0], 1)
    axis.set_ylim(0, 1)
    axis.xaxis.set_major_formatter(lambda share, _: f"{100 * share:g}%")
    axis.yaxis.set_major_formatter(PercentFormatter(1))
    axis.set_xlabel("most popular items, share of the catalogue", fontsize=8)
    axis.set_ylabel("their share of the whole", fontsize=8)
    axis.tick_params(labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)


def draw_bands(axis: Axes, counts_I: np.ndarray, shown_I: np.ndarray) -> None:
    """Draw the shares of popular and rare items in the data, in lists and in the catalogue, as bars."""
    third_I = popularity_thirds(counts_I, counts_I)
    drawn = (
        ("interactions", counts_I, DARK_GREY),
        ("recommendations", shown_I, BLUE),
        ("items of the catalogue", np.ones_like(counts_I), LIGHT_GREY),
    )
    for place, (name, weights_I, shade) in enumerate(drawn):
        sums = np.bincount(third_I, weights_I, len(BANDS))
        where = np.arange(len(BANDS)) + (place - 1) * BAR_WIDTH
        bars = axis.bar(where, sums / max(sums.sum(), 1), BAR_WIDTH, color=shade, label=name)
        axis.bar_label(bars, fmt="{:.0%}", padding=1, fontsize=6.5, color=TEXT_GREY)
    axis.set_xticks(range(len(BANDS)), BANDS, fontsize=8)
    axis.set_ylim(0, 1.05)
    axis.yaxis.set_major_formatter(PercentFormatter(1))
    axis.tick_params(axis="y", labelsize=8)
    axis.tick_params(axis="x", length=0)
    axis.spines[["top", "right"]].set_visible(False)

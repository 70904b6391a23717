"""Describe interactions and their split, for `metrics.json` and prepared sets."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from seqrec.interactions.histories import Histories
from seqrec.interactions.impressions import num_impressions
from seqrec.interactions.sources import InteractionData
from seqrec.interactions.splitting import Split
from seqrec.interactions.timestamps import period

__all__ = ["describe", "describe_interactions", "describe_sizes", "protocol_of"]


def describe(
    data: InteractionData,
    kept: pl.DataFrame,
    split: Split,
    settings: Mapping[str, Any],
    sequences: Mapping[str, Histories],
) -> dict[str, Any]:
    """Return the protocol of prepared data: where they come from, how they were filtered and split, and their size.

    Args:
        data: The data set as it was loaded; a frame has no name.
        kept: The interactions that were kept.
        split: Their split.
        settings: How they were filtered and split.
        sequences: The parts of the split.
    """
    return protocol_of(
        data.name,
        settings,
        describe_interactions(kept),
        split.sha256(),
        {
            "num_interactions_read": len(data.interactions) if len(kept) < len(data.interactions) else None,
            "num_impressions": num_impressions(sequences),
            "dataset_is_on_hub": data.is_on_hub,
            "dataset_terms": data.terms,
            "columns": dict(data.columns),
        },
    )


def protocol_of(
    name: str | None,
    settings: Mapping[str, Any],
    sizes: Mapping[str, Any],
    split_sha256: str,
    further: Mapping[str, Any],
) -> dict[str, Any]:
    """Put the entries of a protocol in order; those of `further` that are empty are left out."""
    return {
        **({"dataset": name} if name is not None else {}),
        **settings,
        **sizes,
        "split_sha256": split_sha256,
        **{entry: value for entry, value in further.items() if value},
    }


def describe_interactions(interactions: pl.DataFrame) -> dict[str, Any]:
    """Return the numbers of users, items and interactions, the density and, if timestamps are real times, the period.

    Density is the fraction of all pairs of a user and an item that have interacted.
    """
    items_of_users = interactions.group_by("user_id").agg(pl.col("item_id").n_unique())["item_id"]
    return describe_sizes(
        num_users=len(items_of_users),
        num_items=interactions["item_id"].n_unique(),
        num_interactions=len(interactions),
        num_pairs=int(items_of_users.sum()),
        timestamps=interactions["timestamp"],
    )


def describe_sizes(
    *, num_users: int, num_items: int, num_interactions: int, num_pairs: int, timestamps: pl.Series
) -> dict[str, Any]:
    """Return the entries of `describe_interactions`, given the number of pairs that have interacted.

    Of the timestamps, the first and the last are enough.
    """
    found = {
        "num_users": num_users,
        "num_items": num_items,
        "num_interactions": num_interactions,
        "density": num_pairs / (num_users * num_items),
    }
    days = period(timestamps)
    return found if days is None else {**found, "period": [day.isoformat() for day in days]}

"""The request in a model card's usage example."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from seqrec.hub.card_values import mapping

__all__ = ["days_until", "usage_times"]

FIRST_DAY = date(1970, 1, 1)
LAST_DAY = date(2024, 5, 31)  # for models whose training data have no period


def usage_times(config: Mapping[str, Any], protocol: Mapping[str, Any], num_items: int) -> dict[str, Any]:
    """Return example times for a model that reads times: one day for each item, until the last day of its data.

    Args:
        config: The content of `config.json`.
        protocol: The protocol in `metrics.json`.
        num_items: Number of items in the example.

    Returns:
        Arguments of `Recommender.recommend`: `timestamps` and, if the model knows when items are asked for, `at`.
    """
    reads_time = config.get("time_encoding", "none") != "none" or config.get("popularity_windows")
    if not reads_time and "timestamps" not in (config.get("context_columns") or ()):
        return {}
    days = days_until(last_day(protocol), num_items)
    return {"timestamps": days, **({"at": "now"} if config.get("request_time") == "target" else {})}


def days_until(last: date, number: int) -> list[str]:
    """Return consecutive days as ISO text, oldest first, of which the given one is the last."""
    return [(last - timedelta(days=before)).isoformat() for before in reversed(range(number))]


def last_day(protocol: Mapping[str, Any]) -> date:
    """Return the last day of the period of a protocol."""
    try:
        return max(date.fromisoformat(mapping(protocol)["period"][-1]), FIRST_DAY)
    except (KeyError, IndexError, TypeError, ValueError):
        return LAST_DAY

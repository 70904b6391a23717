"""The table of sample recommendations in a model card."""

from collections.abc import Mapping
from typing import Any

from seqrec.hub.card_tables import table
from seqrec.hub.card_values import is_text
from seqrec.hub.markdown import code, one_line, text

__all__ = ["samples_table"]

NUM_SAMPLES = 3
NUM_ITEMS = 10
LONGEST_TITLE = 80


def samples_table(metrics: Mapping[str, Any]) -> str:
    """List the sample histories of `metrics.json` with their recommendations; an empty string if there are none."""
    samples = metrics.get("samples")
    rows = [
        [items_cell(sample.get("history")), items_cell(sample.get("recommended"))]
        for sample in (samples[:NUM_SAMPLES] if isinstance(samples, list) else [])
        if isinstance(sample, Mapping)
    ]
    return table(["History, oldest first", "Recommended, best first"], filter(all, rows), alignment="---")


def items_cell(items: Any) -> str:
    """List items, one per line; an empty string if one is unknown."""
    if not isinstance(items, list) or not all(isinstance(item, Mapping) for item in items):
        return ""
    names = [item_name(item) for item in items[:NUM_ITEMS]]
    return "<br>".join(names) if all(names) else ""


def item_name(item: Mapping[str, Any]) -> str:
    """Return an item's title or else its id, escaped; an empty string if it has neither."""
    title = item.get("title")
    if is_text(title) and one_line(title):
        return text(shortened(one_line(title)))
    return code(item["item_id"]) if is_text(item.get("item_id")) else ""


def shortened(title: str) -> str:
    """Truncate a long title."""
    return title if len(title) <= LONGEST_TITLE else f"{title[: LONGEST_TITLE - 1].rstrip()}…"

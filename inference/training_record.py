"""The record of a training, as it goes on with a model to which items were added."""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from seqrec.errors import SavedFolderError
from seqrec.hub.card_values import is_count
from seqrec.hub.json_objects import parse_json_object
from seqrec.hub.model_card import METRICS
from seqrec.hub.weights_hash import WEIGHTS_SHA256, weights_sha256

__all__ = ["ITEMS_ADDED", "save_record", "with_added_items"]

ITEMS_ADDED = "items_added"  # entry of `metrics.json`


def with_added_items(record: Mapping[str, bytes], number: int) -> dict[str, bytes]:
    """Return a record whose metrics say how many items were added after they were measured.

    They then lack the hash of the weights, which adding items changed; `save_record` adds that of the new ones.
    """
    found = dict(record)
    with suppress(KeyError, SavedFolderError):  # no metrics, or broken ones, which saving reports
        metrics = parse_json_object(record[METRICS], METRICS)
        earlier: Any = metrics.get(ITEMS_ADDED)
        metrics[ITEMS_ADDED] = number + (earlier if is_count(earlier) else 0)
        metrics.pop(WEIGHTS_SHA256, None)
        found[METRICS] = json_bytes(metrics)
    return found


def save_record(record: Mapping[str, bytes], folder: Path) -> None:
    """Write a record next to the weights of its model."""
    for file_name, content in record.items():
        (folder / file_name).write_bytes(content)
    with suppress(KeyError, SavedFolderError):
        metrics = parse_json_object(record[METRICS], METRICS)
        if ITEMS_ADDED in metrics and WEIGHTS_SHA256 not in metrics:
            (folder / METRICS).write_bytes(json_bytes({**metrics, WEIGHTS_SHA256: weights_sha256(folder)}))


def json_bytes(metrics: Mapping[str, object]) -> bytes:
    """Format the content of `metrics.json`."""
    return (json.dumps(metrics, indent=2) + "\n").encode()

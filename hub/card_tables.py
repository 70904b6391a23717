"""The tables of a model card. Rows, columns and tables of which nothing is known are left out."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

ACCURACY = ("ndcg@10", "hr@10", "mrr@10", "ndcg@5", "ndcg@20", "hr@1", "hr@5", "hr@20")
CATALOGUE_USE = {
    "coverage@10": "Coverage: share of the catalogue that is recommended to anybody",
    "novelty@10": "Novelty: mean self-information of what is recommended, in bits",
    "popularity@10": "Popularity: mean training interactions of what is recommended",
    "gini@10": "Gini coefficient of exposure over the catalogue: 0 even, 1 all on one item",
}
ENCODERS = ("model", "popularity")
SPLITS = ("validation", "test")


def accuracy_table(metrics: Mapping[str, Any]) -> str:
    """Set the model beside popularity on both splits, with confidence intervals on test."""
    header = ["Metric", *(f"{encoder}, {split}" for split in SPLITS for encoder in ENCODERS)]
    rows = [
        [
            label(name),
            *(accuracy_cell(metrics, encoder, split, name) for split in SPLITS for encoder in ENCODERS),
        ]
        for name in ACCURACY
    ]
    return table(header, rows)


def accuracy_cell(metrics: Mapping[str, Any], encoder: str, split: str, name: str) -> str:
    """Write one metric, on test with its interval."""
    value = number(dig(metrics, encoder, split, name))
    interval = dig(metrics, "confidence", encoder, split, name)
    if not value or not interval or split != "test":
        return value
    low, high = interval
    return f"{value} ({number(low)} to {number(high)})"


def catalogue_table(metrics: Mapping[str, Any]) -> str:
    """Say what the lists recommended on test make of the catalogue."""
    return table(
        ["On test, lists of 10", *ENCODERS],
        [
            [meaning, *(number(dig(metrics, encoder, "test", name)) for encoder in ENCODERS)]
            for name, meaning in CATALOGUE_USE.items()
        ],
    )


def slice_table(metrics: Mapping[str, Any], name: str, title: str) -> str:
    """Show the accuracy on test for each slice of the users, and popularity's beside it."""
    model, popularity = (dig(metrics, "slices", encoder, "test", name) or {} for encoder in ENCODERS)
    return table(
        [title, "users", "HR@10", "NDCG@10", "NDCG@10 of popularity"],
        [
            [
                slice_,
                count(found.get("num_users")),
                number(found.get("hr@10")),
                number(found.get("ndcg@10")),
                number(dig(popularity, slice_, "ndcg@10")),
            ]
            for slice_, found in model.items()
        ],
    )


def fields_table(header: Sequence[str], fields: Mapping[str, Any]) -> str:
    """List names and plain values, in order of name; nested values are not shown."""
    return table(
        header,
        [
            [f"`{name}`", f"`{without_folders(str(value))}`"]
            for name, value in sorted(fields.items())
            if isinstance(value, str | int | float) and value not in ("", "None")
        ],
    )


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a Markdown table: the first column to the left, the others to the right."""
    rows = [row for row in rows if any(row[1:])]
    columns = [index for index in range(len(header)) if any(row[index] for row in rows)]
    if not rows:
        return ""
    lines = [header, ["---" if index == 0 else "---:" for index in range(len(header))], *rows]
    return "\n".join("| " + " | ".join(line[index].replace("|", "\\|") for index in columns) + " |" for line in lines)


def label(metric: str) -> str:
    """Write a metric's name for people: `ndcg@10` as NDCG@10."""
    return metric.upper()


def number(value: float | None) -> str:
    """Write a measured value with 4 decimals, a large one with 1, an unknown one not at all."""
    if value is None or not is_known(value):
        return ""
    return f"{value:.4f}" if abs(value) < 100 else f"{value:,.1f}"


def is_known(value: float | None) -> bool:
    """Tell whether something was measured, and came out as a number."""
    return value is not None and math.isfinite(value)


def count(value: int | None) -> str:
    """Write a count, an unknown one not at all."""
    return "" if value is None else f"{value:,}"


def dig(tree: Mapping[str, Any], *path: str) -> Any:
    """Follow keys into nested mappings; None where one is missing."""
    found: Any = tree
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def without_folders(text: str) -> str:
    """Leave only the last part of an absolute path; other text stays as it is."""
    return PurePath(text).name if PurePath(text).is_absolute() else text

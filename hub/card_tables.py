"""The tables of a model card. Rows, columns and tables without known values are left out."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from seqrec.evaluation.tables import RANKERS
from seqrec.hub.card_values import is_count, is_known, mapping
from seqrec.hub.markdown import code, text

__all__ = [
    "ACCURACY",
    "SPLITS",
    "catalogue_table",
    "dig",
    "fields_table",
    "is_interval",
    "label",
    "number",
    "other_lengths_on_test",
    "results_on_test",
    "results_on_validation",
    "slice_table",
    "table",
    "without_folders",
]

ACCURACY = ("ndcg@10", "hr@10", "mrr@10", "ndcg@5", "ndcg@20", "hr@1", "hr@5", "hr@20")
MAIN = ACCURACY[:3]
# Metrics of lists of 10: description and number format.
CATALOGUE_USE = {
    "coverage@10": ("Coverage: share of all items recommended to at least one user", "{:.1%}"),
    "popularity@10": ("Popularity bias: average training interactions of recommended items", "{:,.0f}"),
    "novelty@10": ("Novelty: average self-information of recommended items, in bits", "{:.2f}"),
    "gini@10": ("Gini coefficient: 0 if all items are recommended equally often, near 1 if only a few are", "{:.2f}"),
}
# Display names of slices, where the key is not clear enough.
SLICE_NAMES = {
    "0": "no item",
    "1-10": "1 to 10 items",
    "11-50": "11 to 50",
    "51-200": "51 to 200",
    ">200": "more than 200",
    "short": "at most 2 items",
    "longer": "more than 2 items",
    "head": "head (most popular)",
    "tail": "tail (rarest)",
    "cold": "0 (cold)",
    "rare": "1 to 5 (rare)",
    "frequent": "more than 5",
}
SPLITS = ("validation", "test")


def results_on_test(metrics: Mapping[str, Any]) -> str:
    """Compare the model with the baselines on test, with confidence intervals."""
    return accuracy_table(metrics, "test", MAIN, "On test")


def other_lengths_on_test(metrics: Mapping[str, Any]) -> str:
    """Compare the model with the baselines on test, for list lengths other than 10."""
    return accuracy_table(metrics, "test", ACCURACY[3:], "Other list lengths, on test")


def results_on_validation(metrics: Mapping[str, Any]) -> str:
    """Compare the model with the baselines on validation, which selected the best epoch."""
    return accuracy_table(metrics, "validation", MAIN, "On validation")


def accuracy_table(metrics: Mapping[str, Any], split: str, names: Sequence[str], title: str) -> str:
    """Format one row for the model and for each baseline, with intervals on test."""
    return table(
        [title, *map(label, names)],
        [[title_of(ranker), *(accuracy_cell(metrics, ranker, split, name) for name in names)] for ranker in RANKERS],
    )


def title_of(ranker: str) -> str:
    """Return the display name of a baseline or of the model, the latter in bold."""
    return "**this model**" if ranker == "model" else RANKERS[ranker]


def accuracy_cell(metrics: Mapping[str, Any], ranker: str, split: str, name: str) -> str:
    """Format one metric, with its interval on test."""
    value = number(dig(metrics, ranker, split, name))
    interval = dig(metrics, "confidence", ranker, split, name)
    if not value or not is_interval(interval) or split != "test":
        return value
    low, high = interval
    return f"{value} ({number(low)} to {number(high)})"


def is_interval(value: Any) -> bool:
    """Return whether a value is a pair of a lower and an upper bound."""
    return isinstance(value, list) and len(value) == 2 and all(map(is_known, value))


def catalogue_table(metrics: Mapping[str, Any]) -> str:
    """Describe the items recommended on test: coverage, popularity, novelty, concentration."""
    return table(
        ["Lists of 10, on test", *map(title_of, RANKERS)],
        [
            [meaning, *(written(dig(metrics, ranker, "test", name), layout) for ranker in RANKERS)]
            for name, (meaning, layout) in CATALOGUE_USE.items()
        ],
    )


def slice_table(metrics: Mapping[str, Any], name: str, title: str) -> str:
    """Compare the model's accuracy with the baselines' for each slice of the test users."""
    baselines = [ranker for ranker in RANKERS if ranker != "model"]
    return table(
        [title, "Held out", "HR@10", "NDCG@10", *(f"NDCG@10 of {RANKERS[baseline]}" for baseline in baselines)],
        [
            [
                SLICE_NAMES.get(slice_) or text(slice_),
                count(found.get("num_users")),
                number(found.get("hr@10")),
                number(found.get("ndcg@10")),
                *(number(dig(metrics, "slices", baseline, "test", name, slice_, "ndcg@10")) for baseline in baselines),
            ]
            for slice_, found in mapping(dig(metrics, "slices", "model", "test", name)).items()
            if isinstance(found, Mapping)
        ],
    )


def fields_table(header: Sequence[str], fields: Mapping[str, Any]) -> str:
    """List names and plain values, sorted by name; nested values and options that are off are left out."""
    return table(
        header,
        [
            [code(name), code(without_folders(plain(value)))]
            for name, value in sorted(fields.items())
            if isinstance(value, str | int | float) and value not in ("", "None", "none")
        ],
    )


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, alignment: str = "---:") -> str:
    """Format a Markdown table: the first column aligns left, the others as given, by default right."""
    rows = [row for row in rows if any(row[1:])]
    columns = [index for index in range(len(header)) if any(row[index] for row in rows)]
    if not rows:
        return ""
    lines = [header, ["---" if index == 0 else alignment for index in range(len(header))], *rows]
    return "\n".join("| " + " | ".join(line[index].replace("|", "\\|") for index in columns) + " |" for line in lines)


def label(metric: str) -> str:
    """Return a metric's display name: NDCG@10 for `ndcg@10`."""
    return metric.upper()


def number(value: Any) -> str:
    """Format a metric between 0 and 1 with 4 decimals; an empty string if it is unknown."""
    return written(value, "{:.4f}")


def written(value: Any, layout: str) -> str:
    """Format a measured value; an empty string if it is unknown."""
    return layout.format(value) if is_known(value) else ""


def plain(value: Any) -> str:
    """Format a configuration's value, whole numbers without decimals."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def count(value: Any) -> str:
    """Format a count; an empty string if it is unknown."""
    return f"{value:,}" if is_count(value) else ""


def dig(tree: Mapping[str, Any], *path: str) -> Any:
    """Look up nested keys; None if one is missing."""
    found: Any = tree
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def without_folders(path: str) -> str:
    """Keep only the last part of an absolute path, of POSIX or Windows; other text is unchanged."""
    for kind in (PurePosixPath, PureWindowsPath):
        if kind(path).is_absolute():
            return kind(path).name
    return path

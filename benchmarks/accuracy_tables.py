"""Tables of results: ours and published ones for `benchmarks/README.md`, and a summary for the documentation."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from statistics import mean
from typing import Any

from accuracy_plot import known_of_requests, split_title

from seqrec.evaluation.task_tables import TASK_RANKERS
from seqrec.interactions.label_names import RATING

BASELINES = ("item_knn", "popularity", "recent_popularity")  # older results lack the last
METRICS = ("ndcg@10", "hr@10")
RESULT_COLUMNS = (
    "data",
    "recipe",
    "`request_time`",
    "seeds",
    "NDCG@10",
    "HR@10",
    "validation NDCG@10",
    "item-kNN's NDCG@10",
    "popularity's",
    "recent popularity's",
    "time",
    "split",
)
TASK_COLUMNS = ("data", "recipe", "seeds", "task: metric", "on test", "baselines", "calibration error")
PUBLISHED_COLUMNS = ("data", "model", "NDCG@10", "HR@10", "reported by")
SUMMARY_COLUMNS = (
    "data",
    "model",
    "`request_time`",
    "seeds",
    "time",
    "NDCG@10",
    "HR@10",
    "published",
    "item-kNN's NDCG@10",
    "recent popularity's",
)

Result = Mapping[str, Any]


def results_table(results: Iterable[Result]) -> str:
    """Format the results of all recipes; `results` must be sorted by recipe."""
    recipes = groupby(results, key=lambda result: (result["dataset"], result["protocol"], result["recipe"]))
    return as_table(RESULT_COLUMNS, (result_cells(list(group)) for _, group in recipes))


def result_cells(results: Sequence[Result]) -> list[str]:
    """Format one recipe's results over its seeds."""
    first = results[0]
    validation_users = first.get("validation_users")
    return [
        split_title(first["dataset"], first["protocol"])
        + (f", {validation_users:,} validation users" if validation_users else ""),
        first["recipe"],
        known_of_requests(first),
        ", ".join(str(result["seed"]) for result in results),
        *(spread([result["metrics"]["test"][name] for result in results]) for name in METRICS),
        spread([result["metrics"]["validation"]["ndcg@10"] for result in results]),
        *(baseline_cell(results, baseline) for baseline in BASELINES),
        f"{minutes(results)}, {first['machine']}",
        f"`{first['split_sha256'][:12]}…`",
    ]


def baseline_cell(results: Sequence[Result], baseline: str) -> str:
    """Format a baseline's NDCG@10 on test, which is the same for all seeds; empty if no result has it."""
    found = next((result[baseline] for result in results if baseline in result), None)
    return f"{found['test']['ndcg@10']:.4f}" if found else ""


def tasks_table(results: Iterable[Result]) -> str:
    """Format what recipes with label tasks predict on test, next to baselines; sorted as for `results_table`."""
    recipes = groupby(
        (result for result in results if "tasks" in result), key=lambda result: (result["dataset"], result["recipe"])
    )
    return as_table(TASK_COLUMNS, (cells for _, group in recipes for cells in task_rows(list(group))))


def task_rows(results: Sequence[Result]) -> list[list[str]]:
    """Format one recipe's tasks over its seeds: the error of ratings, or the area under the curve of a binary task."""
    first = results[0]
    rows = []
    for task, found in first["tasks"].items():
        name = "rmse" if task == RATING else "auc"
        rankers = {ranker: [result["tasks"][task][ranker]["test"] for result in results] for ranker in found}
        errors = [test["ece"] for test in rankers["model"]] if name == "auc" else []
        rows.append(
            [
                split_title(first["dataset"], first["protocol"]),
                first["recipe"],
                ", ".join(str(result["seed"]) for result in results),
                f"{task}: {name.upper()}",
                spread([test[name] for test in rankers["model"]]),
                "; ".join(
                    f"{TASK_RANKERS[ranker]} {tests[0][name]:.4f}"
                    for ranker, tests in rankers.items()
                    if ranker != "model"
                ),
                spread(errors) if errors else "",
            ]
        )
    return rows


def published_table(published: Iterable[Mapping[str, Any]]) -> str:
    """Format published results."""
    return as_table(
        PUBLISHED_COLUMNS,
        (
            [
                split_title(entry["dataset"], "leave_one_out"),
                entry["model"],
                *(f"{entry[name]:.4f}" for name in METRICS),
                entry["source"],
            ]
            for entry in published
        ),
    )


def summary_table(
    rows: Iterable[Mapping[str, str]], results: Sequence[Result], published: Sequence[Mapping[str, Any]]
) -> str:
    """Compare selected recipes with published results, by means only.

    Args:
        rows: Entries of `summary.yaml`.
        results: Content of `benchmarks/results`.
        published: Entries of `published.yaml`.
    """
    return as_table(SUMMARY_COLUMNS, (summary_cells(row, results, published) for row in rows))


def summary_cells(
    row: Mapping[str, str], results: Sequence[Result], published: Sequence[Mapping[str, Any]]
) -> list[str]:
    """Format one recipe's summary."""
    seeds = [result for result in results if result["recipe"] == row["recipe"]]
    figures = [mean(result["metrics"]["test"][name] for result in seeds) for name in METRICS]
    key = (seeds[0]["dataset"], row.get("beside"))
    beside = next((entry for entry in published if (entry["dataset"], entry["model"]) == key), None)
    return [
        row["data"],
        row["model"],
        known_of_requests(seeds[0]),
        str(len(seeds)),
        minutes(seeds),
        *(f"{figure:.4f}" for figure in figures),
        " / ".join(f"{beside[name]:.4f}" for name in METRICS) if beside else "",
        *(baseline_cell(seeds, baseline) for baseline in ("item_knn", "recent_popularity")),
    ]


def minutes(results: Iterable[Result]) -> str:
    """Format training times as minimum and maximum, since processors differ."""
    taken = sorted({round(result["seconds"] / 60) for result in results})
    return f"{taken[0]} min" if len(taken) == 1 else f"{taken[0]}–{taken[-1]} min"


def spread(values: Sequence[float]) -> str:
    """Format a mean, with the minimum and maximum if there are several values."""
    told = f"{mean(values):.4f}"
    return told if len(values) == 1 else f"{told} ({min(values):.4f}–{max(values):.4f})"


def as_table(columns: Sequence[str], rows: Iterable[Iterable[str]]) -> str:
    """Format a Markdown table."""
    head, *body = (f"| {' | '.join(cells)} |" for cells in (columns, *rows))
    return "\n".join([head, "|---" * len(columns) + "|", *body])

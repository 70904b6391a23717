"""Measure how much variety of lists costs: choose strengths on validation, and report them on test.

    python benchmarks/diversity/run.py runs/ml-100k --dataset ml-100k --name ml-100k

The strength of a method is the most accurate that reaches the gain of coverage and costs at most 3 % of the NDCG, both
on validation; where none does, the strongest that costs at most 3 %. Curves and pictures are written to `results/`, and
the table into `benchmarks/README.md`.
"""

import argparse
import json
from collections.abc import Mapping
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any

import torch

from seqrec import Recommender
from seqrec.evaluation.diversity_curve import diversity_curve, measure_lists, measure_settings
from seqrec.evaluation.diversity_picture import save_diversity_picture
from seqrec.evaluation.diversity_settings import settings_of
from seqrec.evaluation.diversity_table import strongest_within
from seqrec.evaluation.list_candidates import find_candidates
from seqrec.hub.saved_folder import read_protocol
from seqrec.interactions.data_arguments import DataArguments
from seqrec.interactions.preparation import prepare

HERE = Path(__file__).parent
RESULTS = HERE / "results"
GAIN = 0.35  # of coverage
LEFT_OUT = ("recall@10", "precision@10", "map@10")
ACCURACY, COVERAGE, DISTANCE = "ndcg@10", "coverage@10", "intra_list_distance@10"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", help="Folder of a trained model; without it, only README.md is updated.")
    parser.add_argument("--dataset", help="Its interactions.")
    parser.add_argument("--name", help="Name of the result.")
    parser.add_argument("--column", default="genres", help="Column of the items to diversify by (default: genres).")
    parser.add_argument("--rerank_from", type=int, default=100, help="Number of candidates (default: 100).")
    flags = parser.parse_args()
    if flags.model is not None:
        result = measure(flags.model, flags.dataset, flags.column, flags.rerank_from)
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{flags.name}.json").write_text(json.dumps(result, indent=1) + "\n")
        save_diversity_picture(result["test"], RESULTS / f"{flags.name}.png")
    update_readme()


def measure(folder: str, dataset: str, column: str, num_candidates: int) -> dict[str, Any]:
    """Compute the curves of both splits, by the column and, for MMR and DPP, by item vectors."""
    recommender = Recommender.from_pretrained(folder, device=torch.device("cpu"))
    protocol = read_protocol(folder)
    model = recommender.model
    data = prepare(
        DataArguments(dataset=dataset, split_method=protocol["split_method"]),
        recommender.tokenizer,
        event_columns=model.config.data_columns,
    )
    if data.protocol["split_sha256"] != protocol["split_sha256"]:
        raise SystemExit(f"{folder} was trained on another split than that of {dataset}.")
    vectors_VD = model.item_vectors().float().numpy(force=True)
    result: dict[str, Any] = {"model_type": model.config.model_type, "split_sha256": protocol["split_sha256"]}
    for split in ("validation", "test"):
        candidates = find_candidates(
            model,
            data.sequences[split],
            num_candidates=num_candidates,
            max_length=model.config.max_history_length,
            exclude_seen=protocol["exclude_seen"],
            progress=True,
        )
        by_column = diversity_curve(candidates, data.items, vectors_VD, diversify_by=column, progress=True)
        measure = partial(
            measure_lists,
            candidates=candidates,
            item_counts_V=data.items.counts_by_token,
            quality={"k": 10, "vectors_VD": vectors_VD, "categories": {column: data.items.categories(column)}},
        )
        settings = settings_of(data.items, torch.from_numpy(vectors_VD), candidates, k=10)
        first = takewhile(lambda setting: setting.method in ("mmr", "dpp"), settings)
        result[split] = {"split": split, **by_column}
        result[f"{split}_by_vectors"] = measure_settings(candidates, first, measure, k=10, progress=True)["methods"]
    return rounded(result)


def rounded(found: Any) -> Any:
    """Round the numbers of a result, and leave out metrics that follow from others as there is one target."""
    if isinstance(found, dict):
        return {name: rounded(value) for name, value in found.items() if name not in LEFT_OUT}
    if isinstance(found, list):
        return [rounded(value) for value in found]
    return round(found, 5) if isinstance(found, float) else found


def update_readme() -> None:
    """Write the tables of all results between the marks of `README.md`."""
    path = HERE.parent / "README.md"
    text = path.read_text()
    begin, end = "<!-- diversity -->\n", "<!-- diversity end -->"
    before, _, rest = text.partition(begin)
    path.write_text(before + begin + "\n".join(table()) + "\n" + end + rest.partition(end)[2])


def table() -> list[str]:
    """Return the lines of a table with one row for each result and method, by its chosen strength."""
    titles = [
        "data and model",
        "method",
        "strength",
        "validation NDCG@10",
        "coverage@10",
        "test NDCG@10",
        "coverage@10",
    ]
    titles += ["distance of genres", "popularity lift", "Gini"]
    lines = ["| " + " | ".join(titles) + " |", "|---" * len(titles) + "|"]
    for path in sorted(RESULTS.glob("*.json")):
        result = json.loads(path.read_text())
        own = result["validation"]["own"], result["test"]["own"]
        lines.append(row(path.stem, "own lists", "", own, own))
        for method, curves in methods_of(result).items():
            points = chosen(*curves, own[0])
            if points is not None:
                option = f"{curves[0]['option']} {points[0]['strength']:g}"
                lines.append(row("", method, option, points, own))
    return lines


def methods_of(result: Mapping[str, Any]) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """Return the curves of validation and test by method."""
    found = {}
    for name in ("mmr", "dpp"):
        found[f"{name}, by vectors"] = tuple(result[f"{split}_by_vectors"][name] for split in ("validation", "test"))
    for name, curve in result["validation"]["methods"].items():
        by = f", by {result['validation']['diversify_by']}" if name in ("mmr", "dpp") else ""
        found[name + by] = curve, result["test"]["methods"][name]
    return found


def chosen(
    validation: Mapping[str, Any], test: Mapping[str, Any], own: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Return the points of the chosen strength on validation and on test; None if every strength costs too much."""
    points = validation["points"]
    reaching = [point for point in points if point[COVERAGE] >= (1 + GAIN) * own[COVERAGE]]
    kept = [point for point in reaching if point[ACCURACY] >= 0.97 * own[ACCURACY]]
    best = max(kept, key=lambda point: point[ACCURACY]) if kept else strongest_within(points, own, ACCURACY)
    if best is None:
        return None
    return best, next(point for point in test["points"] if point["strength"] == best["strength"])


def row(name: str, method: str, strength: str, points: tuple[Any, Any], own: tuple[Any, Any]) -> str:
    """Return a row of the table."""
    cells = [name, method, strength]
    for point, base in zip(points, own, strict=True):
        cells += [with_change(point[ACCURACY], base[ACCURACY], "{:.4f}")]
        cells += [with_change(point[COVERAGE], base[COVERAGE], "{:.3f}")]
    on_test = points[1]
    cells.append(f"{on_test['categories']['genres'][DISTANCE]:.3f}")
    cells += [f"{on_test['popularity_lift@10']:+.2f}", f"{on_test['gini@10']:.2f}"]
    return "| " + " | ".join(cells) + " |"


def with_change(value: float, base: float, form: str) -> str:
    """Format a value with its relative change."""
    change = value / base - 1
    return form.format(value) + (f" ({change:+.1%})" if value != base else "")


if __name__ == "__main__":
    main()

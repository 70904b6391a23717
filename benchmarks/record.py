"""Write down a trained model's result: `python benchmarks/record.py runs/ml-1m --recipe sasrec-ml-1m`.

It copies from the model's own `metrics.json` into `benchmarks/results/`, lays out all results and what others report
in the tables of `benchmarks/README.md`, and draws them; nothing is typed by hand.
"""

import argparse
import json
import re
import shutil
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory

import yaml
from accuracy_plot import draw_results, split_title

from seqrec.hub.model_card import CURVE, save_model_card

BASELINES = ("item_knn", "popularity")
RESULTS = Path(__file__).parent / "results"
PUBLISHED = Path(__file__).parent / "published.yaml"
README = Path(__file__).parent / "README.md"
CARDS = Path(__file__).parent.parent / "model_cards"
COLUMNS = (
    "data",
    "recipe",
    "seeds",
    "NDCG@10",
    "HR@10",
    "validation NDCG@10",
    "item-kNN's NDCG@10",
    "popularity's",
    "time",
    "split",
)
PUBLISHED_COLUMNS = ("data", "model", "NDCG@10", "HR@10", "reported by")


def as_result(metrics: dict, *, model_type: str, recipe: str) -> dict:
    """Pick from `metrics.json` what a result tells."""
    training, protocol = metrics["training"], metrics["protocol"]
    return {
        "dataset": protocol["dataset"],
        "protocol": protocol["split_method"],
        "validation_users": protocol.get("validation_users"),
        "model_type": model_type,
        "recipe": recipe,
        "seed": training["arguments"]["seed"],
        "metrics": metrics["model"],
        "confidence": metrics["confidence"]["model"],
        **{baseline: metrics[baseline] for baseline in BASELINES if baseline in metrics},
        "best_epoch": training["best_epoch"],
        "num_epochs": training["num_epochs"],
        "num_parameters": training["num_parameters"],
        "command": training["command"],
        "arguments": training["arguments"],
        "seconds": training["seconds"],
        "split_sha256": protocol["split_sha256"],
        "versions": training["versions"],
        "machine": training["hardware"],
    }


def as_row(results: list[dict]) -> str:
    """Lay the results of one recipe out as a row of the table."""
    first = results[0]
    validation_users = first.get("validation_users")
    cells = [
        split_title(first["dataset"], first["protocol"])
        + (f", {validation_users:,} users validate" if validation_users else ""),
        first["recipe"],
        ", ".join(str(result["seed"]) for result in results),
        *(spread([result["metrics"]["test"][name] for result in results]) for name in ("ndcg@10", "hr@10")),
        spread([result["metrics"]["validation"]["ndcg@10"] for result in results]),
        *(f"{first[baseline]['test']['ndcg@10']:.4f}" if baseline in first else "" for baseline in BASELINES),
        f"{mean(result['seconds'] for result in results) / 60:.0f} min, {first['machine']}",
        f"`{first['split_sha256'][:12]}…`",
    ]
    return as_line(cells)


def as_line(cells: Iterable[str]) -> str:
    """Write one line of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def spread(values: list[float]) -> str:
    """Write a mean, with the least and the most of several values."""
    told = f"{mean(values):.4f}"
    return told if len(values) == 1 else f"{told} ({min(values):.4f}–{max(values):.4f})"


def lay_out_results() -> None:
    """Put all results, and what others report, into the README's tables and the picture."""
    results = [json.loads(path.read_text(encoding="utf-8")) for path in RESULTS.glob("*.json")]
    results.sort(key=lambda result: (result["dataset"], result["protocol"], result["recipe"], result["seed"]))
    published = yaml.safe_load(PUBLISHED.read_text(encoding="utf-8"))
    recipes = groupby(results, key=lambda result: (result["dataset"], result["protocol"], result["recipe"]))
    page = README.read_text(encoding="utf-8")
    page = with_table(page, "results", COLUMNS, (as_row(list(group)) for _, group in recipes))
    page = with_table(page, "published", PUBLISHED_COLUMNS, map(as_published_row, published))
    README.write_text(page, encoding="utf-8")
    draw_results(results, published, RESULTS / "accuracy.png")


def as_published_row(entry: dict) -> str:
    """Lay out what somebody else reports as a row."""
    figures = (f"{entry[name]:.4f}" for name in ("ndcg@10", "hr@10"))
    return as_line([split_title(entry["dataset"], "leave_one_out"), entry["model"], *figures, entry["source"]])


def with_table(page: str, name: str, columns: tuple[str, ...], rows: Iterable[str]) -> str:
    """Put a table between the marks `<!-- name -->` and `<!-- end -->` of a page."""
    table = "\n".join([as_line(columns), "|---" * len(columns) + "|", *rows])
    return re.sub(rf"(?<=<!-- {name} -->\n).*?(?=<!-- end -->)", lambda _: table + "\n", page, flags=re.S)


def keep_card(model: Path, recipe: str) -> None:
    """Keep a reference model's card, written anew under the recipe's name, and the curve that it shows."""
    with TemporaryDirectory() as folder:
        named = shutil.copytree(model, Path(folder, recipe))
        save_model_card(named)
        (CARDS / recipe).mkdir(exist_ok=True)
        for name in ("README.md", CURVE):
            shutil.copy(named / name, CARDS / recipe / name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="The model's folder.")
    parser.add_argument("--recipe", required=True, help="Name of the recipe it was trained by.")
    parser.add_argument("--reference", action="store_true", help="Keep its card in model_cards/ as well.")
    flags = parser.parse_args()
    metrics = json.loads((flags.model / "metrics.json").read_text(encoding="utf-8"))
    model_type = json.loads((flags.model / "config.json").read_text(encoding="utf-8"))["model_type"]
    result = as_result(metrics, model_type=model_type, recipe=flags.recipe)
    path = RESULTS / f"{flags.recipe}-seed{result['seed']}.json"
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    lay_out_results()
    if flags.reference:
        keep_card(flags.model, flags.recipe)
    print(f"Wrote {path}")


if __name__ == "__main__":
    main()

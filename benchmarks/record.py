"""Record the results of a trained model: `python benchmarks/record.py runs/ml-1m --recipe sasrec-ml-1m`.

Copies the results from the model's `metrics.json` to `benchmarks/results/` and updates the tables of
`benchmarks/README.md` and `docs/results.md` and the plot with all recorded and published results; nothing is typed by
hand.
"""

import argparse
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from accuracy_plot import draw_results
from accuracy_tables import BASELINES, published_table, results_table, summary_table, tasks_table

from seqrec.evaluation.task_tables import TASK_RANKERS
from seqrec.hub.model_card import CURVE, ITEM_MAP, RELIABILITY_PICTURE, SLICES_PICTURE, save_model_card

HERE = Path(__file__).parent
RESULTS = HERE / "results"
CARDS = HERE.parent / "model_cards"


def as_result(metrics: dict, *, model_type: str, recipe: str) -> dict:
    """Select the entries of `metrics.json` to record."""
    training, protocol = metrics["training"], metrics["protocol"]
    return {
        "dataset": protocol["dataset"],
        "protocol": protocol["split_method"],
        "validation_users": protocol.get("validation_users"),
        "request_time": protocol.get("request_time"),  # None for models that read no times
        "popularity_windows": protocol.get("popularity_windows"),
        "model_type": model_type,
        "recipe": recipe,
        "seed": training["arguments"]["seed"],
        "metrics": metrics["model"],
        "confidence": metrics["confidence"]["model"],
        "target_count": {split: families.get("target_count") for split, families in metrics["slices"]["model"].items()},
        **{baseline: metrics[baseline] for baseline in BASELINES if baseline in metrics},
        **({"tasks": selected_tasks(metrics["tasks"])} if metrics.get("tasks") else {}),
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


def selected_tasks(tasks: Mapping[str, Any]) -> dict[str, Any]:
    """Select the metrics of the model and the baselines in each label task."""
    return {task: {name: found[name] for name in TASK_RANKERS if name in found} for task, found in tasks.items()}


def lay_out_results() -> None:
    """Update the tables of README and documentation and the plot with all recorded and published results."""
    results = [json.loads(path.read_text(encoding="utf-8")) for path in RESULTS.glob("*.json")]
    results.sort(key=lambda result: (result["dataset"], result["protocol"], result["recipe"], result["seed"]))
    published, summary = (
        yaml.safe_load((HERE / name).read_text(encoding="utf-8")) for name in ("published.yaml", "summary.yaml")
    )
    tables = {"results": results_table(results), "tasks": tasks_table(results), "published": published_table(published)}
    put_tables(HERE / "README.md", tables)
    put_tables(HERE.parent / "docs" / "results.md", {"summary": summary_table(summary, results, published)})
    draw_results(results, published, RESULTS / "accuracy.png")


def put_tables(page: Path, tables: Mapping[str, str]) -> None:
    """Insert tables into a page, each between its markers `<!-- name -->` and `<!-- end -->`."""
    text = page.read_text(encoding="utf-8")
    for name, table in tables.items():
        text = re.sub(
            rf"(?<=<!-- {name} -->\n).*?(?=<!-- end -->)", lambda _, t=table: t + "\n", text, count=1, flags=re.S
        )
    page.write_text(text, encoding="utf-8")


def keep_card(model: Path, recipe: str) -> None:
    """Store a reference model's card, rewritten with the recipe's name, and its pictures."""
    with TemporaryDirectory() as folder:
        named = shutil.copytree(model, Path(folder, recipe))
        save_model_card(named)
        (CARDS / recipe).mkdir(exist_ok=True)
        for name in ("README.md", CURVE, SLICES_PICTURE, RELIABILITY_PICTURE, ITEM_MAP):
            if (named / name).is_file():
                shutil.copy(named / name, CARDS / recipe / name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="Folder of the model.")
    parser.add_argument("--recipe", required=True, help="Name of the recipe it was trained with.")
    parser.add_argument("--reference", action="store_true", help="Also store its card in model_cards/.")
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

"""Train candidates for the default settings, and record the results in `experiments.csv` and `circumstances.json`.

    python benchmarks/defaults/run.py ml-100k leave_one_out --candidates plain rotary --output_dir runs

Add `--dataset FOLDER` if the data are not known by name, and flags of `seqrec train` after `--`.
"""

import argparse
import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from seqrec.training.chosen_defaults import shown
from seqrec.training.processor import multiplies_bfloat16

HERE = Path(__file__).parent
EXPERIMENTS, CANDIDATES, CIRCUMSTANCES = HERE / "experiments.csv", HERE / "candidates.yaml", HERE / "circumstances.json"
COLUMNS = (
    *("data", "split", "candidate", "seed", "validation", "test", "item_knn_validation", "item_knn_test"),
    *("popularity_test", "epochs", "best_epoch", "minutes"),
)


def command(dataset: str, split: str, settings: dict[str, Any], seed: int, folder: Path, flags: list[str]) -> list[str]:
    """Return the command that trains a candidate."""
    precision = {"bf16": True} if settings and multiplies_bfloat16() else {}
    given = {"split_method": split, **settings, **precision, "seed": seed}
    named = [text for name, value in given.items() for text in (f"--{name}", shown(value))]
    return [
        sys.executable,
        "-m",
        "seqrec.cli",
        "train",
        "--dataset",
        dataset,
        "--output_dir",
        str(folder),
        *named,
        *flags,
    ]


def row_of(metrics: dict[str, Any], data: str, candidate: str) -> dict[str, Any]:
    """Select the columns of a training's `metrics.json`."""
    training = metrics["training"]

    def ndcg(ranked: str, split: str) -> str:
        return f"{metrics[ranked][split]['ndcg@10']:.4f}"

    return {
        "data": data,
        "split": metrics["protocol"]["split_method"],
        "candidate": candidate,
        "seed": training["arguments"]["seed"],
        "validation": ndcg("model", "validation"),
        "test": ndcg("model", "test"),
        "item_knn_validation": ndcg("item_knn", "validation"),
        "item_knn_test": ndcg("item_knn", "test"),
        "popularity_test": ndcg("popularity", "test"),
        "epochs": round(training["num_epochs"]),
        "best_epoch": round(training["best_epoch"]),
        "minutes": f"{training['seconds'] / 60:.1f}",
    }


def record(row: dict[str, Any]) -> None:
    """Add a row to `experiments.csv`, in place of an earlier one of the same training."""
    rows = read_experiments()
    same = ("data", "split", "candidate", "seed")
    kept = [one for one in rows if any(str(one[name]) != str(row[name]) for name in same)]
    kept = sorted([*kept, row], key=lambda one: tuple(str(one[name]) for name in same))
    with EXPERIMENTS.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(kept)


def keep_circumstances(case: str, circumstances: dict[str, Any]) -> None:
    """Write what the rule may know of data under a split into `circumstances.json`."""
    known = json.loads(CIRCUMSTANCES.read_text(encoding="utf-8")) if CIRCUMSTANCES.exists() else {}
    found = dict(sorted({**known, case: circumstances}.items()))
    CIRCUMSTANCES.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def read_experiments() -> list[dict[str, str]]:
    """Read the recorded results."""
    if not EXPERIMENTS.exists():
        return []
    with EXPERIMENTS.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def main() -> None:
    """Train and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    candidates = yaml.safe_load(CANDIDATES.read_text(encoding="utf-8"))
    parser.add_argument("data", help="name of the data in the table")
    parser.add_argument("split", choices=["leave_one_out", "temporal"])
    parser.add_argument("--dataset", help="as in seqrec train, if that differs from the name")
    parser.add_argument("--candidates", nargs="+", default=list(candidates), choices=list(candidates))
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--output_dir", type=Path, required=True)
    arguments, flags = parser.parse_known_args()
    flags = [flag for flag in flags if flag != "--"]
    for candidate in arguments.candidates:
        folder = arguments.output_dir / f"{arguments.data}-{arguments.split}-{candidate}-{arguments.seed}"
        dataset = arguments.dataset or arguments.data
        settings = candidates[candidate]
        subprocess.run(command(dataset, arguments.split, settings, arguments.seed, folder, flags), check=True)
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        record(row_of(metrics, arguments.data, candidate))
        keep_circumstances(f"{arguments.data} {arguments.split}", metrics["defaults"]["circumstances"])


if __name__ == "__main__":
    main()

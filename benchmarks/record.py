"""Write down a trained model's result: `python benchmarks/record.py runs/ml-1m --recipe sasrec-ml-1m`.

It copies from the model's own `metrics.json` into `benchmarks/results/`, and lays out all results in the table of
`benchmarks/README.md`; nothing is typed by hand.
"""

import argparse
import json
import re
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
README = Path(__file__).parent / "README.md"
HEADER = """| data | recipe | seed | NDCG@10 (95 %) | HR@10 (95 %) | popularity's NDCG@10 | best epoch | time | split |
|---|---|---|---|---|---|---|---|---|"""


def as_result(metrics: dict, *, model_type: str, recipe: str) -> dict:
    """Pick from `metrics.json` what a result tells."""
    training, protocol = metrics["training"], metrics["protocol"]
    return {
        "dataset": protocol["dataset"],
        "protocol": protocol["split_method"],
        "model_type": model_type,
        "recipe": recipe,
        "seed": training["arguments"]["seed"],
        "metrics": metrics["model"],
        "confidence": metrics["confidence"]["model"],
        "popularity": metrics["popularity"],
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


def as_row(result: dict) -> str:
    """Lay one result out as a row of the table."""
    test, intervals = result["metrics"]["test"], result["confidence"]["test"]
    cells = [
        f"{result['dataset']}, {result['protocol'].replace('_', '-')}",
        result["recipe"],
        result["seed"],
        *(f"{test[name]:.4f} ({intervals[name][0]:.4f}–{intervals[name][1]:.4f})" for name in ("ndcg@10", "hr@10")),
        f"{result['popularity']['test']['ndcg@10']:.4f}",
        f"{result['best_epoch']:g} of {result['num_epochs']:g}",
        f"{result['seconds'] / 60:.0f} min, {result['machine']}",
        f"`{result['split_sha256'][:12]}…`",
    ]
    return f"| {' | '.join(map(str, cells))} |"


def lay_out_results() -> None:
    """Put all results into the README's table."""
    results = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob("*.json"))]
    table = "\n".join([HEADER, *map(as_row, results)])
    page = README.read_text(encoding="utf-8")
    README.write_text(
        re.sub(r"(?<=<!-- results -->\n).*?(?=\n<!-- end -->)", table, page, flags=re.S), encoding="utf-8"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="The model's folder.")
    parser.add_argument("--recipe", required=True, help="Name of the recipe it was trained by.")
    flags = parser.parse_args()
    metrics = json.loads((flags.model / "metrics.json").read_text(encoding="utf-8"))
    model_type = json.loads((flags.model / "config.json").read_text(encoding="utf-8"))["model_type"]
    result = as_result(metrics, model_type=model_type, recipe=flags.recipe)
    path = RESULTS / f"{flags.recipe}-seed{result['seed']}.json"
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    lay_out_results()
    print(f"Wrote {path}")


if __name__ == "__main__":
    main()

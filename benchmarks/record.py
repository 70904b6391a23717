"""Write down a trained model's result: `python benchmarks/record.py runs/ml-1m --recipe sasrec-ml-1m`.

It copies from the model's own `metrics.json` into `benchmarks/results/RECIPE-SEED.json`; nothing is typed by hand.
"""

import argparse
import json
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


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
    print(f"Wrote {path}")


if __name__ == "__main__":
    main()

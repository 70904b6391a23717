"""Measure how faithful the methods of `Recommender.explain` are, and how long they take.

    python benchmarks/faithfulness/run.py --model runs/sasrec-ml-1m-quick --dataset ml-1m --name sasrec-ml-1m

Writes `results/<name>.json`: the measures of `seqrec.evaluation.faithfulness` for 1,000 users of the test split, and
the milliseconds of explaining 10 items for a history of 50 items in one thread. The tables of benchmarks/README.md are
made from all results; without arguments, the script only does that.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch

from seqrec import DataArguments, Histories, Recommender, prepare
from seqrec.evaluation.faithfulness import measure_faithfulness
from seqrec.evaluation.faithfulness_tables import faithfulness_table
from seqrec.modeling.explanation_methods import METHODS, contribution_functions

RESULTS = Path(__file__).parent / "results"
README = RESULTS.parents[1] / "README.md"
BEGIN, END = "<!-- faithfulness -->", "<!-- faithfulness end -->"
SHOWN = ("drop", "drop_ratio", "del", "ins", "pos@10", "neg@10")
HISTORY_LENGTH, NUM_ITEMS, REPETITIONS = 50, 10, 30


def main() -> None:
    """Measure as the flags say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="Folder of a trained model.")
    parser.add_argument("--dataset", help="The interactions that it was trained on.")
    parser.add_argument("--name", help="Name of the results.")
    parser.add_argument("--users", type=int, default=1000, help="Number of users (default: 1000).")
    flags = parser.parse_args()
    if flags.model is not None:
        measure(flags)
    update_readme()


def measure(flags: argparse.Namespace) -> None:
    """Measure one model, and write its results."""
    torch.set_num_threads(1)
    recommender = Recommender.from_pretrained(flags.model, device="cpu")
    protocol = recommender.protocol
    told = DataArguments(dataset=flags.dataset, split_method=protocol["split_method"])
    data = prepare(told, recommender.tokenizer, held_out=["test"], event_columns=recommender.model.config.data_columns)
    test: Histories = data.sequences["test"]
    figures = {
        "model": flags.name,
        "config": {name: getattr(recommender.model.config, name) for name in ("model_type", "hidden_size")},
        "milliseconds": time_methods(recommender),
    }
    start = time.perf_counter()
    methods = contribution_functions(recommender.retriever)
    figures |= measure_faithfulness(recommender.retriever, test, methods, num_users=flags.users)
    figures["seconds"] = round(time.perf_counter() - start)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{flags.name}.json").write_text(json.dumps(figures, indent=1) + "\n")
    print(faithfulness_table(figures))


def time_methods(recommender: Recommender) -> dict[str, dict[str, float]]:
    """Time explaining 10 items for a history of 50 items, or of as many as the model reads."""
    length = min(HISTORY_LENGTH, recommender.model.config.max_history_length)
    drawn = np.random.default_rng(0).choice(len(recommender.item_ids), length, replace=False)
    history = [recommender.item_ids[row] for row in drawn]
    names = [one.item_id for one in recommender.recommend(history, NUM_ITEMS)]
    found = {}
    for method in METHODS:
        if method == "attention_rollout" and not recommender.model.uses_attention:
            continue
        recommender.explain(history, names, method=method)
        wall, processor = [], []
        for _ in range(REPETITIONS):
            begun = time.perf_counter(), time.process_time()
            recommender.explain(history, names, method=method)
            wall.append(time.perf_counter() - begun[0])
            processor.append(time.process_time() - begun[1])
        found[method] = {
            "items": length,
            "median": round(1000 * float(np.median(wall)), 1),
            "lowest": round(1000 * min(wall), 1),
            "processor_median": round(1000 * float(np.median(processor)), 1),
        }
    return found


def update_readme() -> None:
    """Put the tables of all results into benchmarks/README.md."""
    results = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]
    head = ["model", "method", *SHOWN]
    rows = [head, ["---"] * len(head)]
    for figures in results:
        for method, own in figures["methods"].items():
            cells = ["{mean:.2f} ({low:.2f} to {high:.2f})".format(**own[measure]) for measure in SHOWN]
            rows.append([figures["model"], method, *cells])
    speed = [
        ["model", "hidden size", "method", "items", "ms, median", "ms, lowest", "ms of processor time"],
        ["---"] * 7,
    ]
    for figures in results:
        for method, own in figures["milliseconds"].items():
            times = [own[name] for name in ("items", "median", "lowest", "processor_median")]
            speed.append([figures["model"], figures["config"]["hidden_size"], method, *times])
    text = README.read_text()
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    README.write_text(f"{before}{BEGIN}\n{markdown(rows)}\n\n{markdown(speed)}\n{END}{after}")


def markdown(rows: list[list[object]]) -> str:
    """Format a table."""
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in rows)


if __name__ == "__main__":
    main()

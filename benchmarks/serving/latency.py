"""Measure one request in process, by torch and by exported graphs, in turns.

    python benchmarks/serving/latency.py --model runs/ml-1m --backends torch onnx
    python benchmarks/serving/latency.py --items 2000000 --backends torch       # a model with random weights

Each request is a history of random items (`--length`), answered by a list of 10 without them, on one thread. Backends
take turns of a few requests, so that other work on the machine slows all of them. Wall time includes waiting for a
core, processor time does not.
"""

import argparse
import json
import os
import time
import warnings
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
import torch

from seqrec import AutoModelForNextItem, Recommender, SasRecConfig
from seqrec.inference.export import export_model
from seqrec.interactions.tokenization_items import ItemTokenizer

TURN = 10  # requests
PERCENTILES = (5, 50, 95, 99)


def random_model(num_items: int) -> Recommender:
    """Return a model of width 64 with random weights."""
    torch.manual_seed(0)
    tokenizer = ItemTokenizer.from_item_ids([f"i{number}" for number in range(num_items)])
    config = SasRecConfig(
        vocab_size=num_items + 3,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=50,
        initializer_range=1.0,
    )
    counts = np.arange(num_items, 0, -1)
    return Recommender(
        AutoModelForNextItem.from_config(config).eval(),
        tokenizer,
        pl.DataFrame({"item_id": tokenizer.item_ids, "title": tokenizer.item_ids, "count": counts}),
    )


def recommenders(first: Recommender, backends: list[str], folder: str) -> dict[str, Recommender]:
    """Return the model as each backend runs it; those besides torch are exported."""
    found = {}
    for backend in backends:
        name, _, quantise = backend.partition("-")
        if name == "torch":
            found[backend] = first
            continue
        place = f"{folder}/{backend}"
        first.save_pretrained(place)
        export_model(place, name, quantise=quantise or None)
        found[backend] = Recommender.from_pretrained(place, backend=name)
    return found


def measure(found: dict[str, Recommender], histories: list[list[str]]) -> dict[str, dict[str, list[float]]]:
    """Answer all histories by each backend, and return the milliseconds of each request."""
    times: dict[str, dict[str, list[float]]] = {name: {"wall": [], "processor": []} for name in found}
    for start in range(0, len(histories), TURN):
        for name, recommender in found.items():
            recommender.recommend(histories[start - 1])  # what another backend left in caches is not measured
            for history in histories[start : start + TURN]:
                begun, used = time.perf_counter(), time.process_time()
                recommender.recommend(history)
                times[name]["wall"].append(1000 * (time.perf_counter() - begun))
                times[name]["processor"].append(1000 * (time.process_time() - used))
    return times


def main() -> None:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--model")
    source.add_argument("--items", type=int, help="size of the catalogue of a model with random weights")
    parser.add_argument("--backends", nargs="+", default=["torch", "onnx"], help="torch, onnx, onnx-int8, openvino")
    parser.add_argument("--length", type=int, default=50, help="items of a history (default: 50)")
    parser.add_argument("--requests", type=int, default=1000, help="requests to each backend (default: 1000)")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    first = Recommender.from_pretrained(given.model, device="cpu") if given.model else random_model(given.items)
    draw, item_ids = np.random.default_rng(0), np.array(first.item_ids)
    histories = [draw.choice(len(item_ids), given.length) for _ in range(given.requests)]
    with TemporaryDirectory() as aside:
        times = measure(recommenders(first, given.backends, aside), [item_ids[one].tolist() for one in histories])
    told = {"items": len(item_ids), "width": first.model.config.hidden_size, "length": given.length}
    for name, kinds in times.items():
        for kind, values in kinds.items():
            cuts = np.percentile(values, PERCENTILES).round(2).tolist()
            told[f"{name}: {kind} ms"] = {f"p{one}": cut for one, cut in zip(PERCENTILES, cuts, strict=True)}
    print(json.dumps({**told, "load": round(os.getloadavg()[0], 1)}, indent=1))


if __name__ == "__main__":
    main()

"""Measure what a session saves: adding an event and recommending, against recommending for the whole history.

    python benchmarks/serving/sessions.py > benchmarks/serving/results/sessions.json

The models have random weights and the size of the default for MovieLens-1M, and compute on one thread. Each event is
answered twice in a row, by the session and as a new request; the ratio is that of these two times.
"""

import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import torch

from seqrec import ItemTokenizer, Recommender
from seqrec.inference.sessions import Session
from seqrec.modeling.modeling_auto import MODEL_TYPES, AutoModelForNextItem

NUM_ITEMS = 3_706
LENGTHS = (50, 200, 1_000)
NUM_EVENTS = 60
SETTINGS = {
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 1_200,
    "position_embedding_type": "rotary",
}


def main() -> None:
    """Print the times and ratios of all architectures and lengths as JSON."""
    torch.set_num_threads(1)
    found = {
        model_type: {length: measure(recommender_of(model_type), length) for length in LENGTHS}
        for model_type in ("sasrec", "esasrec", "hstu")
    }
    print(json.dumps(found, indent=2))


def recommender_of(model_type: str) -> Recommender:
    """Make a recommender whose model has random weights."""
    tokenizer = ItemTokenizer.from_item_ids([str(item) for item in range(NUM_ITEMS)])
    model = AutoModelForNextItem.from_config(MODEL_TYPES[model_type](vocab_size=len(tokenizer), **SETTINGS))
    return Recommender(model, tokenizer, pl.DataFrame({"item_id": tokenizer.item_ids, "count": 1}))


def measure(recommender: Recommender, length: int) -> dict[str, Any]:
    """Measure events after a history of a length, in milliseconds."""
    history = np.random.default_rng(0).integers(NUM_ITEMS, size=length + NUM_EVENTS).astype(str).tolist()
    session = recommender.session(history[:length])
    session.recommend()
    times: dict[str, list[float]] = {"session": [], "whole": []}
    for index in range(length, len(history)):
        grown, in_session = timed(lambda newest: add_and_recommend(session, newest), history[index])
        whole, as_new = timed(recommender.recommend, history[: index + 1])
        if not np.allclose([one.score for one in grown], [one.score for one in whole], atol=1e-4):
            raise RuntimeError(f"the lists differ at event {index}")
        times["session"].append(in_session)
        times["whole"].append(as_new)
    ratios = [as_new / in_session for in_session, as_new in zip(times["session"], times["whole"], strict=True)]
    quarters = statistics.quantiles(ratios, n=4)
    return {
        **{name: round(statistics.median(values), 3) for name, values in times.items()},
        "ratio": round(quarters[1], 2),
        "ratio_quartiles": [round(quarters[0], 2), round(quarters[2], 2)],
    }


def add_and_recommend(session: Session, item_id: str) -> Any:
    """Add an event to a session, and recommend."""
    session.add(item_id)
    return session.recommend()


def timed(call: Callable[[Any], Any], argument: Any) -> tuple[Any, float]:
    """Return a result and the milliseconds that it took."""
    start = time.perf_counter()
    result = call(argument)
    return result, 1_000 * (time.perf_counter() - start)


if __name__ == "__main__":
    main()

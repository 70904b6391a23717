"""Ask one model by every road: do all give the lists that its evaluation ranked?

    python benchmarks/serving/roads.py --model runs/ml-100k --dataset ml-100k --output FILE.json

The requests are the histories of the data set's test split, as the evaluator reads them; the lists are compared with
those of the evaluator, and their hit rate with its own. Items whose scores differ by less than the rounding of float32
may change places. A further road is a function in `ROADS`. The extras [onnx], [openvino] and [serve] must be installed.
"""

import argparse
import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl
from running import HOST, service
from transformers import pipeline

from seqrec import Recommender
from seqrec.cli.export_command import held_out_of
from seqrec.evaluation.evaluator import rank_dataset
from seqrec.evaluation.metrics import ranking_metrics
from seqrec.inference.export import HeldOut, export_model

K = 10
CONNECTIONS = 16
IN_ONE_REQUEST = 100  # histories
ADDED = 3  # events that sessions receive one by one
ROUNDING = 1e-5  # of scores, as a share of the largest
WITHOUT_SEQREC = """
import json, sys
sys.modules["seqrec"] = None
from transformers import pipeline
pipe = pipeline("next-item-recommendation", model=sys.argv[1], trust_remote_code=True, device="cpu")
print(json.dumps([pipe(one, top_k=int(sys.argv[2])) for one in json.load(sys.stdin)]))
"""
Listed = list[tuple[str, float]]  # the ids and scores of one list


@dataclass(frozen=True)
class Asked:
    """What every road is asked.

    Attributes:
        folder: The saved model, with its exports.
        histories: Raw ids of each user's items, oldest first.
        timestamps: Seconds since 1970 of these, for models that read times.
    """

    folder: str
    histories: list[list[str]]
    timestamps: list[list[float]] | None

    @property
    def requests(self) -> list[dict[str, Any]]:
        """Each history as a dictionary, the form of the pipeline and the service."""
        if self.timestamps is None:
            return [{"history": one} for one in self.histories]
        return [
            {"history": one, "timestamps": times} for one, times in zip(self.histories, self.timestamps, strict=True)
        ]

    @property
    def table(self) -> pl.DataFrame:
        """All histories as a table of interactions, with a user for each."""
        lengths = list(map(len, self.histories))
        times = self.timestamps or [list(map(float, range(length))) for length in lengths]
        return pl.DataFrame(
            {
                "user_id": pl.Series(np.arange(len(lengths)).repeat(lengths)).cast(pl.String).str.zfill(6),
                "item_id": [item_id for one in self.histories for item_id in one],
                "timestamp": [time for one in times for time in one],
            }
        )


def together(backend: str) -> Callable[[Asked], list[Listed]]:
    """Return the road of one call of `Recommender.recommend`."""

    def ask(asked: Asked) -> list[Listed]:
        recommender = Recommender.from_pretrained(asked.folder, device="cpu", backend=backend)
        found = recommender.recommend(asked.histories, K, timestamps=asked.timestamps)
        return [[(one.item_id, one.score) for one in items] for items in found]

    return ask


def one_by_one(backend: str) -> Callable[[Asked], list[Listed]]:
    """Return the road of a call of `Recommender.recommend` for each history."""

    def ask(asked: Asked) -> list[Listed]:
        recommender = Recommender.from_pretrained(asked.folder, device="cpu", backend=backend)
        found = [recommender.recommend(k=K, **request) for request in asked.requests]
        return [[(one.item_id, one.score) for one in items] for items in found]

    return ask


def by_session(asked: Asked) -> list[Listed]:
    """Begin a session for each history, and ask it again after each of the last events."""
    recommender = Recommender.from_pretrained(asked.folder, device="cpu")
    found = []
    for request in asked.requests:
        num_begun = max(1, len(request["history"]) - ADDED)
        begun = {name: values[:num_begun] for name, values in request.items()}
        session = recommender.session(begun.pop("history"), **begun)
        items = session.recommend(k=K)
        for place in range(num_begun, len(request["history"])):
            at = request["timestamps"][place] if "timestamps" in request else None
            session.add(request["history"][place], at=at)
            items = session.recommend(k=K)
        found.append([(one.item_id, one.score) for one in items])
    return found


def by_table(asked: Asked) -> list[Listed]:
    """Ask `Recommender.recommend_frame`."""
    return of_table(Recommender.from_pretrained(asked.folder, device="cpu").recommend_frame(asked.table, K), asked)


def by_file(asked: Asked) -> list[Listed]:
    """Ask `Recommender.recommend_file`."""
    with TemporaryDirectory() as aside:
        source, output = f"{aside}/asked.parquet", f"{aside}/lists.parquet"
        asked.table.write_parquet(source)
        Recommender.from_pretrained(asked.folder, device="cpu").recommend_file(source, output, K)
        return of_table(pl.read_parquet(output), asked)


def by_command(asked: Asked) -> list[Listed]:
    """Run `seqrec recommend --input`."""
    with TemporaryDirectory() as aside:
        source, output = f"{aside}/asked.csv", f"{aside}/lists.jsonl"
        asked.table.write_csv(source)
        command = [sys.executable, "-m", "seqrec.cli", "recommend", "--model", asked.folder, "--quiet", "--k", str(K)]
        subprocess.run([*command, "--device", "cpu", "--input", source, "--output", output], check=True)
        return of_table(pl.read_ndjson(output), asked)


def of_table(found: pl.DataFrame, asked: Asked) -> list[Listed]:
    """Return the lists of a table, in the order of its users."""
    lists: list[Listed] = [[] for _ in asked.histories]
    for user, item_id, score in found.sort("user_id", "rank").select("user_id", "item_id", "score").rows():
        lists[int(user)].append((item_id, score))
    return lists


def by_pipeline(asked: Asked) -> list[Listed]:
    """Ask the pipeline of transformers, with seqrec installed."""
    pipe = pipeline("next-item-recommendation", model=asked.folder, device="cpu")
    return described(pipe(asked.requests, top_k=K))


def by_remote_code(asked: Asked) -> list[Listed]:
    """Ask the pipeline that the folder's own code defines, where seqrec cannot be imported."""
    command = [sys.executable, "-c", WITHOUT_SEQREC, asked.folder, str(K)]
    run = subprocess.run(command, input=json.dumps(asked.requests), capture_output=True, text=True, check=True)
    return described(json.loads(run.stdout.splitlines()[-1]))


def by_service(asked: Asked) -> list[Listed]:
    """Send the service a request for each history, on several connections, so that it answers some together."""
    bodies = [json.dumps({**request, "k": K}) for request in asked.requests]
    return [one for found in sent(asked.folder, bodies) for one in found]


def by_service_together(asked: Asked) -> list[Listed]:
    """Send the service requests for many histories each."""
    bodies = []
    for start in range(0, len(asked.histories), IN_ONE_REQUEST):
        part = slice(start, start + IN_ONE_REQUEST)
        times = {} if asked.timestamps is None else {"timestamps": asked.timestamps[part]}
        bodies.append(json.dumps({"histories": asked.histories[part], **times, "k": K}))
    return [one for found in sent(asked.folder, bodies) for one in found]


def sent(folder: str, bodies: Sequence[str]) -> list[list[Listed]]:
    """Run the service, send it requests, and return the lists of each."""
    with service(folder, "--num_threads", "1", "--device", "cpu") as port:

        def send(body: str) -> list[Listed]:
            with closing(HTTPConnection(HOST, port, timeout=60)) as connection:
                connection.request("POST", "/recommend", body)
                answer = connection.getresponse()
                content = json.loads(answer.read())
            if answer.status != 200:
                raise RuntimeError(f"{answer.status}: {content}")
            return described([one["items"] for one in content["results"]])

        with ThreadPoolExecutor(CONNECTIONS) as threads:
            return list(threads.map(send, bodies))


def described(found: list[list[dict[str, Any]]]) -> list[Listed]:
    """Return ids and scores of lists of dictionaries."""
    return [[(one["item_id"], one["score"]) for one in items] for items in found]


ROADS: dict[str, Callable[[Asked], list[Listed]]] = {
    "torch": together("torch"),
    "torch, one by one": one_by_one("torch"),
    "ONNX": together("onnx"),
    "ONNX, one by one": one_by_one("onnx"),
    "OpenVINO": together("openvino"),
    "OpenVINO, one by one": one_by_one("openvino"),
    "sessions": by_session,
    "recommend_frame": by_table,
    "recommend_file": by_file,
    "seqrec recommend --input": by_command,
    "pipeline": by_pipeline,
    "pipeline without seqrec": by_remote_code,
    "service": by_service,
    "service, 100 histories a request": by_service_together,
}


@dataclass(frozen=True)
class Expected:
    """What the evaluator finds.

    Attributes:
        item_ids: Raw ids, from that of token id 3 on.
        top_RK: Token ids of its lists.
        scores_RV: All scores.
        targets_R: Token ids of the held-out items.
        metrics: Its hit rate.
    """

    item_ids: list[str]
    top_RK: np.ndarray
    scores_RV: np.ndarray
    targets_R: np.ndarray
    metrics: dict[str, float]

    def compare(self, found: list[Listed]) -> dict[str, float]:
        """Count lists that are the evaluator's, and measure how often they hold the held-out item."""
        tokens = {item_id: token for token, item_id in enumerate(self.item_ids, start=3)}
        found_RK = np.array([[tokens[item_id] for item_id, _ in items] for items in found])
        given_RK = np.array([[score for _, score in items] for items in found])
        expected_RK = np.take_along_axis(self.scores_RV, self.top_RK, axis=1)
        exact_RK = np.take_along_axis(self.scores_RV, found_RK, axis=1)
        largest = max(1.0, float(np.abs(expected_RK).max()))
        is_same_R = (found_RK == self.top_RK).all(axis=1)
        is_equal_R = (np.abs(exact_RK - expected_RK) <= ROUNDING * largest).all(axis=1)
        is_equal_R &= [len(set(items)) == len(items) for items in found_RK.tolist()]
        return {
            "same lists": int(is_same_R.sum()),
            "the same but for equal scores": int((is_equal_R & ~is_same_R).sum()),
            "other lists": int((~is_equal_R & ~is_same_R).sum()),
            "largest difference of scores": float(np.abs(given_RK - expected_RK).max()),
            f"hr@{K}": float((found_RK == self.targets_R[:, None]).any(axis=1).mean()),
        }


def expected_of(recommender: Recommender, held_out: HeldOut) -> Expected:
    """Rank held-out items by the evaluator."""
    rows, model = held_out.histories, recommender.model
    length = model.config.max_history_length
    ranking = rank_dataset(model, rows, max_length=length, exclude_seen=held_out.exclude_seen, list_length=K)
    users_RD = recommender.retriever.encode(rows).double()
    scores_RV = (users_RD @ recommender.retriever.encoder.encode_items().double().T).numpy(force=True)
    metrics = {f"hr@{K}": ranking_metrics(ranking.ranks_U, (K,))[f"hr@{K}"]}
    return Expected(recommender.item_ids, ranking.top_UK, scores_RV, rows.rows["target"], metrics)


def asked_of(recommender: Recommender, held_out: HeldOut, folder: str) -> Asked:
    """Turn held-out histories into requests by raw ids."""
    rows, item_ids = held_out.histories, recommender.item_ids
    parts = [slice(start, start + length) for start, length in zip(rows.starts_R, rows.lengths_R, strict=True)]
    histories = [[item_ids[token - 3] for token in rows.columns["input_ids"][part]] for part in parts]
    reads_time = "timestamps" in recommender.retriever.columns
    times = [rows.columns["timestamps"][part].tolist() for part in parts] if reads_time else None
    return Asked(folder, histories, times)


def compare_roads(
    recommender: Recommender, held_out: HeldOut, folder: str, roads: Sequence[str] = tuple(ROADS)
) -> dict[str, Any]:
    """Save and export a model in a new folder, and ask it by every road.

    Args:
        recommender: The model; one that does not read recent popularity, which evaluation counts day by day.
        held_out: Histories with their targets.
        folder: The new folder.
        roads: Names of the roads.
    """
    recommender.save_pretrained(folder)
    for kind, format in (("ONNX", "onnx"), ("OpenVINO", "openvino")):
        if any(name.startswith(kind) for name in roads):
            export_model(folder, format)
    expected, asked = expected_of(recommender, held_out), asked_of(recommender, held_out, folder)
    found: dict[str, Any] = {"histories": len(asked.histories), "evaluator": expected.metrics, "roads": {}}
    for name in roads:
        begun = time.perf_counter()
        lists = ROADS[name](asked)
        seconds = round(time.perf_counter() - begun, 1)
        found["roads"][name] = {**expected.compare(lists), "seconds": seconds}
    return found


def main() -> None:
    """Compare, and write or print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--dataset", required=True, help="the data that it was trained on")
    parser.add_argument("--users", type=int, default=1000, help="histories, evenly spread, at most (default: 1000)")
    parser.add_argument("--output", help="JSON file to write")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    recommender = Recommender.from_pretrained(given.model, device="cpu")
    held_out = held_out_of(given)(recommender)
    number = len(held_out.histories)
    chosen = np.unique(np.linspace(0, number - 1, min(number, given.users)).astype(int))
    held_out = HeldOut(held_out.histories.select(chosen), held_out.source, held_out.exclude_seen)
    with TemporaryDirectory() as aside:
        found = compare_roads(recommender, held_out, f"{aside}/model")
    config = recommender.model.config
    about = {"dataset": Path(given.dataset).name, "model": config.model_type, "items": config.num_items}
    text = json.dumps({**about, **found, "load": round(os.getloadavg()[0], 1)}, indent=1)
    if given.output:
        Path(given.output).write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()

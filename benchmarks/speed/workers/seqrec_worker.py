"""Measures this library: training with `SequentialTrainer`, ranking, single requests, new items, and retrieval.

Training packs histories and uses all of their items: histories longer than the model's limit are cut into windows. Data
are loaded in the training process.
"""

import time
from copy import copy
from functools import partial
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
import torch
from protocol import Channel, Gate, Message, serve, serve_turns, timed_requests
from seqrec_data import load_test, load_training
from seqrec_items import fit_features, new_items
from trainer_callback import ONLY_TRAINING, GateCallback, output_folder

from seqrec import AutoModelForNextItem, Recommender, SequentialTrainer, SequentialTrainingArguments
from seqrec.evaluation.evaluator import rank_dataset
from seqrec.inference.export import export_model
from seqrec.interactions.item_features import ItemFeatures
from seqrec.interactions.tokenization_items import ItemTokenizer
from seqrec.modeling.modeling_auto import MODEL_TYPES
from seqrec.modeling.modeling_next_item import NextItemHead
from seqrec.search.approximate_index import build_index


def train(request: Message, channel: Channel) -> None:
    """Train; units are targets."""
    settings = request["settings"]
    histories, tokenizer = load_training(request)
    model, *_ = build_model_of_items(tokenizer, settings)
    arguments = SequentialTrainingArguments(
        output_dir=output_folder(),
        per_device_train_batch_size=settings["batch_size"],
        bf16=settings["bf16"],
        packing=True,
        load_best_model_at_end=False,
        **ONLY_TRAINING,
    )
    trainer = SequentialTrainer(
        model,
        arguments,
        processing_class=tokenizer,
        train_dataset=histories,
        callbacks=[GateCallback(Gate(channel), model)],
    )
    trainer.train()


def rank(request: Message, channel: Channel) -> None:
    """List the ten best unseen items for every user, and rank the targets too; units are users."""
    rows, tokenizer = load_test(request["data"])
    model = build_model(len(tokenizer), request["settings"])
    max_length = model.config.max_history_length

    def run(count: int) -> Message:
        for _ in range(count):
            rank_dataset(model, rows, max_length=max_length, exclude_seen=True, list_length=10)
        return {"units": count * len(rows)}

    serve_turns(channel, run)


def answer_requests(request: Message, channel: Channel) -> None:
    """Recommend ten items for one history of raw ids at a time, by an exported graph if `export` is set."""
    recommender, _ = make_recommender(request)
    rng = np.random.default_rng(42)
    length = request["settings"]["history_length"]
    lists = [rng.choice(recommender.item_ids, length, replace=False).tolist() for _ in range(100)]
    with TemporaryDirectory() as folder:
        if export := request["settings"].get("export"):
            recommender.save_pretrained(folder)
            export_model(folder, **export)
            recommender = Recommender.from_pretrained(folder, backend=export["format"])
        serve_turns(channel, timed_requests(partial(recommender.recommend, k=10), lists))


def add_items(request: Message, channel: Channel) -> None:
    """Add new items with features to a recommender, each time to the original one; units are items."""
    recommender, table = make_recommender(request)
    new = new_items(table, request["settings"]["new_items"])

    def run(count: int) -> Message:
        start = time.process_time()
        for _ in range(count):
            copy(recommender).add_items(new)
        return {"units": count * len(new), "cpu_seconds": time.process_time() - start}

    serve_turns(channel, run)


def retrieve(request: Message, channel: Channel) -> None:
    """Find the ten best of many items for a batch of users, by `method`; units are users."""
    users_BD, items_VD = clustered_vectors(**request["settings"]["vectors"])
    method = request["settings"]["method"]
    index = None if method == "naive" else build_index(method, items_VD)

    @torch.inference_mode()
    def run(count: int) -> Message:
        for _ in range(count):
            if index is None:
                torch.topk(users_BD @ items_VD.T, 10)
            else:
                index.search(users_BD, 10)
        return {"units": count * len(users_BD)}

    serve_turns(channel, run)


def make_recommender(request: Message) -> tuple[Recommender, pl.DataFrame]:
    """Make a recommender of the items of a data set with an untrained model; also return the table of its items."""
    _, tokenizer = load_test(request["data"])
    model, features, table = build_model_of_items(tokenizer, request["settings"])
    items = table.select("item_id", count=np.ones(len(table), dtype=np.int64))
    return Recommender(model, tokenizer, items, features=features), table


def build_model_of_items(
    tokenizer: ItemTokenizer, settings: Message
) -> tuple[NextItemHead, ItemFeatures | None, pl.DataFrame]:
    """Build the model of a request with its items' features, if it reads any; also return these and their table."""
    if "features" not in settings:
        return build_model(len(tokenizer), settings), None, pl.DataFrame({"item_id": tokenizer.item_series})
    features, table = fit_features(tokenizer, **settings["features"])
    config = settings["config"] | {"item_features": features.config_entry()}
    model = build_model(len(tokenizer), settings | {"config": config})
    model.set_feature_values(features.values(table))
    return model, features, table


def build_model(vocab_size: int, settings: Message, seed: int = 42) -> NextItemHead:
    """Build the model of a request, with random weights."""
    torch.manual_seed(seed)
    config_class = MODEL_TYPES[settings["model_type"]]
    return AutoModelForNextItem.from_config(config_class(vocab_size=vocab_size, **settings["config"]))


def clustered_vectors(
    num_users: int, num_items: int, dim: int, num_clusters: int = 1000
) -> tuple[torch.Tensor, torch.Tensor]:
    """Generate clustered vectors, like learned ones: centres, plus noise of half their size."""
    generator = torch.Generator().manual_seed(42)
    centres = torch.randn(num_clusters, dim, generator=generator)
    made = []
    for count in (num_users, num_items):
        index = torch.randint(num_clusters, (count,), generator=generator)
        made.append(centres[index] + 0.5 * torch.randn(count, dim, generator=generator))
    return made[0], made[1]


if __name__ == "__main__":
    tasks = {"train": train, "rank": rank, "request": answer_requests, "add_items": add_items, "retrieve": retrieve}
    serve(tasks)

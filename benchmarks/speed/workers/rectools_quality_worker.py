"""Measures the quality of RecTools' models, ranked by this library's protocol after each epoch.

`train`: the time from the table on disk to a given validation NDCG@10. `best_epoch`: test NDCG@10 of the epoch that is
best in validation.
"""

import copy
import time
import warnings
from itertools import count
from typing import Any

import pandas as pd
import pytorch_lightning as lightning
from protocol import Channel, Message, serve
from rectools_ranking import HeldOut
from rectools_worker import as_dataset, build_model

TRAIN, VALIDATION, TEST = 0, 1, 2


class StopAtQuality(lightning.Callback):
    """Reports every validation to the harness, and stops at the quality or the time limit."""

    def __init__(self, settings: Message, channel: Channel, table: pd.DataFrame, start: float) -> None:
        self.settings, self.channel, self.table, self.start = settings, channel, table, start
        self.validation: HeldOut | None = None
        self.last: Message = {}

    def __deepcopy__(self, memo: dict) -> "StopAtQuality":
        return self

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: Any) -> None:
        """Validate."""
        if self.validation is None:
            self.validation = held_out(self.table, VALIDATION, module)
        ndcg = self.validation.ndcg(module.torch_model, self.settings["max_length"])
        seconds = time.perf_counter() - self.start
        epoch = trainer.current_epoch + 1
        self.last = {"epoch": epoch, "ndcg@10": ndcg, "reached": ndcg >= self.settings["quality"]}
        self.channel.send({**self.last, "elapsed": seconds, "cpu_elapsed": time.process_time()})
        trainer.should_stop = self.last["reached"] or seconds > self.settings["limit_seconds"]


class KeepBest(lightning.Callback):
    """Validates after each epoch, reports it to the harness, and keeps the weights of the best epoch."""

    def __init__(self, settings: Message, channel: Channel, table: pd.DataFrame) -> None:
        self.settings, self.channel, self.table = settings, channel, table
        self.best: Message = {"validation_ndcg@10": -1.0}
        self.weights: Message = {}
        self.seconds = 0.0

    def __deepcopy__(self, memo: dict) -> "KeepBest":
        return self

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: Any) -> None:
        """Validate, and keep the weights if they are better."""
        start = time.perf_counter()
        ndcg = held_out(self.table, VALIDATION, module).ndcg(module.torch_model, self.settings["max_length"])
        found = {"best_epoch": trainer.current_epoch + 1, "validation_ndcg@10": ndcg}
        self.channel.send(found)
        if ndcg > self.best["validation_ndcg@10"]:
            self.best, self.weights = found, copy.deepcopy(module.torch_model.state_dict())
        self.seconds += time.perf_counter() - start


def held_out(table: pd.DataFrame, part: int, module: Any) -> HeldOut:
    """Collect the held-out rows of one part, with the items that a module knows."""
    return HeldOut.from_table(table, part, module.data_preparator.item_id_map.external_ids)


def train(request: Message, channel: Channel) -> None:
    """Train once; units are epochs."""
    settings = request["settings"]
    channel.ready()
    channel.receive()
    start, cpu_start = time.perf_counter(), time.process_time()
    table = pd.read_parquet(request["data"])
    callback = StopAtQuality(settings, channel, table, start)
    build_model(settings, callbacks=[callback]).fit(as_dataset(table[table["part"] == TRAIN]))
    channel.answer(
        seconds=time.perf_counter() - start,
        cpu_seconds=time.process_time() - cpu_start,
        units=callback.last["epoch"],
        **callback.last,
    )
    channel.receive()


def best_epoch(request: Message, channel: Channel) -> None:
    """Train with another seed in each turn; units are epochs."""
    settings = request["settings"]
    table = pd.read_parquet(request["data"])
    channel.ready()
    for seed in count(settings["first_seed"]):
        channel.receive()
        start = time.perf_counter()
        best = KeepBest(settings, channel, table)
        limits = {"max_steps": -1, "max_epochs": settings["epochs"]}
        model = build_model(settings, callbacks=[best], seed=seed, **limits)
        model.fit(as_dataset(table[table["part"] == TRAIN]))
        train_seconds = time.perf_counter() - start - best.seconds
        module = model.lightning_model
        module.torch_model.load_state_dict(best.weights)
        test = held_out(table, TEST, module)
        channel.answer(
            **best.best,
            **{"test_ndcg@10": test.ndcg(module.torch_model, settings["max_length"])},
            units=settings["epochs"],
            seed=seed,
            train_seconds=train_seconds,
            num_targets=len(test.targets_R),
            num_items=module.data_preparator.item_id_map.size - 1,
            seconds=time.perf_counter() - start,
        )


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    serve({"train": train, "best_epoch": best_epoch})

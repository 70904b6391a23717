"""Measures the time that RecTools' SASRec takes from the table on disk to a given validation NDCG@10.

After each epoch, a callback scores the full catalogue for every user with the current model, leaves out seen items, and
ranks the validation item; ties count against it.

Shape suffixes: U users, B users in a batch, L length, V items including padding, D hidden size.
"""

import time
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytorch_lightning as lightning
import torch
from protocol import Channel, Message, serve
from rectools.models.nn.transformers.torch_backbone import TransformerTorchBackbone
from rectools_worker import as_dataset, build_model

TRAIN, VALIDATION = 0, 1
RANKED_AT_ONCE = 256


@dataclass
class Validation:
    """Each user's training items and validation item, as the model's item numbers."""

    seen_U: list[list[int]]
    targets_U: np.ndarray

    @classmethod
    def from_table(cls, table: pd.DataFrame, numbers: pd.Series) -> "Validation":
        """Collect the users whose validation item the model knows."""
        known = table[table["item_id"].isin(numbers.index)]
        known = known.assign(item_id=numbers[known["item_id"]].to_numpy())
        targets = known[known["part"] == VALIDATION].set_index("user_id")["item_id"]
        seen = known[known["part"] == TRAIN].groupby("user_id")["item_id"].agg(list)
        return cls(seen[targets.index].to_list(), targets.to_numpy())

    @torch.no_grad()
    def ndcg(self, model: TransformerTorchBackbone, length: int) -> float:
        """Rank all validation items, and return NDCG@10."""
        model.eval()
        items_VD = model.item_model.get_all_embeddings()
        gains = []
        for start in range(0, len(self.targets_U), RANKED_AT_ONCE):
            seen_B = self.seen_U[start : start + RANKED_AT_ONCE]
            targets_B1 = torch.as_tensor(self.targets_U[start : start + RANKED_AT_ONCE])[:, None]
            newest_BL = torch.zeros(len(seen_B), length, dtype=torch.long)
            for row, seen in enumerate(seen_B):
                newest_BL[row, -min(length, len(seen)) :] = torch.as_tensor(seen[-length:])
            scores_BV = model.encode_sessions({"x": newest_BL}, items_VD)[:, -1] @ items_VD.T
            target_scores_B1 = scores_BV.gather(1, targets_B1)
            scores_BV[:, 0] = -torch.inf
            for row, seen in enumerate(seen_B):
                scores_BV[row, seen] = -torch.inf
            scores_BV.scatter_(1, targets_B1, target_scores_B1)
            ranks_B = (scores_BV >= target_scores_B1).sum(dim=1)
            gains.append(torch.where(ranks_B <= 10, 1 / torch.log2(ranks_B + 1.0), 0.0))
        model.train()
        return float(torch.cat(gains).mean())


class StopAtQuality(lightning.Callback):
    """Reports every validation to the harness, and stops at the quality or the time limit."""

    def __init__(self, settings: Message, channel: Channel, table: pd.DataFrame, start: float) -> None:
        self.settings, self.channel, self.table, self.start = settings, channel, table, start
        self.validation: Validation | None = None
        self.last: Message = {}

    def __deepcopy__(self, memo: dict) -> "StopAtQuality":
        return self

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: Any) -> None:
        """Validate."""
        if self.validation is None:
            external = module.data_preparator.item_id_map.external_ids
            self.validation = Validation.from_table(self.table, pd.Series(np.arange(len(external)), index=external))
        ndcg = self.validation.ndcg(module.torch_model, self.settings["max_length"])
        seconds = time.perf_counter() - self.start
        self.last = {"epoch": trainer.current_epoch + 1, "ndcg@10": ndcg, "reached": ndcg >= self.settings["quality"]}
        self.channel.send({**self.last, "elapsed": seconds, "cpu_elapsed": time.process_time()})
        trainer.should_stop = self.last["reached"] or seconds > self.settings["limit_seconds"]


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


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    serve({"train": train})

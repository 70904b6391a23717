"""Measures RecTools: training with its own Lightning loop, `recommend` for all users and for single requests.

The feed-forward layers of its SASRec are as wide as the hidden states, with ReLU; dropout also applies to attention
weights. In its HSTU, queries, keys, values and gates of all heads are together as wide as the hidden states. Data are
loaded in the training process (`dataloader_num_workers=0`), since loader processes would compete with the model for two
cores. Each user's newest items form one row, padded to the full length. Precision is set through Lightning.
"""

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytorch_lightning as lightning
from protocol import Channel, Gate, Message, serve, serve_turns, timed_requests
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import HSTUModel, SASRecModel

MODELS = {"sasrec": SASRecModel, "hstu": HSTUModel}
TRAIN, TEST = 0, 2


class GateCallback(lightning.Callback):
    """Ends a turn when its steps are done; units are labels except padding."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    def on_train_start(self, *args: Any) -> None:
        """Hold before the first step."""
        self.gate.open()

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Message, batch_idx: int) -> None:
        """Count the step."""
        self.gate.pass_step(int((batch["y"] != 0).sum()))


def train(request: Message, channel: Channel) -> None:
    """Train; units are targets."""
    table = pd.read_parquet(request["data"])
    dataset = as_dataset(table[table["part"] == TRAIN])
    build_model(request["settings"], callbacks=[GateCallback(Gate(channel))]).fit(dataset)


def rank(request: Message, channel: Channel) -> None:
    """List the best ten unseen items for every user; units are users."""
    table = pd.read_parquet(request["data"])
    dataset = as_dataset(table[table["part"] < TEST])
    model = build_model(request["settings"], max_steps=1).fit(dataset)
    users = table["user_id"].unique()

    def run(count: int) -> Message:
        for _ in range(count):
            model.recommend(users, dataset, k=10, filter_viewed=True)
        return {"units": count * len(users)}

    serve_turns(channel, run)


def answer_requests(request: Message, channel: Channel) -> None:
    """Recommend ten items for one history of raw ids at a time: a data set of one user, then `recommend`."""
    table = pd.read_parquet(request["data"])
    model = build_model(request["settings"], max_steps=1).fit(as_dataset(table))
    rng = np.random.default_rng(42)
    lists = [rng.choice(table["item_id"].unique(), 50, replace=False).tolist() for _ in range(100)]

    def answer(history: list) -> pd.DataFrame:
        frame = pd.DataFrame({"user_id": 1, "item_id": history, "timestamp": range(len(history))})
        return model.recommend([1], as_dataset(frame), k=10, filter_viewed=True)

    serve_turns(channel, timed_requests(answer, lists))


def as_dataset(table: pd.DataFrame) -> Dataset:
    """Convert a table to a RecTools data set, with times in seconds since 1970."""
    return Dataset.construct(
        pd.DataFrame(
            {
                Columns.User: table["user_id"],
                Columns.Item: table["item_id"],
                Columns.Weight: 1,
                Columns.Datetime: pd.to_datetime(table["timestamp"], unit="s"),
            }
        )
    )


def build_model(
    settings: Message,
    *,
    callbacks: list | None = None,
    seed: int = 42,
    max_steps: int = 10**6,
    max_epochs: int | None = None,
) -> SASRecModel | HSTUModel:
    """Build the model of a request, with a trainer that only trains."""
    lightning.seed_everything(seed)

    def trainer() -> lightning.Trainer:
        return lightning.Trainer(
            accelerator="cpu",
            precision="bf16-mixed" if settings["bf16"] else "32-true",
            max_steps=max_steps,
            max_epochs=max_epochs,
            callbacks=callbacks,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )

    return MODELS[settings["model_type"]](
        n_blocks=2,
        n_heads=2,
        n_factors=64,
        dropout_rate=0.2,
        session_max_len=settings["max_length"],
        batch_size=settings["batch_size"],
        lr=1e-3,
        loss=settings["loss"],
        n_negatives=settings["num_negatives"],
        dataloader_num_workers=0,
        recommend_torch_device="cpu",
        get_trainer_func=trainer,
        **settings["model"],
    )


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    serve({"train": train, "rank": rank, "request": answer_requests})

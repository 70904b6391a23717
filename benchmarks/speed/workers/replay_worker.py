"""Measures RePlay's SASRec (`replay.nn`) with full cross-entropy: training with its Lightning loop, and requests.

Its feed-forward layers are as wide as the hidden states (`hidden_dim=None`), with ReLU; dropout also applies to
attention weights. Batches come from its `ParquetModule`, which has no loader processes. Each user's newest items form
one row, padded to the full length; with `bucket_size`, its encoder crops rows of similar length together
(`LengthBucketedQueryEncoder`).
"""

import tempfile
import warnings
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pandas as pd
import torch
from protocol import Channel, Gate, Message, serve, serve_turns, timed_requests
from replay.data import FeatureHint, FeatureType
from replay.data.nn import ParquetModule, TensorFeatureInfo, TensorSchema
from replay.nn.lightning import LightningModule
from replay.nn.lightning.callback import PandasTopItemsCallback
from replay.nn.lightning.optimizer import OptimizerFactory
from replay.nn.lightning.postprocessor import SeenItemsFilter
from replay.nn.sequential import LengthBucketedQueryEncoder, SasRec
from replay.nn.transform.template import make_default_sasrec_transforms
from torch.utils.data import DataLoader

TRAIN = 0
HIDDEN_SIZE = 64
SILENT = {"enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}


class GateCallback(lightning.Callback):
    """Ends a turn when its steps are done; units are labels except padding."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    def on_train_start(self, *args: Any) -> None:
        """Hold before the first step."""
        self.gate.open()

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Message, batch_idx: int) -> None:
        """Count the step."""
        self.gate.pass_step(int(batch["target_padding_mask"].sum()))


def train(request: Message, channel: Channel) -> None:
    """Train; units are targets."""
    settings = request["settings"]
    table = pd.read_parquet(request["data"])
    item_ids = table["item_id"].unique()
    schema = tensor_schema(len(item_ids))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.parquet"
        write_sequences(table[table["part"] == TRAIN], item_ids, path, newest=settings["max_length"] + 1)
        column = {"item_id": {"shape": settings["max_length"] + 1, "padding": len(item_ids)}}
        data = ParquetModule(
            batch_size=settings["batch_size"],
            metadata={"train": column},
            transforms={"train": make_default_sasrec_transforms(schema)["train"]},
            train_path=str(path),
        )
        trainer = lightning.Trainer(
            accelerator="cpu",
            precision="bf16-mixed" if settings["bf16"] else "32-true",
            max_steps=10**6,
            limit_val_batches=0,
            callbacks=[GateCallback(Gate(channel))],
            logger=False,
            **SILENT,
        )
        trainer.fit(build_module(schema, settings), datamodule=data)


def answer_requests(request: Message, channel: Channel) -> None:
    """Recommend ten items for one history of raw ids at a time, by `route`.

    "predict" is the documented route: Lightning's `predict` with RePlay's callback for top items. "module" is a faster
    one written by hand: calling the module, its filter for seen items, and torch's top ten.
    """
    table = pd.read_parquet(request["data"])
    item_ids = table["item_id"].unique()
    numbers = {item_id: number for number, item_id in enumerate(item_ids)}
    module = build_module(tensor_schema(len(item_ids)), request["settings"]).eval()
    leave_out_seen = SeenItemsFilter(item_count=len(item_ids))
    callback = PandasTopItemsCallback(
        10, query_column="user_id", item_column="item_id", postprocessors=[leave_out_seen]
    )
    trainer = lightning.Trainer(accelerator="cpu", callbacks=[callback], logger=False, **SILENT)
    rng = np.random.default_rng(42)
    lists = [rng.choice(item_ids, 50, replace=False).tolist() for _ in range(100)]

    def batch_of(history: list) -> Message:
        ids_BL = torch.tensor([[numbers[item_id] for item_id in history]])
        mask_BL = torch.ones_like(ids_BL, dtype=torch.bool)
        return {"feature_tensors": {"item_id": ids_BL}, "padding_mask": mask_BL, "seen_ids": ids_BL}

    def predict(history: list) -> list[tuple[Any, float]]:
        batch = {**batch_of(history), "user_id": torch.zeros(1, dtype=torch.long)}
        trainer.predict(module, dataloaders=DataLoader([batch], batch_size=None), return_predictions=False)
        best = callback.get_result()
        return list(zip(item_ids[best["item_id"].to_numpy(int)], best["rating"], strict=True))

    @torch.inference_mode()
    def call_module(history: list) -> list[tuple[Any, float]]:
        batch = batch_of(history)
        scores_BV = leave_out_seen.on_prediction(batch, module(batch)["logits"])
        best = scores_BV[0].topk(10)
        return [
            (item_ids[index], score) for index, score in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]

    answer = {"predict": predict, "module": call_module}[request["settings"]["route"]]
    serve_turns(channel, timed_requests(answer, lists))


def tensor_schema(num_items: int) -> TensorSchema:
    """Describe the only column that the model reads; the padding value is the number after the last item."""
    return TensorSchema(
        TensorFeatureInfo(
            name="item_id",
            is_seq=True,
            feature_type=FeatureType.CATEGORICAL,
            feature_hint=FeatureHint.ITEM_ID,
            embedding_dim=HIDDEN_SIZE,
            padding_value=num_items,
            cardinality=num_items,
        )
    )


def write_sequences(table: pd.DataFrame, item_ids: np.ndarray, path: Path, newest: int) -> None:
    """Write each user's newest items as a list of numbers."""
    numbers = pd.Series(np.arange(len(item_ids)), index=item_ids)
    encoded = table.assign(item_id=numbers[table["item_id"]].to_numpy())
    grouped = encoded.groupby("user_id", sort=False)["item_id"].agg(list)
    lists = [items[-newest:] for items in grouped if len(items) > 1]
    pd.DataFrame({"item_id": lists}).to_parquet(path)


def build_module(schema: TensorSchema, settings: Message) -> LightningModule:
    """Build the module of a request."""
    lightning.seed_everything(42)
    model = SasRec.from_params(
        schema,
        embedding_dim=HIDDEN_SIZE,
        num_heads=2,
        num_blocks=2,
        max_sequence_length=settings["max_length"],
        dropout=0.2,
    )
    if settings["bucket_size"]:
        model.body.encoder = LengthBucketedQueryEncoder(model.body.encoder, bucket_size=settings["bucket_size"])
    return LightningModule(model, optimizer_factory=OptimizerFactory(learning_rate=1e-3))


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    serve({"train": train, "request": answer_requests})

"""Measure preparation and training of large tables: peak memory, time, and the share of a step that waits for data.

    python benchmarks/scale/data.py prepare --rows 10000000 --folder /tmp/scale
    python benchmarks/scale/data.py train --rows 10000000 --folder /tmp/scale

`prepare` generates interactions, 20 of each user and 100 of each item on average, as Parquet shards whose rows are in
no order, and prepares them. `train` trains some steps on the set with a sampled softmax. Memory is given without and
with the pages of mapped files, which the system can take back.
"""

import argparse
import json
import re
import resource
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

ROWS_PER_USER, ROWS_PER_ITEM, ROWS_PER_SHARD = 20, 100, 4_000_000
FIRST_TIME, SECONDS = 1_500_000_000, 10**8


def generate(folder: Path, num_rows: int) -> None:
    """Write a table of interactions as Parquet shards."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    num_shards = -(-num_rows // ROWS_PER_SHARD)
    for shard in range(num_shards):
        size = num_rows * (shard + 1) // num_shards - num_rows * shard // num_shards
        pl.DataFrame(
            {
                "user_id": random.integers(0, num_rows // ROWS_PER_USER, size),
                "item_id": (num_rows // ROWS_PER_ITEM * random.random(size) ** 3).astype(np.int64),
                "timestamp": FIRST_TIME + random.integers(0, SECONDS, size),
            }
        ).write_parquet(folder / f"part-{shard:05d}.parquet", compression="lz4")


class PeakMemory:
    """The highest memory of this process: of its own, and with mapped files, in MB."""

    def __init__(self) -> None:
        self.own = self.all = 0
        threading.Thread(target=self.watch, daemon=True).start()

    def watch(self) -> None:
        """Look twenty times a second."""
        while True:
            status = Path("/proc/self/status").read_text()
            own, all_ = (int(re.search(rf"{name}:\s+(\d+)", status)[1]) // 1024 for name in ("RssAnon", "VmRSS"))
            self.own, self.all = max(self.own, own), max(self.all, all_)
            time.sleep(0.05)

    def report(self, **others: object) -> None:
        """Print the memory and other figures."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        figures = {"own_mb": self.own, "all_mb": self.all, "cpu_seconds": round(used.ru_utime + used.ru_stime, 1)}
        print(json.dumps({**others, **figures}), flush=True)


def prepare(folder: Path, num_rows: int) -> None:
    """Generate a table, unless that was done, and prepare it."""
    from seqrec.cli.command_line import main

    source, target = folder / f"rows-{num_rows}", folder / f"set-{num_rows}"
    if not source.exists():
        generate(source, num_rows)
    shutil.rmtree(target, ignore_errors=True)
    memory, began = PeakMemory(), time.perf_counter()
    if main(["prepare", "--dataset", str(source), "--output_dir", str(target), "--quiet"]):
        sys.exit(1)
    memory.report(rows=num_rows, seconds=round(time.perf_counter() - began, 1))


class Waiting:
    """Batches of a loader; notes how long each took to come."""

    def __init__(self, loader: object) -> None:
        self.loader, self.seconds = loader, 0.0

    def __getattr__(self, name: str) -> object:
        return getattr(self.loader, name)

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[object]:
        batches = iter(self.loader)
        while True:
            began = time.perf_counter()
            batch = next(batches, None)
            self.seconds += time.perf_counter() - began
            if batch is None:
                return
            yield batch


def train(folder: Path, num_rows: int, num_steps: int) -> None:
    """Train some steps on a prepared set."""
    from seqrec import SasRecConfig, SasRecForNextItem
    from seqrec.interactions.prepared_sets import PreparedData
    from seqrec.training.arguments import SequentialTrainingArguments
    from seqrec.training.trainer import SequentialTrainer

    memory, began = PeakMemory(), time.perf_counter()
    data = PreparedData.load(folder / f"set-{num_rows}")
    loaded = time.perf_counter() - began
    config = SasRecConfig(
        vocab_size=len(data.tokenizer),
        loss="sampled_softmax",
        num_negatives=4096,
        negatives_shared_by="batch",
        negative_sampling="log_uniform",
        hidden_size=64,
        max_position_embeddings=50,
    )
    arguments = SequentialTrainingArguments(
        output_dir=str(folder / "model"),
        max_steps=num_steps,
        per_device_train_batch_size=128,
        eval_strategy="no",
        save_strategy="no",
        load_best_model_at_end=False,
        disable_tqdm=True,
    )
    trainer = SequentialTrainer(
        SasRecForNextItem(config),
        arguments,
        processing_class=data.tokenizer,
        train_dataset=data.sequences["train"],
        items=data.items,
    )
    waiting = Waiting(trainer.get_train_dataloader())
    trainer.get_train_dataloader = lambda: waiting
    began = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - began
    shares = {"load_seconds": round(loaded, 1), "step_seconds": seconds / num_steps}
    memory.report(rows=num_rows, **shares, waiting=waiting.seconds / seconds)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("command", choices=["prepare", "train"])
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=30)
    flags = parser.parse_args()
    if flags.command == "prepare":
        prepare(flags.folder, flags.rows)
    else:
        train(flags.folder, flags.rows, flags.steps)

"""The interactions that all contenders read: one Parquet file per data set, in seqrec's order and split."""

import os
from pathlib import Path

import polars as pl

from seqrec.interactions.sources import load_interactions
from seqrec.interactions.splitting import leave_one_out


def write_interactions(name: str, folder: Path) -> Path:
    """Write a data set of `$SEQREC_DATA_DIR` as `user_id`, `item_id`, `timestamp` and `part`.

    Rows are sorted by user and time. `timestamp` is the row number, so that every library keeps the order of ties;
    `part` is 0 for training, 1 for validation (the second-to-last item) and 2 for test (the last).

    Raises:
        ValueError: If `SEQREC_DATA_DIR` is not set.
    """
    path = folder / f"{name}.parquet"
    if path.is_file():
        return path
    root = os.environ.get("SEQREC_DATA_DIR")
    if root is None:
        raise ValueError("Set SEQREC_DATA_DIR to the folder that holds ml-1m/interactions.csv.gz and the others.")
    split = leave_one_out(load_interactions(Path(root, name)).interactions)
    parts = [
        table.select("user_id", "item_id", part=pl.lit(part, dtype=pl.Int8))
        for part, table in enumerate((split.train, split.validation, split.test))
    ]
    table = pl.concat(parts).sort("user_id", "part", maintain_order=True)
    table.with_columns(timestamp=pl.int_range(pl.len())).write_parquet(path)
    return path

"""The interactions that all contenders read: one Parquet file per data set and split, in seqrec's order and split."""

import os
from pathlib import Path

import polars as pl

from seqrec.interactions.data_arguments import DataArguments
from seqrec.interactions.preparation import filter_interactions, split_interactions
from seqrec.interactions.sources import load_interactions
from seqrec.interactions.timestamps import to_plain_numbers

FIRST_TIME = 10**9  # in September 2001


def write_interactions(name: str, folder: Path, **split: object) -> Path:
    """Write a data set of `$SEQREC_DATA_DIR` as `user_id`, `item_id`, `timestamp` and `part`.

    Rows are sorted by user and time. `part` is 0 for training, 1 for validation and 2 for test. In a temporal split,
    `timestamp` holds the seconds since 1970. Otherwise the rows follow one another by the second, so that every library
    keeps the order of ties.

    Args:
        name: The data set's folder.
        folder: Where to write.
        **split: Fields of `DataArguments` that filter and split; by default each user's last item is for test, and the
            second-to-last for validation.

    Raises:
        ValueError: If `SEQREC_DATA_DIR` is not set.
    """
    arguments = DataArguments(**split)  # type: ignore[arg-type]
    path = folder / f"{name}-{arguments.split_method}.parquet"
    if path.is_file():
        return path
    root = os.environ.get("SEQREC_DATA_DIR")
    if root is None:
        raise ValueError("Set SEQREC_DATA_DIR to the folder that holds ml-1m/interactions.csv.gz and the others.")
    kept = filter_interactions(load_interactions(Path(root, name)).interactions, arguments)
    divided = split_interactions(kept, arguments)
    rows = divided.interactions
    times = pl.int_range(FIRST_TIME, FIRST_TIME + len(rows), eager=True)
    if arguments.split_method == "temporal":
        times = to_plain_numbers(rows["timestamp"]).cast(pl.Int64)
    rows.select("user_id", "item_id", timestamp=times, part=pl.Series(divided.part_N)).write_parquet(path)
    return path

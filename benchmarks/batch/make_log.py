"""Write a table of interactions of many users to a Parquet file, in seconds.

    python benchmarks/batch/make_log.py --model runs/ml-100k --users 1000000 --output log.parquet

Each user has 20 to 30 interactions with items of the model's catalogue, some more often than others, a minute to a day
apart. Rows are in the order of time, so that those of a user are far apart.
"""

import argparse
from pathlib import Path

import numpy as np
import polars as pl

FEWEST, MOST = 20, 30
YEAR = 365 * 86_400
START = 1_600_000_000


def make_log(item_ids: list[str], num_users: int, seed: int = 0) -> pl.DataFrame:
    """Draw interactions.

    Args:
        item_ids: Raw ids, popular ones first.
        num_users: Number of users.
        seed: Makes the draws.
    """
    random = np.random.default_rng(seed)
    lengths = random.integers(FEWEST, MOST + 1, num_users)
    num_rows = int(lengths.sum())
    shares = 1 / np.arange(10, 10 + len(item_ids))
    items = np.searchsorted(np.cumsum(shares / shares.sum()), random.random(num_rows))
    begun = START + random.integers(0, YEAR, num_users)
    steps = random.integers(60, 86_400, num_rows).cumsum()
    first = np.concatenate([[0], lengths.cumsum()[:-1]])
    times = np.repeat(begun - steps[first], lengths) + steps
    order = np.argsort(times, kind="stable")
    return pl.DataFrame(
        {
            "user_id": np.repeat(np.arange(num_users), lengths)[order],
            "item_id": pl.Series(item_ids).gather(np.minimum(items, len(item_ids) - 1)[order]),
            "timestamp": times[order],
        }
    )


def main() -> None:
    """Write a log."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="Folder of a saved model, whose items are used.")
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--output", required=True, help="Parquet or CSV file.")
    flags = parser.parse_args()
    items = pl.read_parquet(Path(flags.model) / "items.parquet")["item_id"].to_list()
    log = make_log(items, flags.users)
    log.write_csv(flags.output) if flags.output.endswith(".csv") else log.write_parquet(flags.output)
    print(f"{len(log):,} interactions of {flags.users:,} users")


if __name__ == "__main__":
    main()

"""Amazon Reviews 2023: ratings of products in 34 categories (Hub: `McAuley-Lab/Amazon-Reviews-2023`).

Y. Hou et al., "Bridging Language and Items for Retrieval and Recommendation", 2024 (arXiv:2403.03952).

`5core_rating_only` and `0core_rating_only` hold one rating per user and item, the earliest; the former only users and
items with five each. `raw_review` holds all reviews, here without their texts.
"""

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pyarrow as pa
from pyarrow import csv
from tqdm.auto import tqdm

from seqrec.errors import InputError
from seqrec.interactions.cached_sets import INTERACTIONS, ITEMS, require_room, write_parts
from seqrec.interactions.hub_files import hub_file
from seqrec.interactions.one_line import one_line
from seqrec.interactions.public_names import PublicName

__all__ = ["AMAZON_TERMS", "write_amazon_reviews"]

REPOSITORY = "McAuley-Lab/Amazon-Reviews-2023"
AMAZON_TERMS = (
    "made available for research by the McAuley Lab, which assigns no licence "
    "(https://huggingface.co/datasets/McAuley-Lab/Amazon-Reviews-2023)"
)

RATING_TYPES = {"user_id": pa.string(), "parent_asin": pa.string(), "rating": pa.float64(), "timestamp": pa.int64()}
REVIEW_TYPES = {
    "user_id": pl.String(),
    "parent_asin": pl.String(),
    "rating": pl.Float64(),
    "timestamp": pl.Int64(),
    "verified_purchase": pl.Boolean(),
}
# average_rating and rating_number are left out: they count reviews of the future.
META_TYPES = {
    "parent_asin": pl.String(),
    "title": pl.String(),
    "store": pl.String(),
    "main_category": pl.String(),
    "categories": pl.List(pl.String()),
    "price": pl.String(),
}
BLOCK_BYTES = 2**24


def write_amazon_reviews(name: PublicName, folder: Path) -> None:
    """Download the reviews of a category and its items, and write both as Parquet.

    The interactions have `user_id`, `item_id` (the parent ASIN), `rating` and `timestamp` (milliseconds since 1970).
    The items are those with interactions: `item_id`, `title`, `store`, `main_category`, `categories` (separated by `|`)
    and `price`.

    Raises:
        InputError: If a file has other fields than expected, or no disk has room for it.
        HubError: If the Hub refuses.
        HubConnectionError: If it cannot be reached.
    """
    is_raw = name.table == "raw_review"
    of_core = f"benchmark/{name.table.partition('_')[0]}/rating_only/{name.category}.csv"
    file = f"raw/review_categories/{name.category}.jsonl" if is_raw else of_core
    path = hub_file(REPOSITORY, file, name.revision)
    meta = hub_file(REPOSITORY, f"raw/meta_categories/meta_{name.category}.jsonl", name.revision)
    require_room(folder, path.stat().st_size, str(name))
    if is_raw:
        write_reviews(path, folder / INTERACTIONS)
    elif write_parts(ratings_of(path, name), folder / INTERACTIONS) == 0:
        raise changed(path, "no rows")
    occurring = pl.scan_parquet(folder / INTERACTIONS / "*.parquet").select(pl.col("item_id").unique()).collect()
    read_meta(meta, occurring["item_id"]).write_parquet(folder / ITEMS)


def ratings_of(path: Path, name: PublicName) -> Iterator[pl.DataFrame]:
    """Read a file of ratings in batches."""
    read_options = csv.ReadOptions(block_size=BLOCK_BYTES)
    convert_options = csv.ConvertOptions(column_types=RATING_TYPES)
    bar = tqdm(desc=f"Converting {name}", unit="row", unit_scale=True)
    try:
        with bar, csv.open_csv(path, read_options=read_options, convert_options=convert_options) as reader:
            missing = [column for column in RATING_TYPES if column not in reader.schema.names]
            if missing:
                raise changed(path, f"no column {missing[0]}, but {', '.join(reader.schema.names)}")
            for batch in reader:
                table = pl.from_arrow(batch)
                assert isinstance(table, pl.DataFrame)
                bar.update(table.height)
                yield table.select(*RATING_TYPES).rename({"parent_asin": "item_id"})
    except pa.ArrowException as error:
        raise changed(path, one_line(error)) from error


def write_reviews(path: Path, folder: Path) -> None:
    """Convert a file of reviews, without holding it in memory."""
    folder.mkdir()
    target = folder / "part-00000.parquet"
    try:
        table = pl.scan_ndjson(path, schema=REVIEW_TYPES).rename({"parent_asin": "item_id"})
        table.sink_parquet(target)
    except pl.exceptions.PolarsError as error:
        raise changed(path, one_line(error)) from error
    needed = ["user_id", "item_id", "timestamp"]
    missing = pl.scan_parquet(target).select(pl.len(), pl.col(needed).null_count()).collect().row(0, named=True)
    lacking = [column for column in needed if missing["len"] == 0 or missing[column]]
    if lacking:
        raise changed(path, f"{missing[lacking[0]]} of {missing['len']} rows without {lacking[0]}")


def read_meta(path: Path, item_ids: pl.Series) -> pl.DataFrame:
    """Read the metadata of some items, one row each."""
    try:
        table = (
            pl.scan_ndjson(path, schema=META_TYPES)
            .filter(pl.col("parent_asin").is_in(item_ids.implode()))
            .unique("parent_asin", keep="first", maintain_order=True)
            .collect()
        )
    except pl.exceptions.PolarsError as error:
        raise changed(path, one_line(error)) from error
    if table.is_empty() or table["title"].null_count() == table.height:
        raise changed(path, "no titles of the items")
    joined = pl.col("categories").list.join("|")
    return table.select(
        pl.col("parent_asin").alias("item_id"),
        "title",
        "store",
        "main_category",
        pl.when(joined != "").then(joined).alias("categories"),
        pl.col("price").cast(pl.Float64, strict=False),  # some are "from 9.99", or a dash
    )


def changed(path: Path, found: str) -> InputError:
    """Return the error for a file with other content than expected."""
    return InputError(
        f"'{path.name}' of '{REPOSITORY}' cannot be used ({found}). If the data set has changed, give an earlier "
        "commit after the name, as in NAME@COMMIT."
    )

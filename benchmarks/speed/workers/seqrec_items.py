"""Items with features for the workers in this library's environment: the data set's categories, and made-up values."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from seqrec.interactions.item_feature_tables import rows_of_items
from seqrec.interactions.item_features import ItemFeatures
from seqrec.interactions.tokenization_items import ItemTokenizer

VECTOR_SIZE = 384  # that of all-MiniLM-L6-v2, our default for texts


def item_table(folder: str, wanted: Sequence[str], item_ids: pl.Series, seed: int = 42) -> pl.DataFrame:
    """Read a data set's categories of items, and add random numbers (`age`) and directions (`look`)."""
    path = Path(os.environ["SEQREC_DATA_DIR"], folder, "items.csv.gz")
    table = pl.read_csv(path, infer_schema=False)
    rows = rows_of_items(table, item_ids.cast(pl.String), [name for name in wanted if name in table.columns])
    return with_random_values(rows, seed)


def with_random_values(table: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Add random values to items, or replace those that they have."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(len(table), VECTOR_SIZE)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return table.with_columns(age=pl.Series(rng.normal(size=len(table))), look=pl.Series(vectors))


def fit_features(tokenizer: ItemTokenizer, folder: str, wanted: list[str]) -> tuple[ItemFeatures, pl.DataFrame]:
    """Return the features that a model is to read, and the table of items in the order of their token ids."""
    table = item_table(folder, wanted, tokenizer.item_series)
    return ItemFeatures.fit(table, wanted), table


def new_items(table: pl.DataFrame, number: int, seed: int = 43) -> pl.DataFrame:
    """Make new items with the categories of random known ones."""
    drawn = table.sample(number, with_replacement=True, seed=seed)
    return with_random_values(drawn.with_columns(item_id=pl.format("new {}", pl.int_range(number))), seed)

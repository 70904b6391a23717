"""Histories and vocabularies for the workers in this library's environment."""

from typing import Any

import numpy as np
import polars as pl

from seqrec.interactions.histories import Histories
from seqrec.interactions.item_rows import token_ids_of
from seqrec.interactions.sequences import build_histories, build_sequences
from seqrec.interactions.splitting import Split
from seqrec.interactions.tokenization_items import ItemTokenizer

TRAIN, VALIDATION, TEST = 0, 1, 2


def load_training(request: dict[str, Any]) -> tuple[Histories, ItemTokenizer]:
    """Load the training histories of a request, or generate them."""
    if request["data"] is None:
        return synthetic_histories(**request["settings"]["synthetic"])
    table = pl.read_parquet(request["data"])
    train = table.filter(pl.col("part") == TRAIN)
    tokenizer = ItemTokenizer.from_interactions(train, catalogue=table["item_id"])
    return build_histories(train, tokenizer), tokenizer


def load_test(path: str) -> tuple[Histories, ItemTokenizer]:
    """Load the test rows: full histories and their targets."""
    split = load_split(path)
    tokenizer = ItemTokenizer.from_interactions(split.train, catalogue=split.interactions["item_id"])
    return build_sequences(split, tokenizer)["test"], tokenizer


def load_sequences(path: str, newest: int) -> tuple[dict[str, Histories], ItemTokenizer]:
    """Load the rows of all parts, those of training with the `newest` events of each user alone.

    Only the items of these events are known.
    """
    split = load_split(path)
    known = split.train.group_by("user_id", maintain_order=True).tail(newest)
    tokenizer = ItemTokenizer.from_interactions(known)
    sequences = build_sequences(split, tokenizer)
    return {**sequences, "train": newest_events(sequences["train"], newest)}, tokenizer


def newest_events(histories: Histories, number: int) -> Histories:
    """Return views on the newest events of each history."""
    lengths_R = histories.lengths_R.clip(max=number)
    starts_R = histories.starts_R + histories.lengths_R - lengths_R
    return Histories(histories.columns, starts_R, lengths_R, histories.rows)


def load_split(path: str) -> Split:
    """Load all interactions."""
    table = pl.read_parquet(path)
    return Split.from_parts(*(table.filter(pl.col("part") == part) for part in (TRAIN, VALIDATION, TEST)))


def synthetic_histories(num_users: int, num_items: int, length: int, seed: int = 42) -> tuple[Histories, ItemTokenizer]:
    """Generate histories of equal length, with items drawn by Zipf's law."""
    tokenizer = ItemTokenizer.from_item_ids(range(num_items))
    popularity = 1 / np.arange(1, num_items + 1)
    cumulative = popularity.cumsum() / popularity.sum()
    draws = np.random.default_rng(seed).random((num_users, length))
    token_ids = token_ids_of(np.searchsorted(cumulative, draws).clip(max=num_items - 1))
    return Histories.from_lists({"input_ids": list(token_ids.astype(np.int32))}), tokenizer

"""From tables of interactions to sequences of token ids, as Arrow data sets.

Shape suffixes: N interactions, U users, R rows of a data set.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import polars as pl
import pyarrow as pa
from datasets import Dataset, DatasetDict

from seqrec.errors import InputError
from seqrec.interactions.interactions import REQUIRED_COLUMNS, sort_interactions
from seqrec.interactions.splitting import Split
from seqrec.interactions.timestamps import to_plain_numbers
from seqrec.interactions.tokenization_items import ItemTokenizer

CHUNK_ITEMS = 2**24  # items gathered at once: bounds memory, and the 32-bit offsets of Arrow's lists


def build_sequences(split: Split, tokenizer: ItemTokenizer) -> DatasetDict:
    """Encode a split.

    Args:
        split: Training, validation and test interactions.
        tokenizer: The catalogue; items outside it become `<|unk|>`.

    Returns:
        `train`, a row for each user with training interactions: `user_id`, `input_ids` (list of int32, oldest
        first) and `timestamps` (list of numbers; datetimes as whole seconds since 1970, UTC).
        `validation` and `test`, a row for each held-out interaction with a history: the same columns, holding
        all that the user did before, and `target` (int32).

    Raises:
        ValueError: If a user's training interactions are not all before their held-out ones.
    """
    parts = [split.train, split.validation, split.test]
    keys = [part.select(*REQUIRED_COLUMNS, part=pl.lit(index)) for index, part in enumerate(parts)]
    log = EncodedLog.encode(pl.concat(keys), tokenizer)
    require_order(log)
    users_R = np.flatnonzero(log.train_lengths_U)
    rows = {"train": log.histories(log.starts_U[users_R], log.train_lengths_U[users_R])}
    for index, name in ((1, "validation"), (2, "test")):
        rows_R = np.flatnonzero((log.parts_N == index) & (np.arange(len(log.parts_N)) > log.starts_N))
        table = log.histories(log.starts_N[rows_R], rows_R - log.starts_N[rows_R])
        rows[name] = table.append_column("target", pa.array(log.token_ids_N[rows_R]))
    return DatasetDict({name: Dataset(table) for name, table in rows.items()})


def build_histories(interactions: pl.DataFrame, tokenizer: ItemTokenizer) -> Dataset:
    """Encode a table of interactions: one row for each user, with the columns of the training sequences."""
    log = EncodedLog.encode(interactions.select(*REQUIRED_COLUMNS, part=pl.lit(0)), tokenizer)
    return Dataset(log.histories(log.starts_U, log.train_lengths_U))


@dataclass(frozen=True)
class EncodedLog:
    """All interactions in the order of user and time, as flat arrays; histories are slices of them."""

    users_U: pl.Series
    starts_U: np.ndarray  # where each user's interactions begin
    train_lengths_U: np.ndarray  # how many of them, from there, are for training
    token_ids_N: np.ndarray
    timestamps_N: np.ndarray
    parts_N: np.ndarray  # 0 for training, 1 for validation, 2 for test
    user_index_N: np.ndarray
    starts_N: np.ndarray  # where the user of each interaction begins

    @classmethod
    def encode(cls, interactions: pl.DataFrame, tokenizer: ItemTokenizer) -> "EncodedLog":
        """Sort and encode interactions that carry their part."""
        ordered = sort_interactions(interactions)
        runs = ordered["user_id"].rle().struct.unnest()
        lengths_U = runs["len"].cast(pl.Int64).to_numpy()
        user_index_N = np.repeat(np.arange(len(lengths_U)), lengths_U)
        parts_N = ordered["part"].to_numpy()
        starts_U = np.cumsum(lengths_U) - lengths_U
        return cls(
            users_U=runs["value"],
            starts_U=starts_U,
            train_lengths_U=np.bincount(user_index_N[parts_N == 0], minlength=len(lengths_U)),
            token_ids_N=tokenizer.encode_item_ids(ordered["item_id"]).astype(np.int32),
            timestamps_N=to_plain_numbers(ordered["timestamp"]).to_numpy(),
            parts_N=parts_N,
            user_index_N=user_index_N,
            starts_N=starts_U[user_index_N],
        )

    def histories(self, starts_R: np.ndarray, lengths_R: np.ndarray) -> pa.Table:
        """Gather slices of the log into the rows of a table."""
        users = self.users_U.gather(self.user_index_N[starts_R]).to_arrow()
        if not pa.types.is_integer(users.type):
            users = users.cast(pa.string())
        columns = {"input_ids": self.token_ids_N, "timestamps": self.timestamps_N}
        lists = {name: gather_lists(values_N, starts_R, lengths_R) for name, values_N in columns.items()}
        return pa.table({"user_id": users, **lists})


def gather_lists(values_N: np.ndarray, starts_R: np.ndarray, lengths_R: np.ndarray) -> pa.ChunkedArray:
    """Gather slices, which may overlap, into a list column."""
    chunk_R = np.cumsum(lengths_R) // CHUNK_ITEMS
    bounds = [*np.searchsorted(chunk_R, np.unique(chunk_R)).tolist(), len(chunk_R)]
    chunks = []
    for begin, end in pairwise(bounds):
        lengths = lengths_R[begin:end]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        index = np.repeat(starts_R[begin:end] - offsets[:-1], lengths) + np.arange(offsets[-1])
        chunks.append(pa.ListArray.from_arrays(offsets.astype(np.int32), values_N[index]))
    return pa.chunked_array(chunks, type=pa.list_(pa.from_numpy_dtype(values_N.dtype)))


def require_order(log: EncodedLog) -> None:
    """Refuse a split in which a user's parts are out of order in time."""
    same_user_N = log.user_index_N[1:] == log.user_index_N[:-1]
    wrong_N = same_user_N & (log.parts_N[1:] < log.parts_N[:-1])
    if wrong_N.any():
        user = log.users_U[int(log.user_index_N[1:][wrong_N][0])]
        raise InputError(
            f"User '{user}' has training interactions after held-out ones, or validation ones after test "
            "ones. In a split each user's training comes first in time, then validation, then test."
        )

"""Prepare data for training and evaluation: load, filter, split and encode interactions."""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from seqrec.errors import InputError
from seqrec.interactions.catalogue import Catalogue
from seqrec.interactions.events import CategoricalColumn, event_column
from seqrec.interactions.interactions import drop_duplicates, filter_k_core
from seqrec.interactions.prepared_sets import PreparedData, find_prepared
from seqrec.interactions.sequences import build_sequences, further
from seqrec.interactions.sources import load_interactions
from seqrec.interactions.splitting import Split, leave_one_out, temporal
from seqrec.interactions.timestamps import period
from seqrec.interactions.tokenization_items import ItemTokenizer
from seqrec.interactions.unknown_items import report_unknown_items

__all__ = ["HELD_OUT", "SPLIT_FIELDS", "DataArguments", "prepare"]

HELD_OUT = ("validation", "test")
WHERE = {"dataset", "items", "user_id_column", "item_id_column", "timestamp_column", "streaming"}
SPLIT_FIELDS = {"leave_one_out": {"validation_users"}, "temporal": {"validation_fraction", "test_fraction"}}

logger = logging.getLogger(__name__)


@dataclass
class DataArguments:
    """Which interactions to use, and how to filter and split them.

    Raises:
        InputError: If `split_method` is unknown, a field is set that the chosen split does not use, or a minimum is
            below 1.
    """

    dataset: str | None = field(
        default=None,
        metadata={
            "help": "ml-100k, synthetic, a file (CSV, TSV, Parquet, JSONL), a folder with interactions.* and "
            "optionally items.*, or with parts of one table, a data set on the Hub (org/name), or the output of "
            "`seqrec prepare`."
        },
    )
    items: str | None = field(default=None, metadata={"help": "File with item_id and title."})
    user_id_column: str = field(default="user_id", metadata={"help": "Column of the user ids."})
    item_id_column: str = field(default="item_id", metadata={"help": "Column of the item ids."})
    timestamp_column: str = field(default="timestamp", metadata={"help": "Column of the timestamps."})
    streaming: bool = field(default=False, metadata={"help": "Stream a data set from the Hub, without a copy on disk."})
    split_method: Literal["leave_one_out", "temporal"] = field(
        default="leave_one_out",
        metadata={"help": "leave_one_out: test on each user's last item. temporal: test on the latest interactions."},
    )
    validation_users: int | None = field(
        default=None,
        metadata={
            "help": "Number of users whose second-to-last item is for validation; the other users' stays in training "
            "(leave_one_out)."
        },
    )
    validation_fraction: float = field(
        default=0.1, metadata={"help": "Fraction of the interactions for validation (temporal)."}
    )
    test_fraction: float = field(default=0.1, metadata={"help": "Fraction of the interactions for test (temporal)."})
    min_user_interactions: int = field(default=1, metadata={"help": "k-core filter: drop users with fewer."})
    min_item_interactions: int = field(default=1, metadata={"help": "k-core filter: drop items with fewer."})
    duplicates: Literal["keep", "first", "last"] = field(
        default="keep", metadata={"help": "If a user repeats an item, keep all interactions, the first or the last."}
    )

    def __post_init__(self) -> None:
        if self.split_method not in SPLIT_FIELDS:
            raise InputError(f"split_method is {self.split_method!r}. Choose one of: {', '.join(SPLIT_FIELDS)}.")
        for name in ("min_user_interactions", "min_item_interactions"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}={getattr(self, name)} must be at least 1.")
        for field_ in fields(self):
            value = getattr(self, field_.name)
            if field_.name in self.fields_of_other_splits() and value != field_.default:
                raise InputError(
                    f"{field_.name}={value} has no effect in the {self.split_method} split. Leave it out, or choose "
                    "the other split_method."
                )

    def fields_of_other_splits(self) -> set[str]:
        """Return the names of the fields that the chosen split does not use."""
        return set().union(*SPLIT_FIELDS.values()) - SPLIT_FIELDS[self.split_method]

    def protocol(self) -> dict[str, Any]:
        """Return the settings that determine the split, for `metrics.json`, without the location of the data."""
        left_out = WHERE | self.fields_of_other_splits()
        return {name: value for name, value in asdict(self).items() if name not in left_out and value is not None}


def prepare(
    arguments: DataArguments,
    tokenizer: ItemTokenizer | None = None,
    *,
    refuse_unknown: bool = False,
    held_out: Sequence[str] = HELD_OUT,
    event_columns: Sequence[str] = (),
) -> PreparedData:
    """Load, filter, split and encode interactions, or load a prepared set.

    The catalogue contains every item of the table, including those that only occur in held-out rows: the items on offer
    are known in advance, the interactions are not.

    Args:
        arguments: Which data to use, and how to split them.
        tokenizer: The vocabulary of a trained model; built from the interactions if None.
        refuse_unknown: Whether to refuse items outside that vocabulary, as fine-tuning requires. Otherwise they become
            `<|unk|>`, with a warning.
        held_out: The splits that must have rows, of "validation" and "test".
        event_columns: Names of the registered event columns that the model reads in addition to item ids and
            timestamps.

    Raises:
        InputError: If no data set is named, or its name is a mistyped path; if the interactions cannot be used (see the
            functions called); if none of their items is in the vocabulary or, with `refuse_unknown`, one is not; if a
            split in `held_out` has no rows; or if a prepared set does not match the arguments, the model's vocabulary
            or its event columns.
        SavedFolderError: If a prepared set is incomplete or damaged.
        HubError: If the Hub has no such data set, or refuses access.
        HubConnectionError: If the Hub cannot be reached, or fails.
    """
    if arguments.dataset is None:
        raise InputError(
            "No interactions were named. Pass --dataset ml-100k, a file, a folder, or a data set on the Hub."
        )
    if (folder := find_prepared(arguments.dataset)) is not None:
        prepared = load_prepared(folder, arguments, tokenizer, event_columns)
        require_held_out(prepared, held_out)
        return prepared
    columns = {
        "user_id": arguments.user_id_column,
        "item_id": arguments.item_id_column,
        "timestamp": arguments.timestamp_column,
    }
    data = load_interactions(arguments.dataset, columns=columns, items=arguments.items, streaming=arguments.streaming)
    interactions = filter_interactions(data.interactions, arguments)
    split = split_interactions(interactions, arguments)
    train = split.train
    if tokenizer is not None:
        report_unknown_items(split, tokenizer, refuse=refuse_unknown)
    tokenizer = tokenizer or ItemTokenizer.from_interactions(train, catalogue=interactions["item_id"])
    protocol = {
        "dataset": data.name,
        **arguments.protocol(),
        **describe_interactions(interactions),
        "split_sha256": split.sha256(),
    }
    if len(interactions) < len(data.interactions):
        protocol["num_interactions_read"] = len(data.interactions)
    if data.is_on_hub:
        protocol["dataset_is_on_hub"] = True
    if data.terms:
        protocol["dataset_terms"] = data.terms
    items = Catalogue.from_interactions(train, tokenizer, data.items)
    prepared = PreparedData(build_sequences(split, tokenizer, event_columns), tokenizer, items, protocol)
    require_held_out(prepared, held_out)
    return prepared


def filter_interactions(interactions: pl.DataFrame, arguments: DataArguments) -> pl.DataFrame:
    """Drop repeats and rare users and items, as the arguments say, and log how many were dropped."""
    kept = interactions
    if arguments.duplicates != "keep":
        kept = drop_duplicates(kept, keep=arguments.duplicates)
    repeats = len(interactions) - len(kept)
    if max(arguments.min_user_interactions, arguments.min_item_interactions) > 1:
        kept = filter_k_core(
            kept,
            min_user_interactions=arguments.min_user_interactions,
            min_item_interactions=arguments.min_item_interactions,
        )
    if len(kept) < len(interactions):
        counts = {"user_id": "users", "item_id": "items"}
        before, after = (table.select(pl.col(*counts).n_unique()).row(0) for table in (interactions, kept))
        logger.warning(  # as a warning, so that it is always shown
            "Filters dropped %s of %s interactions (%s of them repeats), %s of %s users and %s of %s items.",
            *(f"{number:,}" for number in (len(interactions) - len(kept), len(interactions), repeats)),
            *(f"{number:,}" for all_, left in zip(before, after, strict=True) for number in (all_ - left, all_)),
        )
    return kept


def require_held_out(data: PreparedData, splits: Sequence[str]) -> None:
    """Refuse data with nothing to train on or to evaluate.

    Args:
        data: The prepared data.
        splits: The splits that must have rows, of "validation" and "test".

    Raises:
        InputError: If there are no training interactions, or no held-out interaction of a split has a history.
    """
    if len(data.sequences["train"]) == 0:
        raise InputError(f"'{data.protocol['dataset']}' has no training interactions. Choose another split.")
    for split in splits:
        if len(data.sequences[split]) == 0:
            raise InputError(
                f"No {split} interaction of '{data.protocol['dataset']}' has a history, so there is nothing to "
                f"evaluate ({data.protocol['split_method']} split). Use data with longer histories, larger fractions, "
                "or another split_method."
            )


def load_prepared(
    folder: Path, arguments: DataArguments, tokenizer: ItemTokenizer | None, event_columns: Sequence[str] = ()
) -> PreparedData:
    """Load a prepared set, and refuse one that does not match the arguments, the vocabulary or the columns."""
    defaults = DataArguments()
    for name in WHERE - {"dataset"}:
        if getattr(arguments, name) != getattr(defaults, name):
            raise InputError(
                f"'{arguments.dataset}' is a prepared set, on which {name}={getattr(arguments, name)} has no effect: "
                f"its items are already encoded. Leave --{name} out, or prepare the interactions again."
            )
    data = PreparedData.load(folder)
    for name, value in arguments.protocol().items():
        made = data.protocol.get(name)
        if value not in (made, getattr(defaults, name)):
            raise InputError(
                f"'{arguments.dataset}' was prepared with {name}={made}, not {value}. Leave the flag out, or prepare "
                "the interactions again."
            )
    if tokenizer is not None and not tokenizer.item_series.equals(data.tokenizer.item_series):
        raise InputError(
            f"'{arguments.dataset}' was prepared with another vocabulary ({data.tokenizer.num_items:,} items) than the "
            f"model's ({tokenizer.num_items:,} items). Pass the original interactions instead."
        )
    require_event_columns(data, event_columns)
    return data


def require_event_columns(data: PreparedData, names: Sequence[str]) -> None:
    """Refuse a prepared set that lacks an event column, or in which it was encoded differently."""
    held = data.sequences["train"].columns
    for name in further(names):
        column = event_column(name)
        advice = f"Prepare the interactions again with event_columns={list(names)}."
        if name not in held:
            raise InputError(
                f"'{data.protocol['dataset']}' was prepared without the column {name}, which the model reads for each "
                f"event. {advice}"
            )
        num_codes = column.num_codes if isinstance(column, CategoricalColumn) else np.inf
        if held[name].dtype != column.dtype or (held[name] >= num_codes).any():
            raise InputError(f"The column {name} of '{data.protocol['dataset']}' was encoded differently. {advice}")


def describe_interactions(interactions: pl.DataFrame) -> dict[str, Any]:
    """Return the numbers of users, items and interactions, the density and, if timestamps are real times, the period.

    Density is the fraction of all pairs of a user and an item that have interacted.
    """
    num_items = interactions["item_id"].n_unique()
    items_of_users = interactions.group_by("user_id").agg(pl.col("item_id").n_unique())["item_id"]
    found = {
        "num_users": len(items_of_users),
        "num_items": num_items,
        "num_interactions": len(interactions),
        "density": items_of_users.sum() / (len(items_of_users) * num_items),
    }
    days = period(interactions["timestamp"])
    return found if days is None else {**found, "period": [day.isoformat() for day in days]}


def split_interactions(interactions: pl.DataFrame, arguments: DataArguments) -> Split:
    """Split as the arguments say."""
    if arguments.split_method == "temporal":
        return temporal(
            interactions,
            validation_fraction=arguments.validation_fraction,
            test_fraction=arguments.test_fraction,
        )
    return leave_one_out(interactions, validation_users=arguments.validation_users)

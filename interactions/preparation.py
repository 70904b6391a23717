"""The whole way from a data set's name to sequences, the same for training and for evaluation."""

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

HELD_OUT = ("validation", "test")
WHERE = {"dataset", "items", "user_id_column", "item_id_column", "timestamp_column", "streaming"}
SPLIT_FIELDS = {"leave_one_out": {"validation_users"}, "temporal": {"validation_fraction", "test_fraction"}}

logger = logging.getLogger(__name__)


@dataclass
class DataArguments:
    """Which interactions, and how they are split.

    Raises:
        ValueError: If there is no such `split_method`, or a field is given that means nothing to the chosen one.
    """

    dataset: str | None = field(
        default=None,
        metadata={
            "help": "ml-100k, synthetic, a file (CSV, TSV, Parquet, JSONL), a folder with interactions.* and perhaps "
            "items.*, or with parts of one table, a data set of the Hub (org/name), or what `seqrec prepare` made."
        },
    )
    items: str | None = field(default=None, metadata={"help": "File with item_id and title."})
    user_id_column: str = field(default="user_id", metadata={"help": "Column of the user ids."})
    item_id_column: str = field(default="item_id", metadata={"help": "Column of the item ids."})
    timestamp_column: str = field(default="timestamp", metadata={"help": "Column of the timestamps."})
    streaming: bool = field(
        default=False, metadata={"help": "Read a data set of the Hub as it arrives, without a copy on disk."}
    )
    split_method: Literal["leave_one_out", "temporal"] = field(
        default="leave_one_out",
        metadata={"help": "leave_one_out: each user's last item is for testing. temporal: the last stretch of time."},
    )
    validation_users: int | None = field(
        default=None,
        metadata={"help": "Users whose last but one item validates; the others learn from it (leave_one_out)."},
    )
    validation_fraction: float = field(default=0.1, metadata={"help": "Share of interactions (temporal split)."})
    test_fraction: float = field(default=0.1, metadata={"help": "Share of interactions (temporal split)."})
    min_user_interactions: int = field(default=1, metadata={"help": "k-core filter: drop users with fewer."})
    min_item_interactions: int = field(default=1, metadata={"help": "k-core filter: drop items with fewer."})
    duplicates: Literal["keep", "first", "last"] = field(
        default="keep", metadata={"help": "Of a user's repeats of one item, keep all, the first or the last."}
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
                    f"{field_.name}={value} means nothing to the split {self.split_method}. Leave it out, or choose "
                    "the other split_method."
                )

    def fields_of_other_splits(self) -> set[str]:
        """Name the fields that mean nothing to the chosen split."""
        return set().union(*SPLIT_FIELDS.values()) - SPLIT_FIELDS[self.split_method]

    def protocol(self) -> dict[str, Any]:
        """What decides the split, for `metrics.json`; where the files lay does not."""
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
    """Load, filter, split and encode interactions; or load what was prepared before.

    The catalogue is every item of the table, also those that only occur in held-out rows: what there is to
    recommend is known beforehand, who takes it is not.

    Args:
        arguments: Which data, and how to split them.
        tokenizer: The vocabulary of a trained model; built from the interactions if None.
        refuse_unknown: Whether items outside that vocabulary are refused, as training a model on needs it;
            they are `<|unk|>` otherwise, with a warning.
        held_out: Which of "validation" and "test" must have rows.
        event_columns: Names of the registered event columns that the model reads besides item ids and timestamps.

    Raises:
        InputError: If no data set is named or the name is a mistyped path; if the interactions cannot be used (see the
            functions called), none of their items is in the vocabulary, or, with `refuse_unknown`, one is not; if a
            part of `held_out` has no rows; or if a set was prepared in another way than the arguments say, with
            another vocabulary than the model's, or without its event columns.
        SavedFolderError: If a prepared set is incomplete or damaged.
        HubError: If the Hub has no such data set, or refuses.
        HubConnectionError: If the Hub cannot be reached, or fails.
    """
    if arguments.dataset is None:
        raise InputError("Name the interactions: --dataset ml-100k, a file, a folder, or a data set of the Hub.")
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
    if data.is_on_hub:
        protocol["dataset_is_on_hub"] = True
    if data.terms:
        protocol["dataset_terms"] = data.terms
    items = Catalogue.from_interactions(train, tokenizer, data.items)
    prepared = PreparedData(build_sequences(split, tokenizer, event_columns), tokenizer, items, protocol)
    require_held_out(prepared, held_out)
    return prepared


def filter_interactions(interactions: pl.DataFrame, arguments: DataArguments) -> pl.DataFrame:
    """Drop repeats and what is rare, as the arguments say, and tell what was dropped."""
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
        logger.warning(  # a notice, which everybody sees
            "Filters dropped %s of %s interactions (%s of them repeats), %s of %s users and %s of %s items.",
            *(f"{number:,}" for number in (len(interactions) - len(kept), len(interactions), repeats)),
            *(f"{number:,}" for all_, left in zip(before, after, strict=True) for number in (all_ - left, all_)),
        )
    return kept


def require_held_out(data: PreparedData, splits: Sequence[str]) -> None:
    """Refuse data that leave nothing to measure on.

    Args:
        data: What was prepared.
        splits: Which of "validation" and "test" must have rows.

    Raises:
        ValueError: If there is nothing to learn from, or a split has no rows: no held-out interaction has a history.
    """
    if len(data.sequences["train"]) == 0:
        raise InputError(f"'{data.protocol['dataset']}' has no training interactions.")
    for split in splits:
        if len(data.sequences[split]) == 0:
            raise InputError(
                f"No {split} interaction of '{data.protocol['dataset']}' is of a user who did something before, so "
                f"there is nothing to measure on ({data.protocol['split_method']} split). Give longer histories, "
                "larger fractions, or another split_method."
            )


def load_prepared(
    folder: Path, arguments: DataArguments, tokenizer: ItemTokenizer | None, event_columns: Sequence[str] = ()
) -> PreparedData:
    """Load a prepared set, and refuse it where it is not what is wanted."""
    defaults = DataArguments()
    for name in WHERE - {"dataset"}:
        if getattr(arguments, name) != getattr(defaults, name):
            raise InputError(
                f"'{arguments.dataset}' is a prepared set, for which {name}={getattr(arguments, name)} means nothing: "
                f"it holds its items, encoded. Leave --{name} out, or prepare the interactions again."
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
            f"model's ({tokenizer.num_items:,} items). Name the interactions themselves, which are then encoded again."
        )
    require_event_columns(data, event_columns)
    return data


def require_event_columns(data: PreparedData, names: Sequence[str]) -> None:
    """Refuse a prepared set without an event column, or in which it was encoded in another way than now."""
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
            raise InputError(f"The column {name} of '{data.protocol['dataset']}' was encoded otherwise. {advice}")


def describe_interactions(interactions: pl.DataFrame) -> dict[str, Any]:
    """Tell how many interactions there are, how dense, and, where timestamps are real times, from when.

    Density is the share of all pairs of a user and an item that have interacted.
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

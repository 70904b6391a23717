"""Prepare data for training and evaluation: load, filter, split and encode interactions."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from seqrec.errors import InputError
from seqrec.interactions.catalogue import Catalogue
from seqrec.interactions.data_arguments import HELD_OUT, WHERE, DataArguments
from seqrec.interactions.derived_labels import derive_labels
from seqrec.interactions.described import describe
from seqrec.interactions.impressions import separate_impressions
from seqrec.interactions.interactions import drop_duplicates, filter_k_core
from seqrec.interactions.item_feature_tables import fit_features
from seqrec.interactions.item_features import ItemFeatures
from seqrec.interactions.large_sources import require_one_frame
from seqrec.interactions.official_splits import official_split, outside_gaps
from seqrec.interactions.one_line import one_line
from seqrec.interactions.prepared_fit import require_event_columns, require_held_out, require_real_times
from seqrec.interactions.prepared_sets import PreparedData, find_prepared
from seqrec.interactions.sequences import build_sequences
from seqrec.interactions.sources import load_interactions
from seqrec.interactions.splitting import Split, leave_one_out, temporal
from seqrec.interactions.timestamps import unit_of_column
from seqrec.interactions.tokenization_items import ItemTokenizer
from seqrec.interactions.unknown_items import GrowingVocabulary, report_unknown_items, rows_of_unknown_items

__all__ = [
    "items_on_offer",
    "prepare",
    "read_features",
    "report_filters",
    "require_read_texts",
]


logger = logging.getLogger(__name__)


def prepare(
    arguments: DataArguments,
    tokenizer: ItemTokenizer | None = None,
    *,
    interactions: Any = None,
    items: Any = None,
    remembered: Mapping[str, str] | None = None,
    refuse_unknown: bool = False,
    growing: GrowingVocabulary | None = None,
    earlier_features: ItemFeatures | None = None,
    held_out: Sequence[str] = HELD_OUT,
    event_columns: Sequence[str] = (),
) -> PreparedData:
    """Load, filter, split and encode interactions, or load a prepared set.

    The catalogue contains every item of the table, including those that only occur in held-out rows: the items on offer
    are known in advance, the interactions are not. With `arguments.item_features`, it also contains the items of the
    items table that occur in no interaction.

    Args:
        arguments: Which data to use, and how to split them.
        tokenizer: The vocabulary of a trained model; built from the interactions if None.
        interactions: A frame of pandas, polars, pyarrow or `datasets`, instead of `arguments.dataset`.
        items: A frame with `item_id` and `title`, instead of `arguments.items`.
        remembered: Names of the columns of the table that the model was trained on; see `read_interactions`.
        refuse_unknown: Whether to refuse items outside that vocabulary, as fine-tuning requires. Otherwise they become
            `<|unk|>`, with a warning.
        growing: The vocabulary of a trained model, instead of `tokenizer`, to which unknown items are added, also those
            of the table of items without interactions.
        earlier_features: The item features of a model of another catalogue, as which features of the same name and kind
            are read; see `ItemFeatures.fit`.
        held_out: The splits that must have rows, of "validation" and "test".
        event_columns: Names of the event columns that the model reads in addition to item ids, and of the labels that
            it predicts. With `timestamps`, those of the data must be times. With `click`, rows whose click is 0 are
            impressions, which are no part of histories; see `add_impressions`.

    Raises:
        InputError: If there is no data set, or both a named one and a frame; if the name is a mistyped path; if the
            interactions or the item features cannot be used (see the functions called); if none of their items is in
            the vocabulary or, with `refuse_unknown`, one is not; if a split in `held_out` has no rows; if the model
            reads times and the timestamps are none; or if a prepared set does not match the
            arguments, the model's vocabulary or its event columns.
        SavedFolderError: If a prepared set is incomplete or damaged.
        HubError: If the Hub has no such data set, or refuses access.
        HubConnectionError: If the Hub cannot be reached, or fails.
    """
    tokenizer = tokenizer if growing is None else growing.tokenizer
    require_one_source(arguments, interactions, items)
    require_new_features(arguments, tokenizer)
    require_read_texts(arguments, growing)
    if arguments.dataset is not None and (folder := find_prepared(arguments.dataset)) is not None:
        if items is not None:
            raise InputError(f"'{arguments.dataset}' is a prepared set, which has its own items. Leave items out.")
        prepared = load_prepared(folder, arguments, tokenizer, event_columns)
        require_fit(prepared, held_out, event_columns)
        return prepared
    if interactions is None:
        require_one_frame(arguments.dataset)
    data = load_interactions(
        arguments.dataset if interactions is None else interactions,
        columns=arguments.columns,
        remembered=remembered,
        items=arguments.items if items is None else items,
        item_features=arguments.item_features or (growing.wanted_columns if growing else ()),
        streaming=arguments.streaming,
    )
    labelled = derive_labels(data.interactions, arguments.derive)
    events, impressions = separate_impressions(labelled, event_columns)
    data = replace(data, interactions=events)
    kept = filter_interactions(data.interactions, arguments)
    split = split_interactions(kept, arguments)
    if growing is not None:
        tokenizer = with_unknown_items(growing, split, data.items)
    if tokenizer is not None:
        report_unknown_items(split, tokenizer, refuse=refuse_unknown)
    tokenizer = tokenizer or ItemTokenizer.from_interactions(
        split.train, catalogue=items_on_offer(kept, data.items, arguments)
    )
    catalogue = Catalogue.from_interactions(split.train, tokenizer, data.items)
    features, feature_values = read_features(data.items, catalogue, arguments, earlier_features)
    by_time = arguments.split_method != "leave_one_out"
    sequences = build_sequences(split, tokenizer, event_columns, impressions=impressions, by_time=by_time)
    prepared = PreparedData(
        sequences,
        tokenizer,
        catalogue,
        describe(data, kept, split, arguments.protocol(), sequences),
        features,
        feature_values,
    )
    require_fit(prepared, held_out, event_columns)
    unit = unit_of_column(kept["timestamp"])
    if "timestamps" in event_columns and kept["timestamp"].dtype.is_numeric() and unit != "seconds":
        logger.warning("The numbers in the column timestamp are read as %s since 1970.", unit)
    return prepared


def require_fit(data: PreparedData, held_out: Sequence[str], event_columns: Sequence[str]) -> None:
    """Refuse data that the model cannot be trained or evaluated on."""
    require_held_out(data, held_out)
    if "timestamps" in event_columns:
        require_real_times(data)


def require_one_source(arguments: DataArguments, interactions: Any, items: Any) -> None:
    """Require one source of interactions, and at most one of items."""
    if arguments.dataset is None and interactions is None:
        raise InputError(
            "No interactions were given. Pass a frame, or name a file, a folder, or a data set on the Hub."
        )
    for name, named, frame in (("dataset", arguments.dataset, interactions), ("items", arguments.items, items)):
        if named is not None and frame is not None:
            raise InputError(f"Both {name}={named!r} and a frame were given. Leave one out.")
    if arguments.streaming and interactions is not None:
        raise InputError("streaming=True has no effect on a frame. Leave it out.")


def require_new_features(arguments: DataArguments, tokenizer: ItemTokenizer | None) -> None:
    """Refuse item features for a trained model, which has its own."""
    if arguments.item_features is not None and tokenizer is not None:
        raise InputError(
            f"item_features='{one_line(arguments.item_features)}' has no effect on a trained model, which keeps the "
            "features that it was trained with. Leave it out."
        )


def require_read_texts(arguments: DataArguments, growing: GrowingVocabulary | None) -> None:
    """Refuse a model for texts if no texts are read."""
    if arguments.item_text_model is not None and arguments.item_features is None and growing is None:
        raise InputError(
            f"item_text_model='{arguments.item_text_model}' has no effect without item_features. Leave it out, or name "
            "the columns of the items to read."
        )


def with_unknown_items(growing: GrowingVocabulary, split: Split, items: pl.DataFrame | None) -> ItemTokenizer:
    """Add the items that a vocabulary lacks, if there are any, and return it."""
    new = rows_of_unknown_items(split, growing.tokenizer, items)
    if len(new):
        growing.add(new)
    return growing.tokenizer


def items_on_offer(interactions: pl.DataFrame, items: pl.DataFrame | None, arguments: DataArguments) -> pl.Series:
    """Return the ids of the catalogue: those that occur, possibly repeated, and with features all of the table."""
    if arguments.item_features is None or items is None:
        return interactions["item_id"]
    occurring = interactions["item_id"].cast(pl.String).unique(maintain_order=True)
    cold = items["item_id"].filter(~items["item_id"].is_in(occurring.implode()))
    if len(cold) == len(items):
        raise InputError(
            f"The table of items has none of the {len(occurring):,} items of the interactions (first: "
            f"'{occurring[0]}'; the table's first: '{cold[0]}'). Write the ids the same way in both."
        )
    if len(cold):
        logger.warning(
            "%s of %s items of the table do not occur in the interactions used. The model knows them by their "
            "features.",
            f"{len(cold):,}",
            f"{len(items):,}",
        )
    return pl.concat([occurring, cold])


def read_features(
    items: pl.DataFrame | None,
    catalogue: Catalogue,
    arguments: DataArguments,
    earlier: ItemFeatures | None = None,
) -> tuple[ItemFeatures | None, dict[str, np.ndarray]]:
    """Return the item features that the arguments name, and their values; None and no values if they name none."""
    if arguments.item_features is None:
        return None, {}
    if items is None:
        raise InputError(
            f"item_features='{one_line(arguments.item_features)}' needs a table of items, but the data have none. Give "
            "one as items."
        )
    return fit_features(
        items,
        arguments.item_features,
        catalogue.frame["item_id"],
        is_trained=catalogue.counts > 0,
        text_model=arguments.item_text_model,
        earlier=earlier,
    )


def filter_interactions(interactions: pl.DataFrame, arguments: DataArguments) -> pl.DataFrame:
    """Drop repeats, interactions in gaps of the split, and rare users and items; log how many were dropped."""
    kept = interactions
    if arguments.duplicates != "keep":
        kept = drop_duplicates(kept, keep=arguments.duplicates)
    repeats = len(interactions) - len(kept)
    if (is_kept := outside_gaps(arguments)) is not None:
        kept = kept.filter(is_kept)
    if max(arguments.min_user_interactions, arguments.min_item_interactions) > 1:
        kept = filter_k_core(
            kept,
            min_user_interactions=arguments.min_user_interactions,
            min_item_interactions=arguments.min_item_interactions,
        )
    if len(kept) < len(interactions):
        before, after = (
            (len(table), *table.select(pl.col("user_id", "item_id").n_unique()).row(0))
            for table in (interactions, kept)
        )
        report_filters(before, after, repeats)
    return kept


def report_filters(before: tuple[int, int, int], after: tuple[int, int, int], repeats: int) -> None:
    """Log how many interactions, users and items filters have dropped, given their numbers before and after."""
    (all_, *others), (left, *others_left) = before, after
    logger.warning(  # as a warning, so that it is always shown
        "Filters dropped %s of %s interactions (%s of them repeats), %s of %s users and %s of %s items.",
        *(f"{number:,}" for number in (all_ - left, all_, repeats)),
        *(f"{number:,}" for all_, left in zip(others, others_left, strict=True) for number in (all_ - left, all_)),
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


def split_interactions(interactions: pl.DataFrame, arguments: DataArguments) -> Split:
    """Split as the arguments say."""
    if arguments.split_method == "official":
        return official_split(interactions, arguments.dataset)
    if arguments.split_method == "temporal":
        return temporal(
            interactions,
            validation_fraction=arguments.validation_fraction,
            test_fraction=arguments.test_fraction,
        )
    return leave_one_out(interactions, validation_users=arguments.validation_users)

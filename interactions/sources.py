"""Load a data set by its name: named sets, files, folders or the Hub; or from a frame."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
from datasets import Dataset, IterableDataset, load_dataset, load_dataset_builder
from datasets.exceptions import DatasetNotFoundError, DatasetsError

from seqrec.errors import HubError, InputError, SeqrecError
from seqrec.interactions.column_names import possible_columns
from seqrec.interactions.hub_errors import explain
from seqrec.interactions.interactions import read_with_names
from seqrec.interactions.item_tables import read_items, warn_of_untitled
from seqrec.interactions.locations import NAMED_SETS, SUFFIXES, is_hub_name, local_path, similar, table_suffix
from seqrec.interactions.movielens import ml_100k_folder
from seqrec.interactions.one_line import one_line
from seqrec.interactions.public_sets import find_public_set
from seqrec.interactions.synthetic import synthetic_interactions, synthetic_items
from seqrec.interactions.table_parts import read_parts

__all__ = ["InteractionData", "downloaded", "find_table", "load_interactions", "table_name"]

TERMS = {  # terms of use of named sets
    "ml-100k": "for research; neither redistributed nor used for profit without GroupLens' permission "
    "(https://files.grouplens.org/datasets/movielens/ml-100k-README.txt)",
}


@dataclass(frozen=True)
class InteractionData:
    """Interactions and, if known, a table of their items.

    Attributes:
        name: Name of the data set in metrics and model cards; None for a frame.
        interactions: An interactions table.
        items: `item_id` (text), `title` (text, if known) and other columns, one row per item; or None.
        terms: Terms of use of the data; None if unknown.
        is_on_hub: Whether `name` is a repository on the Hub.
        columns: The names of the table's columns that differ from ours: our name → the table's.
    """

    name: str | None
    interactions: pl.DataFrame
    items: pl.DataFrame | None
    terms: str | None = None
    is_on_hub: bool = False
    columns: Mapping[str, str] = field(default_factory=dict)


def load_interactions(
    dataset: Any,
    *,
    columns: Mapping[str, str] | None = None,
    remembered: Mapping[str, str] | None = None,
    items: Any = None,
    item_features: str | Sequence[str] = (),
    streaming: bool = False,
) -> InteractionData:
    """Load interactions by the name of a data set, or from a frame.

    Args:
        dataset: `ml-100k`, `synthetic` or a public set such as `ml-20m`, `yambda-50m:likes` or
            `amazon-2023:Video_Games`, which is downloaded when first used (see `parse_public_name`); a CSV, TSV,
            Parquet or JSON file; a folder with `interactions.*` and optionally `items.*`, or with parts of one table; a
            data set on the Hub (`org/name`, or `org/name:train+test` to choose splits); or a frame.
        columns: Maps our column names to the table's; see `read_interactions`.
        remembered: The same for the table that a model was trained on; see `read_interactions`.
        items: File or frame with `item_id` and `title`; replaces the data set's own.
        item_features: Columns of the items to be read as features; see `read_items`.
        streaming: Whether to stream a data set from the Hub, without keeping a copy of its files.

    Raises:
        InputError: If the file or folder does not exist, or its tables cannot be used.
        HubError: If the Hub has no such data set, or refuses access.
        HubConnectionError: If the Hub cannot be reached, or fails.
    """
    possible = possible_columns(columns, remembered)
    found = locate(dataset, text_columns=[*possible["user_id"], *possible["item_id"]], streaming=streaming)
    items = found.items if items is None else items
    interactions, own_names = read_with_names(found.interactions, columns=columns, remembered=remembered)
    data = InteractionData(
        name=found.name,
        interactions=interactions,
        items=None if items is None else read_items(items, columns=own_names, features=item_features),
        terms=found.terms,
        is_on_hub=found.is_on_hub,
        columns=own_names,
    )
    if data.items is not None:
        warn_of_untitled(data.interactions["item_id"], data.items)
    return data


@dataclass(frozen=True)
class Located:
    """A data set that was found: its name, its interactions and items as files or frames, and its terms of use."""

    name: str | None
    interactions: Any
    items: Any = None
    is_on_hub: bool = False
    terms: str | None = None


def locate(dataset: Any, *, text_columns: Sequence[str], streaming: bool) -> Located:
    """Find a data set; a name that cannot be a Hub repository is never looked up there."""
    if not isinstance(dataset, str | Path):
        return Located(None, dataset)
    if dataset == "synthetic":
        return Located("synthetic", synthetic_interactions(), synthetic_items())
    if dataset == "ml-100k":
        return downloaded("ml-100k", "MovieLens 100K", ml_100k_folder(), TERMS["ml-100k"])
    if (public := find_public_set(dataset)) is not None:
        public.require_one_table()
        return downloaded(str(public.name), str(public.name), public.folder(), public.terms)
    path = local_path(dataset)
    if os.path.isdir(path):  # Path.is_dir raises on names that are too long
        name, interactions = path.resolve().name, find_table(path, "interactions")
        if interactions is not None:
            return Located(name, interactions, find_table(path, "items"))
        return Located(name, path)
    if table_suffix(path) or os.path.exists(path):
        return Located(table_name(path), path)
    before_colon, _, split = str(path).rpartition(":")
    if before_colon and os.path.isdir(before_colon):
        folder = Path(before_colon)
        return Located(folder.resolve().name, read_parts(folder, split=split, text_columns=text_columns))
    if not is_hub_name(str(dataset)):
        raise InputError(
            f"There is no file or folder '{one_line(dataset)}', and a data set on the Hub has a name such as org/name."
            f"{similar(path)}"
        )
    table = load_hub_table(str(dataset), text_columns=text_columns, streaming=streaming)
    return Located(str(dataset).partition(":")[0], table, is_on_hub=True)


def downloaded(name: str, title: str, folder: Path, terms: str) -> Located:
    """Find the tables of a named set in the folder that it is kept in."""
    interactions = find_table(folder, "interactions")
    if interactions is None:
        raise InputError(
            f"'{folder}' holds no interactions ({', '.join('interactions' + suffix for suffix in SUFFIXES)}). Put "
            f"them there, or remove the folder to download {title}."
        )
    return Located(name, interactions, find_table(folder, "items"), terms=terms)


def find_table(folder: Path, stem: str) -> Path | None:
    """Return the table of this name in a folder, which may be a file or a folder of parts; None if it has none."""
    paths = [folder / f"{stem}{suffix}" for suffix in SUFFIXES]
    return next((path for path in paths if path.exists()), None)


def table_name(path: Path) -> str:
    """Name a data set after its file, or after the folder if the file is just called interactions."""
    stem = path.name.removesuffix(table_suffix(path) or "")
    return path.resolve().parent.name if stem == "interactions" else stem


def kind_of(error: Exception) -> type[SeqrecError]:
    """Return the class of error to raise for an error of `datasets`, which wraps those of the Hub's client."""
    trouble = explain(error)
    if trouble is not None:
        return trouble.kind
    return HubError if isinstance(error, DatasetNotFoundError) else InputError


def load_hub_table(
    dataset: str, *, text_columns: Sequence[str] = (), streaming: bool = False
) -> Dataset | IterableDataset:
    """Load a data set from the Hub.

    From CSV files, `text_columns` are read as text even if they look like numbers ("007" stays "007").
    """
    name, _, split = dataset.partition(":")
    try:
        is_csv = hasattr(load_dataset_builder(name).config, "converters")
        options = {"converters": dict.fromkeys(text_columns, str)} if is_csv else {}
        loaded = load_dataset(name, split=split or None, streaming=streaming, **options)
    except (OSError, ValueError, DatasetsError, pa.ArrowException) as error:
        raise kind_of(error)(
            f"'{dataset}' is neither a named set ({', '.join(NAMED_SETS)}) nor a file or folder with "
            f"interactions.* here, and could not be loaded as a data set on the Hub: {one_line(error)}"
        ) from error
    if isinstance(loaded, Dataset | IterableDataset):
        return loaded
    if len(loaded) > 1:
        names = list(loaded)
        raise InputError(
            f"The data set '{name}' has the splits {', '.join(names)}. Name the ones to use, such as "
            f"'{name}:{names[0]}' or '{name}:{'+'.join(names)}'; seqrec makes its own training and test parts."
        )
    (only,) = loaded.values()
    return only

"""Finding a data set by its name: named sets, files, folders, the Hub, or a frame at hand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from datasets import Dataset, IterableDataset, load_dataset, load_dataset_builder

from seqrec.data.interactions import read_interactions, require_ids, require_no_nulls
from seqrec.data.movielens import ml_100k_folder
from seqrec.data.synthetic import synthetic_interactions, synthetic_items
from seqrec.data.table_files import SUFFIXES, read_table, table_suffix

NAMED_SETS = ("ml-100k", "synthetic")
TERMS = {  # on which named sets may be used
    "ml-100k": "for research; neither redistributed nor used for profit without GroupLens' permission "
    "(https://files.grouplens.org/datasets/movielens/ml-100k-README.txt)",
}


@dataclass(frozen=True)
class InteractionData:
    """Interactions and, where known, what their items are called.

    Attributes:
        name: What to call the data set, in metrics and model cards.
        interactions: An interactions table.
        items: `item_id` (text), `title` (text, where known) and other columns, one row an item; or None.
        terms: On what terms the data may be used; None where that is not known.
        is_on_hub: Whether `name` is that of a repository on the Hub.
    """

    name: str
    interactions: pl.DataFrame
    items: pl.DataFrame | None
    terms: str | None = None
    is_on_hub: bool = False


def load_interactions(
    dataset: Any, *, columns: Mapping[str, str] | None = None, items: Any = None, streaming: bool = False
) -> InteractionData:
    """Load interactions from wherever they are.

    Args:
        dataset: `ml-100k` or `synthetic`; a CSV, Parquet or JSONL file; a folder with `interactions.*` and
            perhaps `items.*`; a data set of the Hub (`org/name`, or `org/name:train+test` to choose splits);
            or a frame.
        columns: The table's own names for ours, as in `read_interactions`.
        items: File or frame with `item_id` and `title`; goes before what the data set itself holds.
        streaming: Whether to read a data set of the Hub as it arrives, without keeping a copy of its files.

    Raises:
        ValueError: If there is no such data set, it cannot be downloaded, or its tables cannot be used.
    """
    name, table, own_items = locate(dataset, columns=columns or {}, streaming=streaming)
    items = own_items if items is None else items
    return InteractionData(
        name=name,
        interactions=read_interactions(table, columns=columns),
        items=None if items is None else read_items(items, columns=columns),
        terms=TERMS.get(dataset) if isinstance(dataset, str) else None,
        is_on_hub="/" in name and not Path(name).is_dir(),  # names of files, folders and sets have no slash
    )


def read_items(source: Any, *, columns: Mapping[str, str] | None = None) -> pl.DataFrame:
    """Read a table of items: `item_id` (or its name in `columns`), maybe `title`, and any other columns.

    Raises:
        ValueError: If there is no `item_id`, or an id is missing, unusable or occurs twice.
    """
    own_name = (columns or {}).get("item_id", "item_id")
    table = read_table(source, text_columns=["item_id", own_name, "title"])
    if "item_id" not in table.columns and own_name in table.columns:
        table = table.rename({own_name: "item_id"})
    if "item_id" not in table.columns:
        raise ValueError(f"The items have no column 'item_id'. They have: {', '.join(table.columns)}.")
    require_no_nulls(table["item_id"])
    ids = require_ids(table["item_id"]).cast(pl.String)
    repeated = ids.filter(ids.is_duplicated())
    if len(repeated):
        raise ValueError(
            f"{repeated.n_unique()} items have more than one row in the table of items (first: "
            f"'{repeated[0]}'). Keep one row for each."
        )
    return table.with_columns(ids)


def locate(dataset: Any, *, columns: Mapping[str, str], streaming: bool) -> tuple[str, Any, Any]:
    """Return a data set's name, its interactions, and its items (or None), as files or frames."""
    if not isinstance(dataset, str | Path):
        return "frame", dataset, None
    if dataset == "synthetic":
        return "synthetic", synthetic_interactions(), synthetic_items()
    if dataset == "ml-100k":
        folder = ml_100k_folder()
        interactions = find_table(folder, "interactions")
        if interactions is None:
            raise ValueError(
                f"'{folder}' holds no interactions ({', '.join('interactions' + suffix for suffix in SUFFIXES)}). Put "
                "them there, or remove the folder to have MovieLens 100K downloaded."
            )
        return "ml-100k", interactions, find_table(folder, "items")
    path = Path(dataset).expanduser()
    interactions = find_table(path, "interactions")
    if interactions is not None:
        return path.resolve().name, interactions, find_table(path, "items")
    if table_suffix(path) or path.is_file():
        return table_name(path), path, None
    id_columns = [columns.get(name, name) for name in ("user_id", "item_id")]
    table = load_hub_table(str(dataset), text_columns=id_columns, streaming=streaming)
    return str(dataset).partition(":")[0], table, None


def find_table(folder: Path, stem: str) -> Path | None:
    """Return the table of this name in a folder, if it holds one."""
    paths = [folder / f"{stem}{suffix}" for suffix in SUFFIXES]
    return next((path for path in paths if path.is_file()), None)


def table_name(path: Path) -> str:
    """Name a data set after its file, or after the folder if the file is just called interactions."""
    stem = path.name.removesuffix(table_suffix(path) or "")
    return path.resolve().parent.name if stem == "interactions" else stem


def load_hub_table(
    dataset: str, *, text_columns: Sequence[str] = (), streaming: bool = False
) -> Dataset | IterableDataset:
    """Load a data set of the Hub, or a local folder that `datasets` can read.

    Where it is kept as CSV, `text_columns` are text whatever they look like ("007" stays "007"), as in files.
    """
    name, _, split = dataset.partition(":")
    try:
        is_csv = hasattr(load_dataset_builder(name).config, "converters")
        options = {"converters": dict.fromkeys(text_columns, str)} if is_csv else {}
        loaded = load_dataset(name, split=split or None, streaming=streaming, **options)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"'{dataset}' is neither a named set ({', '.join(NAMED_SETS)}) nor a file or folder with "
            f"interactions.* here, and could not be loaded as a data set of the Hub: {error}"
        ) from error
    if isinstance(loaded, Dataset | IterableDataset):
        return loaded
    if len(loaded) > 1:
        names = list(loaded)
        raise ValueError(
            f"The data set '{name}' has the splits {', '.join(names)}. Say which to use, such as "
            f"'{name}:{names[0]}' or '{name}:{'+'.join(names)}'; the train and test parts are made here."
        )
    (only,) = loaded.values()
    return only

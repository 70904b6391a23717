"""A table in many files: folders as Spark, `datasets` and others write them."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from seqrec.errors import InputError
from seqrec.interactions.one_line import one_line
from seqrec.interactions.table_files import read_file, table_suffix

DEEPEST, MOST_ENTRIES = 3, 20_000  # how far a folder is searched for parts
# Endings that other things than tables have too: these must be named as Spark names its parts.
AMBIGUOUS = (".txt", ".dat", ".json", ".txt.gz", ".dat.gz", ".json.gz")
SPLITS = {
    "train": "train|training",
    "validation": "validation|valid|val|dev",
    "test": "test|testing|eval|evaluation",
}


def read_parts(folder: Path, *, split: str | None = None, text_columns: Sequence[str] = ()) -> pl.DataFrame:
    """Read all tables of a folder as one.

    Files and folders whose names begin with a dot or an underscore, as Spark's `_SUCCESS`, are passed over.

    Args:
        folder: A folder with tables, also in its subfolders.
        split: Which of the splits that the files are named after, such as "train" or "train+test".
        text_columns: As in `read_table`.

    Returns:
        The rows in the order of the files' names.

    Raises:
        ValueError: If there are none, they differ in their columns, or cannot be read; if they are named after splits
            and none is chosen, or there is no such split.
    """
    tables = {path: read_part(path, text_columns) for path in chosen_parts(folder, split)}
    tables = {path: table for path, table in tables.items() if table.height} or tables
    (first, expected), *others = tables.items()
    for path, table in others:
        if set(table.columns) != set(expected.columns):
            raise InputError(
                f"'{path}' and '{first}' differ in their columns ({one_line(', '.join(table.columns))}; and "
                f"{one_line(', '.join(expected.columns))}). Expected parts of one table in '{folder}'."
            )
    try:
        return pl.concat([table.select(expected.columns) for table in tables.values()], how="vertical_relaxed")
    except pl.exceptions.PolarsError as error:
        raise InputError(f"The parts in '{folder}' do not make one table: {one_line(error)}.") from error


def read_part(path: Path, text_columns: Sequence[str]) -> pl.DataFrame:
    """Read one part; empty files, as Spark writes for empty partitions, have no columns."""
    return read_file(path, text_columns) if path.stat().st_size else pl.DataFrame()


def chosen_parts(folder: Path, split: str | None) -> list[Path]:
    """Choose a folder's parts by their split."""
    parts = sorted(find_parts(folder))
    if not parts:
        raise InputError(
            f"The folder '{folder}' holds no tables. Expected interactions.csv (or .tsv, .parquet, .jsonl, …), or "
            "parts of one table."
        )
    by_split: dict[str, list[Path]] = {}
    for path in parts:
        by_split.setdefault(split_of(path.relative_to(folder)), []).append(path)
    by_split = {name: by_split[name] for name in (*SPLITS, "") if name in by_split}
    if split is None:
        if len(by_split) == 1:
            return parts
        names = [name for name in by_split if name] or ["train"]
        raise InputError(
            f"The data set '{folder.name}' has the splits {', '.join(name or 'other' for name in by_split)}. Say which "
            f"to use, such as '{folder}:{names[0]}' or '{folder}:{'+'.join(names)}'; the train and test parts are made "
            "here."
        )
    missing = [name for name in split.split("+") if name not in by_split]
    if missing:
        raise InputError(
            f"The folder '{folder}' has no split '{missing[0]}'. It has: {', '.join(filter(None, by_split)) or 'none'}."
        )
    return [path for name in split.split("+") for path in by_split[name]]


def split_of(path: Path) -> str:
    """Tell the split that a part's name, or a folder's on the way, names; empty if none."""
    for part in (path.name, *map(str, path.parent.parts)):
        for split, words in SPLITS.items():
            if re.search(rf"(?<![a-z])({words})(?![a-z])", part.lower()):
                return split
    return ""


def find_parts(folder: Path) -> Iterator[Path]:
    """Find the tables in a folder.

    Raises:
        ValueError: If it is the root of all folders, holds too much, or may not be read.
    """
    if folder.resolve() == Path(folder.resolve().anchor):
        raise InputError(f"'{folder}' is the root of the file system. Name the folder that holds the interactions.")
    waiting, seen = [(folder, 0)], 0
    while waiting:
        current, depth = waiting.pop()
        try:
            entries = [path for path in current.iterdir() if not path.name.startswith((".", "_"))]
        except OSError as error:
            raise InputError(f"The folder '{current}' cannot be read: {one_line(error)}.") from error
        seen += len(entries)
        if seen > MOST_ENTRIES:
            raise InputError(f"'{folder}' holds more than {MOST_ENTRIES:,} files. Name the folder of the interactions.")
        for path in entries:
            if path.is_dir() and not path.is_symlink() and depth < DEEPEST:
                waiting.append((path, depth + 1))
            elif is_part(path) and path.is_file():
                yield path


def is_part(path: Path) -> bool:
    """Tell whether a file is part of a table by its name."""
    suffix = table_suffix(path)
    return suffix is not None and (suffix not in AMBIGUOUS or path.name.startswith("part-"))

"""Read a table split over many files, as Spark, `datasets` and others write it."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from seqrec.errors import InputError
from seqrec.interactions.locations import table_suffix
from seqrec.interactions.one_line import one_line
from seqrec.interactions.table_files import read_file

__all__ = ["chosen_parts", "read_parts"]

DEEPEST, MOST_ENTRIES = 3, 20_000  # levels and entries searched for parts
# Extensions that are not only used for tables: such files count as parts only if they are named the way Spark does.
AMBIGUOUS = (".txt", ".dat", ".json", ".txt.gz", ".dat.gz", ".json.gz")
SPLITS = {
    "train": "train|training",
    "validation": "validation|valid|val|dev",
    "test": "test|testing|eval|evaluation",
}


def read_parts(folder: Path, *, split: str | None = None, text_columns: Sequence[str] = ()) -> pl.DataFrame:
    """Read all tables in a folder as one.

    Skips files and folders whose names begin with a dot or an underscore, such as Spark's `_SUCCESS`.

    Args:
        folder: A folder with tables, possibly in subfolders.
        split: Which split to read where files are named after splits, such as "train" or "train+test".
        text_columns: See `read_table`.

    Returns:
        The rows, ordered by file name.

    Raises:
        InputError: If the folder holds no tables, or they differ in columns or cannot be read; if they are named after
            splits and `split` is None, or names a split that does not exist.
    """
    tables = {path: read_part(path, text_columns) for path in chosen_parts(folder, split)}
    tables = {path: table for path, table in tables.items() if table.height} or tables
    (first, expected), *others = tables.items()
    for path, table in others:
        if set(table.columns) != set(expected.columns):
            raise InputError(
                f"'{path}' and '{first}' have different columns ({one_line(', '.join(table.columns))}; and "
                f"{one_line(', '.join(expected.columns))}). All files in '{folder}' must be parts of one table."
            )
    try:
        return pl.concat([table.select(expected.columns) for table in tables.values()], how="vertical_relaxed")
    except pl.exceptions.PolarsError as error:
        raise InputError(f"The parts in '{folder}' cannot be combined into one table: {one_line(error)}.") from error


def read_part(path: Path, text_columns: Sequence[str]) -> pl.DataFrame:
    """Read one part. An empty file, which Spark writes for an empty partition, gives a table without columns."""
    return read_file(path, text_columns) if path.stat().st_size else pl.DataFrame()


def chosen_parts(folder: Path, split: str | None) -> list[Path]:
    """List the files of the chosen split."""
    parts = sorted(find_parts(folder))
    if not parts:
        raise InputError(
            f"The folder '{folder}' contains no tables. Expected interactions.csv (or .tsv, .parquet, .jsonl, …), or "
            "the parts of one table."
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
            f"The data set '{folder.name}' has the splits {', '.join(name or 'other' for name in by_split)}. Choose "
            f"one or more, such as '{folder}:{names[0]}' or '{folder}:{'+'.join(names)}'; seqrec then makes its own "
            "train and test splits."
        )
    missing = [name for name in split.split("+") if name not in by_split]
    if missing:
        raise InputError(
            f"The folder '{folder}' has no split '{missing[0]}'. It has: {', '.join(filter(None, by_split)) or 'none'}."
        )
    return [path for name in split.split("+") for path in by_split[name]]


def split_of(path: Path) -> str:
    """Return the split that a file, or a folder above it, is named after; an empty string if none."""
    for part in (path.name, *map(str, path.parent.parts)):
        for split, words in SPLITS.items():
            if re.search(rf"(?<![a-z])({words})(?![a-z])", part.lower()):
                return split
    return ""


def find_parts(folder: Path) -> Iterator[Path]:
    """Find the tables in a folder.

    Raises:
        InputError: If the folder is the root of the file system, holds too many files, or cannot be read.
    """
    if folder.resolve() == Path(folder.resolve().anchor):
        raise InputError(f"'{folder}' is the root of the file system. Give the folder that holds the interactions.")
    waiting, seen = [(folder, 0)], 0
    while waiting:
        current, depth = waiting.pop()
        try:
            entries = [path for path in current.iterdir() if not path.name.startswith((".", "_"))]
        except OSError as error:
            raise InputError(f"The folder '{current}' cannot be read: {one_line(error)}.") from error
        seen += len(entries)
        if seen > MOST_ENTRIES:
            raise InputError(
                f"'{folder}' holds more than {MOST_ENTRIES:,} files. Give the folder that holds the interactions."
            )
        for path in entries:
            if path.is_dir() and not path.is_symlink() and depth < DEEPEST:
                waiting.append((path, depth + 1))
            elif is_part(path) and path.is_file():
                yield path


def is_part(path: Path) -> bool:
    """Return whether a file's name marks it as part of a table."""
    suffix = table_suffix(path)
    return suffix is not None and (suffix not in AMBIGUOUS or path.name.startswith("part-"))

"""Divide a table of interactions that may not fit in memory into parts that do, each with all rows of its users.

Shape suffix: P parts.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from seqrec.errors import InputError
from seqrec.interactions.column_names import choose_columns, possible_columns
from seqrec.interactions.locations import local_path, table_suffix
from seqrec.interactions.one_line import one_line
from seqrec.interactions.table_files import read_file
from seqrec.interactions.table_parts import chosen_parts

__all__ = ["first_rows", "num_rows_of", "partition_by_user", "table_files"]

BATCH_ROWS = 500_000  # rows of a Parquet file held at once
FIRST_ROWS = 100
SAMPLE_ROWS = 100_000  # users drawn to find the bounds of the parts

Names = Mapping[str, str] | None


def table_files(source: str | Path) -> list[Path]:
    """Return the files of a table: the file itself, or the parts in a folder.

    Raises:
        InputError: If a folder holds no tables.
    """
    path = Path(local_path(source))
    return chosen_parts(path, None) if path.is_dir() else [path]


def num_rows_of(files: Sequence[Path]) -> int | None:
    """Return the number of rows of Parquet files, which they tell; None if it takes reading them.

    Raises:
        InputError: If a file is damaged.
    """
    if not all(table_suffix(path) == ".parquet" and path.is_file() for path in files):
        return None
    return sum(open_parquet(path).metadata.num_rows for path in files)


def first_rows(files: Sequence[Path]) -> pl.DataFrame:
    """Return some rows of a table, the first ones.

    Raises:
        InputError: If a file cannot be read.
    """
    return next(batches_of(files[0], ())).head(FIRST_ROWS)


def partition_by_user(
    files: Sequence[Path],
    folder: Path,
    num_parts: int,
    *,
    columns: Names = None,
    remembered: Names = None,
) -> list[Path]:
    """Write the rows of a table to parts, by ranges of user ids.

    The parts hold about the same number of rows, each in the order of the table; all rows of a user are in one part.
    Parquet files are read in batches, others one by one, so that memory is bounded.

    Args:
        files: The table's files, all with the same columns.
        folder: Where the parts are written, as Parquet files.
        num_parts: P, the number of parts; fewer are written if there are fewer users.
        columns: Other names of the table's columns; see `read_interactions`.
        remembered: Names in the training table; see `read_interactions`.

    Returns:
        The parts, in the order of their users.

    Raises:
        InputError: If a file cannot be read, has other columns than the first one, or has no column of users, or a user
            id is missing.
    """
    bounds = find_bounds(files, num_parts, columns, remembered)
    paths = [folder / f"users-{part:05d}.parquet" for part in range(len(bounds) + 1)]
    writers: dict[int, pq.ParquetWriter] = {}
    with ExitStack() as stack:
        for table, user in user_batches(files, columns, remembered):
            parts = bounds.search_sorted(user, side="right").to_numpy() if len(bounds) else np.zeros(len(table), int)
            for part in np.unique(parts).tolist():
                own = table.filter(pl.Series(parts == part)).to_arrow()
                if part not in writers:
                    writers[part] = stack.enter_context(pq.ParquetWriter(paths[part], own.schema))
                writers[part].write_table(own)
    return [path for part, path in enumerate(paths) if part in writers]


def find_bounds(files: Sequence[Path], num_parts: int, columns: Names, remembered: Names) -> pl.Series:
    """Return the first user of each part but the first, by a sample of the rows."""
    random, sample, num_rows = np.random.default_rng(0), [], 0
    for _, user in user_batches(files, columns, remembered):
        num_rows += len(user)
        share = min(1.0, SAMPLE_ROWS / num_rows)
        sample.append(user.filter(pl.Series(random.random(len(user)) < share)))
    users = pl.concat(sample).sort()
    places = (np.arange(1, num_parts) * len(users)) // num_parts
    return users[places].unique().sort() if len(users) else users


def user_batches(files: Sequence[Path], columns: Names, remembered: Names) -> Iterator[tuple[pl.DataFrame, pl.Series]]:
    """Read a table in batches; yield the rows and their users."""
    schema: pl.Schema | None = None
    text_columns = [own for name in ("user_id", "item_id") for own in possible_columns(columns, remembered)[name]]
    for path in files:
        for table in batches_of(path, text_columns):
            schema = schema or table.schema
            if table.schema != schema:
                raise InputError(
                    f"'{path}' has the columns {one_line(str(dict(table.schema)))}, and '{files[0]}' has "
                    f"{one_line(str(dict(schema)))}. All files must be parts of one table."
                )
            name = choose_columns(table.columns, columns, remembered)["user_id"]
            if name not in table.columns:
                raise InputError(
                    f"The table has no column '{name}'. It has: {one_line(', '.join(table.columns))}. Use `columns` "
                    "(--user_id_column) to name the right one."
                )
            if table[name].null_count():
                raise InputError(f"{table[name].null_count()} rows of '{path}' have no user_id. Fill them in.")
            user = table[name]
            yield table, user.cast(pl.String) if isinstance(user.dtype, pl.Categorical | pl.Enum) else user


def batches_of(path: Path, text_columns: Sequence[str]) -> Iterator[pl.DataFrame]:
    """Read a file: in batches if it is a Parquet file, else as a whole."""
    if table_suffix(path) != ".parquet":
        yield read_file(path, text_columns)
        return
    for batch in open_parquet(path).iter_batches(BATCH_ROWS):
        table = pl.from_arrow(batch)
        assert isinstance(table, pl.DataFrame)
        yield table


def open_parquet(path: Path) -> pq.ParquetFile:
    """Open a Parquet file."""
    try:
        return pq.ParquetFile(path)
    except (OSError, ValueError) as error:  # ArrowInvalid is a ValueError
        raise InputError(f"'{path}' could not be read as parquet: {one_line(error)}.") from error

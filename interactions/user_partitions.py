"""Divide a table of interactions that may not fit in memory into parts that do, each with all rows of its users.

Shape suffix: P parts.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from seqrec.errors import InputError
from seqrec.interactions.column_names import choose_columns, possible_columns
from seqrec.interactions.locations import local_path, table_suffix
from seqrec.interactions.one_line import one_line
from seqrec.interactions.table_parts import chosen_parts
from seqrec.interactions.table_streams import TableStream, open_parquet, open_table

__all__ = ["Advance", "UserTables", "UsersPart", "num_rows_of", "table_files"]

FIRST_ROWS = 100
SAMPLE_ROWS = 100_000  # users drawn to find the bounds of the parts

Names = Mapping[str, str] | None
Advance = Callable[[int], object]


@dataclass(frozen=True)
class UsersPart:
    """A part of a table: a file, and the number of its users."""

    path: Path
    num_users: int


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


class UserTables:
    """The files of a table, read twice: once for their types and a sample of their users, and once to be divided.

    Memory is bounded, except for files that can only be read as a whole; see `open_table`.

    Args:
        files: The table's files, all with the same columns.
        columns: Other names of the table's columns; see `read_interactions`.
        remembered: Names in the training table; see `read_interactions`.
        advance: Called with the number of rows of each batch that was read.

    Raises:
        InputError: If a file cannot be read, has other columns than the first one, or has no column of users, or a user
            id is missing.
    """

    def __init__(
        self,
        files: Sequence[Path],
        *,
        columns: Names = None,
        remembered: Names = None,
        advance: Advance = lambda num_rows: None,
    ) -> None:
        self.files, self.columns, self.remembered = files, columns, remembered
        self.num_rows, sample = 0, []
        possible = possible_columns(columns, remembered)
        text_columns = [own for name in ("user_id", "item_id") for own in possible[name]]
        self.tables: list[TableStream] = []
        random = np.random.default_rng(0)
        for path in files:
            table = open_table(path, text_columns)
            for user in table.users(self.user_column(table)):
                require_users(path, user)
                self.num_rows += len(user)
                share = min(1.0, SAMPLE_ROWS / max(1, self.num_rows))
                sample.append(comparable(user.filter(pl.Series(random.random(len(user)) < share))))
                advance(len(user))
            self.tables.append(table)
            self.require_same_columns(path, table)
        self.sample = pl.concat(sample).sort()

    def user_column(self, table: TableStream) -> str:
        """Return the name of a table's column of users."""
        name = choose_columns(table.columns, self.columns, self.remembered)["user_id"]
        if name not in table.columns:
            raise InputError(
                f"The table has no column '{name}'. It has: {one_line(', '.join(table.columns))}. Use `columns` "
                "(--user_id_column) to name the right one."
            )
        return name

    def require_same_columns(self, path: Path, table: TableStream) -> None:
        """Refuse a table that has other columns than the first one."""
        first = self.tables[0].schema
        if table.schema != first:
            raise InputError(
                f"'{path}' has the columns {one_line(str(dict(table.schema)))}, and '{self.files[0]}' has "
                f"{one_line(str(dict(first)))}. All files must be parts of one table."
            )

    def first_rows(self) -> pl.DataFrame:
        """Return some rows of the table, the first ones."""
        return next(self.tables[0].batches()).head(FIRST_ROWS)

    def divide(self, folder: Path, num_parts: int, advance: Advance = lambda num_rows: None) -> list[UsersPart]:
        """Write the rows of the table to parts, by ranges of user ids.

        The parts hold about the same number of rows, each in the order of the table; all rows of a user are in one
        part.

        Args:
            folder: Where the parts are written, as Parquet files.
            num_parts: P, the number of parts; fewer are written if there are fewer users.
            advance: Called with the number of rows of each batch that was divided.

        Returns:
            The parts, in the order of their users.
        """
        bounds = self.bounds(num_parts)
        paths = [folder / f"users-{part:05d}.parquet" for part in range(len(bounds) + 1)]
        writers: dict[int, pq.ParquetWriter] = {}
        with ExitStack() as stack:
            for table in self.batches():
                user = comparable(table[self.user_column(self.tables[0])])
                parts = bounds.search_sorted(user, side="right").to_numpy() if len(bounds) else np.zeros(len(user), int)
                for part in np.unique(parts).tolist():
                    own = table.filter(pl.Series(parts == part)).to_arrow()
                    if part not in writers:
                        writers[part] = stack.enter_context(pq.ParquetWriter(paths[part], own.schema))
                    writers[part].write_table(own)
                advance(len(table))
        return [UsersPart(paths[part], self.num_users(paths[part])) for part in sorted(writers)]

    def batches(self) -> Iterator[pl.DataFrame]:
        """Read all rows in batches."""
        return (batch for table in self.tables for batch in table.batches())

    def bounds(self, num_parts: int) -> pl.Series:
        """Return the first user of each part but the first, by the sample."""
        places = (np.arange(1, num_parts) * len(self.sample)) // num_parts
        return self.sample[places].unique().sort() if len(self.sample) else self.sample

    def num_users(self, part: Path) -> int:
        """Return the number of users in a part."""
        return pl.read_parquet(part, columns=[self.user_column(self.tables[0])]).to_series().n_unique()


def require_users(path: Path, user: pl.Series) -> None:
    """Refuse users that are missing."""
    if user.null_count():
        raise InputError(f"{user.null_count()} rows of '{path}' have no user_id. Fill them in.")


def comparable(user: pl.Series) -> pl.Series:
    """Return users as text or numbers."""
    return user.cast(pl.String) if isinstance(user.dtype, pl.Categorical | pl.Enum) else user

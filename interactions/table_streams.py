"""Read the files of a table of any size in batches."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import polars as pl
import pyarrow.parquet as pq

from seqrec.errors import InputError
from seqrec.interactions.delimited_chunks import DelimitedFile
from seqrec.interactions.one_line import one_line
from seqrec.interactions.table_files import JSON, SEPARATED, explained_reading, read_file, require_table_file
from seqrec.interactions.text_encodings import is_gzip, read_head

__all__ = [
    "BATCH_ROWS",
    "ParquetTable",
    "TableStream",
    "open_parquet",
    "open_table",
]

BATCH_ROWS = 500_000  # rows held at once, where a batch is not a number of bytes


class TableStream(Protocol):
    """A file with a table, read in batches; the types are those of reading it as a whole."""

    columns: list[str]

    def users(self, name: str) -> Iterator[pl.Series]:
        """Yield a column in batches. Afterwards, the schema is known."""
        ...

    @property
    def schema(self) -> pl.Schema:
        """The columns and their types."""
        ...

    def batches(self) -> Iterator[pl.DataFrame]:
        """Yield all rows in batches."""
        ...


class ParquetTable:
    """A Parquet file, read in batches."""

    def __init__(self, path: Path) -> None:
        self.file = open_parquet(path)
        empty = pl.from_arrow(self.file.schema_arrow.empty_table())
        assert isinstance(empty, pl.DataFrame)
        self.schema = empty.schema
        self.columns = empty.columns

    def users(self, name: str) -> Iterator[pl.Series]:
        """See `TableStream`."""
        return (table[name] for table in self.read([name]))

    def batches(self) -> Iterator[pl.DataFrame]:
        """See `TableStream`."""
        return self.read(None)

    def read(self, columns: list[str] | None) -> Iterator[pl.DataFrame]:
        """Read some or all columns."""
        for batch in self.file.iter_batches(BATCH_ROWS, columns=columns):
            table = pl.from_arrow(batch)
            assert isinstance(table, pl.DataFrame)
            yield table


class LazyTable:
    """A table that polars reads as a stream."""

    def __init__(self, lazy: pl.LazyFrame) -> None:
        self.lazy = lazy
        self.schema = lazy.collect_schema()
        self.columns = self.schema.names()

    def users(self, name: str) -> Iterator[pl.Series]:
        """See `TableStream`."""
        return (table[name] for table in batches_of(self.lazy.select(name)))

    def batches(self) -> Iterator[pl.DataFrame]:
        """See `TableStream`."""
        return batches_of(self.lazy)


class WholeTable:
    """A file that can only be read as a whole."""

    def __init__(self, path: Path, text_columns: Sequence[str]) -> None:
        self.path, self.text_columns = path, text_columns
        self.schema = next(self.batches()).schema
        self.columns = self.schema.names()

    def users(self, name: str) -> Iterator[pl.Series]:
        """See `TableStream`."""
        return (table[name] for table in self.batches())

    def batches(self) -> Iterator[pl.DataFrame]:
        """See `TableStream`."""
        yield read_file(self.path, self.text_columns)


class ExplainedTable:
    """A table whose errors of reading name the file."""

    def __init__(self, path: Path, suffix: str, table: TableStream) -> None:
        self.path, self.suffix, self.table = path, suffix, table
        self.columns = table.columns

    @property
    def schema(self) -> pl.Schema:
        """See `TableStream`."""
        return self.table.schema

    def users(self, name: str) -> Iterator[pl.Series]:
        """See `TableStream`."""
        with explained_reading(self.path, self.suffix):
            yield from self.table.users(name)

    def batches(self) -> Iterator[pl.DataFrame]:
        """See `TableStream`."""
        with explained_reading(self.path, self.suffix):
            yield from self.table.batches()


def open_table(path: Path, text_columns: Sequence[str] = ()) -> TableStream:
    """Open a table file for reading in batches.

    Parquet, delimited text and JSON with one object per line are read in bounded memory, JSON only if it is neither
    compressed nor of another encoding than UTF-8. Other files are read as a whole.

    Args:
        path: The file.
        text_columns: See `read_file`.

    Raises:
        InputError: See `read_file`.
    """
    suffix = require_table_file(path)
    kind = suffix.removesuffix(".gz")
    with explained_reading(path, suffix):
        if kind == ".parquet":
            return ParquetTable(path)
        if kind in SEPARATED:
            return ExplainedTable(path, suffix, DelimitedFile(path, text_columns, SEPARATED[kind]))
        if kind in JSON and has_lines(path):
            return ExplainedTable(path, suffix, LazyTable(pl.scan_ndjson(path, infer_schema_length=None)))
    return WholeTable(path, text_columns)


def has_lines(path: Path) -> bool:
    """Return whether a JSON file is plain UTF-8 with one object per line."""
    head = read_head(path)
    is_plain = head.encoding == "utf-8" and not head.has_old_line_ends and not is_gzip(path)
    return is_plain and not head.content.lstrip().startswith(b"[")


def batches_of(lazy: pl.LazyFrame) -> Iterator[pl.DataFrame]:
    """Collect a stream in batches, in the order of its rows."""
    yield from lazy.collect_batches(chunk_size=BATCH_ROWS, maintain_order=True)


def open_parquet(path: Path) -> pq.ParquetFile:
    """Open a Parquet file."""
    try:
        return pq.ParquetFile(path)
    except (OSError, ValueError) as error:  # ArrowInvalid is a ValueError
        raise InputError(f"'{path}' could not be read as parquet: {one_line(error)}.") from error

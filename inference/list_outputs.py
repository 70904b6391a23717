"""Where lists of recommendations are written: one file, or a folder of shards."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from seqrec.errors import InputError
from seqrec.interactions.one_line import one_line
from seqrec.interactions.whole_files import PART_PREFIX, whole_file

__all__ = ["ListOutput", "names_folder", "write_table"]

FORMATS = (".parquet", ".csv", ".jsonl")


def names_folder(output: str | Path) -> bool:
    """Return whether an output is a folder: its name ends in "/", or it exists and has no name of a file."""
    if str(output).endswith(("/", os.sep)):
        return True
    return os.path.isdir(output) and Path(output).suffix.lower() not in FORMATS


@dataclass(frozen=True)
class ListOutput:
    """One file, or a folder of Parquet shards.

    Attributes:
        path: The file or folder.
        is_folder: Whether it is a folder.
    """

    path: Path
    is_folder: bool

    @classmethod
    def of(cls, output: str | Path) -> "ListOutput":
        """Return an output by its name.

        Raises:
            InputError: If it is a file of an unknown format.
        """
        if names_folder(output):
            return cls(Path(output), is_folder=True)
        if Path(output).suffix.lower() not in FORMATS:
            raise InputError(f"The output '{output}' must end in one of {', '.join(FORMATS)}, or in '/' for a folder.")
        return cls(Path(output), is_folder=False)

    @property
    def work(self) -> Path:
        """The folder in which parts lie until all are done, on the same disk."""
        return self.path / ".parts" if self.is_folder else Path(f"{self.path}.parts")

    def list_part(self, number: int) -> Path:
        """Return the file for the lists of one part: in a folder, a shard of the result."""
        return self.path / f"part-{number:05d}.parquet" if self.is_folder else self.work / f"lists-{number:05d}.parquet"

    def require_empty(self) -> None:
        """Raise an `InputError` if it is a folder with files; hidden ones don't count."""
        if self.is_folder and self.path.is_dir():
            found = sorted(path.name for path in self.path.iterdir() if not path.name.startswith("."))
            if found:
                raise InputError(
                    f"The folder '{self.path}' already holds {found[0]!r}, but nothing of an interrupted run with this "
                    "table, model and options. Empty it, or choose another."
                )

    def make_work_folder(self) -> None:
        """Make the folder of the parts, and that of the shards.

        Raises:
            InputError: If they cannot be created.
        """
        try:
            if self.is_folder:
                self.path.mkdir(exist_ok=True)
            self.work.mkdir(exist_ok=True)
        except OSError as error:
            raise InputError(f"'{self.work}' could not be created: {one_line(error)}.") from error

    def remove_leftovers(self) -> None:
        """Remove files that a process was writing when it was killed."""
        for folder in (self.work, *([self.path] if self.is_folder else [])):
            for path in folder.glob(f"{PART_PREFIX}*.parquet"):
                path.unlink(missing_ok=True)

    def write_only(self, table: pa.Table) -> None:
        """Write a table that is not divided."""
        if self.is_folder:
            self.require_empty()
            try:
                self.path.mkdir(exist_ok=True)
            except OSError as error:
                raise InputError(f"'{self.path}' could not be created: {one_line(error)}.") from error
        write_tables([table], table.schema, self.list_part(0) if self.is_folder else self.path)

    def put_together(self, parts: list[Path]) -> None:
        """Write the lists of all parts to one file; shards stay as they are."""
        if not self.is_folder:
            write_tables(map(pq.read_table, parts), pq.read_schema(parts[0]), self.path)


def write_table(frame: pl.DataFrame, path: Path) -> None:
    """Write a Parquet file atomically."""
    with whole_file(path) as new:
        frame.write_parquet(new)


def write_tables(tables: Iterable[pa.Table], schema: pa.Schema, output: Path) -> None:
    """Write tables one after the other, in the format given by the file's extension."""
    kind = output.suffix.lower()
    with whole_file(output) as new:
        if kind == ".parquet":
            with pq.ParquetWriter(new, schema, compression="zstd") as writer:
                for table in tables:
                    writer.write_table(table)
            return
        with new.open("wb") as file:
            for place, table in enumerate(tables):
                frame = pl.from_arrow(table)
                assert isinstance(frame, pl.DataFrame)
                if kind == ".csv":
                    frame.with_columns(listing_as_text(frame)).write_csv(file, include_header=place == 0)
                else:
                    frame.write_ndjson(file)


def listing_as_text(frame: pl.DataFrame) -> list[pl.Series]:
    """Return columns of lists as text with "|", as CSV holds no lists."""
    return [
        column.cast(pl.List(pl.String)).list.join("|", ignore_nulls=True)
        for column in frame.get_columns()
        if isinstance(column.dtype, pl.List | pl.Array)
    ]

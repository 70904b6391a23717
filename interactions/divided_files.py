"""Divide a table by users on many workers, file by file, with the same result as dividing it in one process.

A worker writes the rows of one file of the table as a piece: an Arrow file whose batches each belong to one part. The
items have codes of the piece's own; when all pieces are there, they are numbered as the whole table numbers them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import polars as pl
import pyarrow as pa

from seqrec.interactions.derived_labels import derive_labels
from seqrec.interactions.divided_tables import Divided, by_user, part_name, read_arrow, write_arrow
from seqrec.interactions.seconds import count_units
from seqrec.interactions.table_streams import ParquetTable, TableStream, open_table
from seqrec.interactions.table_survey import Survey, batches
from seqrec.interactions.user_partitions import Advance
from seqrec.interactions.whole_files import whole_file
from seqrec.interactions.work_folder import Work
from seqrec.interactions.workers import Workers, run_steps

__all__ = ["Places", "divide_files", "read_places", "remove_pieces"]

Places = Mapping[str, Sequence[int]]  # of a part: the pieces with rows of it, as text, and their batches


@dataclass(frozen=True)
class Piece:
    """What is known of a piece.

    Attributes:
        num_rows: Its rows.
        parts: The part of each batch.
        units: Numbers of timestamps by unit; see `count_units`.
    """

    num_rows: int
    parts: list[int]
    units: dict[str, int]


@dataclass(frozen=True)
class FileDivision:
    """Writes the rows of one file of a table as a piece.

    Attributes:
        work: Where to write.
        table: The table.
        bounds: The first user of each part but the first.
        derive: Labels to derive; see `derive_labels`.
    """

    work: Work
    table: Survey
    bounds: pl.Series
    derive: Sequence[str] | None

    def __call__(self, task: tuple[int, TableStream | None]) -> int:
        """Write the piece of the file with this index, and its items in the order of their codes; return its rows."""
        index, stream = task
        path = self.table.files[index]
        one = replace(
            self.table, files=[path], streams=[stream or open_table(path)], num_rows=[self.table.num_rows[index]]
        )
        items = pl.Categories.random()
        alive = pl.Series([], dtype=pl.Categorical(items))  # polars forgets the codes of categories without a column
        parts: list[int] = []
        counts: list[dict[str, int]] = []
        writer = None
        with whole_file(self.work.path(piece_name(index))) as new, pa.OSFile(str(new), "wb") as sink:
            for batch in batches(one):
                labelled = derive_labels(batch, self.derive)
                coded = labelled.with_columns(pl.col("item_id").cast(pl.Categorical(items)).to_physical())
                if batch.schema["timestamp"].is_numeric():
                    counts.append(count_units(batch["timestamp"].cast(pl.Float64).to_numpy()))
                for part, rows in by_user(coded, self.bounds):
                    writer = writer or pa.ipc.new_file(sink, rows.schema)
                    for rows_of_part in rows.combine_chunks().to_batches():
                        writer.write_batch(rows_of_part)
                        parts.append(part)
            assert writer is not None, "the survey leaves out files without rows"
            writer.close()
        write_arrow(items.to_series().rename("item_id").to_frame(), self.work.path(items_name(index)))
        del alive
        self.work.write(piece_step(index), asdict(Piece(one.num_rows[0], parts, sum_of_units(counts))))
        return one.num_rows[0]


def divide_files(
    work: Work, table: Survey, num_parts: int, derive: Sequence[str] | None, workers: Workers, advance: Advance
) -> tuple[Divided, pl.Series]:
    """Divide a table as `divide_table` does, into pieces, on workers; see there.

    Pieces that are already there are kept. `read_places` then tells where the rows of a part are.
    """
    num_files = len(table.files)
    todo = [
        (index, None if isinstance(stream, ParquetTable) else stream)  # an open file stays with its process
        for index, stream in enumerate(table.streams)
        if work.read(piece_step(index)) is None
    ]
    division = FileDivision(work, replace(table, streams=[]), table.bounds(num_parts), derive)
    for num_rows in run_steps(workers, division, todo, work.folder):
        advance(num_rows)
    pieces = [Piece(**work.read(piece_step(index))) for index in range(num_files)]
    places: dict[str, dict[str, list[int]]] = {}
    for index, piece in enumerate(pieces):
        for batch, part in enumerate(piece.parts):
            places.setdefault(part_name("rows", part), {}).setdefault(str(index), []).append(batch)
    work.write("places", places)
    units = sum_of_units([piece.units for piece in pieces])
    divided = Divided(sorted(places), sum(piece.num_rows for piece in pieces), units)
    return divided, number_items(work, num_files)


def number_items(work: Work, num_files: int) -> pl.Series:
    """Give items codes in the order of the whole table, write those of each piece, and return the raw ids by them."""
    items = pl.Categories.random()
    alive = pl.Series([], dtype=pl.Categorical(items))
    for index in range(num_files):
        own = read_arrow(work.path(items_name(index)))["item_id"]
        with whole_file(work.path(codes_name(index))) as new:
            np.save(new, own.cast(pl.Categorical(items)).to_physical().to_numpy())
    found = items.to_series().rename("item_id")
    del alive
    return found


def read_places(work: Work, places: Places) -> pl.DataFrame:
    """Read the rows of a part from all pieces, in the order of the table."""
    return pl.concat([read_piece(work, int(index), places[index]) for index in sorted(places, key=int)])


def read_piece(work: Work, index: int, numbers: Sequence[int]) -> pl.DataFrame:
    """Read batches of a piece, with the codes that items have in the whole table."""
    with pa.memory_map(str(work.path(piece_name(index)))) as source:
        reader = pa.ipc.open_file(source)
        table = pl.from_arrow(pa.Table.from_batches([reader.get_batch(number) for number in numbers]))
    assert isinstance(table, pl.DataFrame)
    codes = np.load(work.path(codes_name(index)), mmap_mode="r")
    return table.with_columns(pl.Series("item_id", codes[table["item_id"].to_numpy()]))


def remove_pieces(work: Work) -> None:
    """Remove the pieces, when all parts are sorted."""
    for path in work.folder.glob("piece-*.arrow"):
        path.unlink(missing_ok=True)


def sum_of_units(counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """Add up numbers of timestamps by unit."""
    units = dict.fromkeys(unit for one in counts for unit in one)
    return {unit: sum(one.get(unit, 0) for one in counts) for unit in units}


def piece_step(index: int) -> str:
    """Name the step that writes a piece."""
    return f"piece-{index:05d}"


def piece_name(index: int) -> str:
    """Name the file of a piece."""
    return f"piece-{index:05d}.arrow"


def items_name(index: int) -> str:
    """Name the file with the items of a piece."""
    return f"items-{index:05d}.arrow"


def codes_name(index: int) -> str:
    """Name the file with the codes of the items of a piece in the whole table."""
    return f"codes-{index:05d}.npy"

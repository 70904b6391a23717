"""Recommend for all users of a file of any size, part by part; after an interruption, go on where it stopped."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm.auto import tqdm

from seqrec.errors import InputError
from seqrec.interactions.one_line import one_line
from seqrec.interactions.user_partitions import first_rows, num_rows_of, partition_by_user, table_files
from seqrec.interactions.whole_files import whole_file, write_text_whole

__all__ = ["RecommendedFile", "recommend_file"]

ROWS_PER_PART = 2_000_000  # interactions in memory at once, with what is computed from them about 1 GB
BYTES_PER_ROW = 10  # of a file whose number of rows is unknown, at the least
BAR_DELAY = 0.5  # seconds
PLAN = "plan.json"
DIVIDED = "divided.json"
FORMATS = (".parquet", ".csv", ".jsonl")


@dataclass(frozen=True)
class RecommendedFile:
    """What was written: the number of rows, and of users with recommendations."""

    num_rows: int
    num_users: int


def recommend_file(
    recommend_frame: Callable[[Any], pl.DataFrame],
    source: str | Path,
    output: str | Path,
    *,
    settings: Callable[[], Mapping[str, Any]],
    columns: Mapping[str, str] | None = None,
    remembered: Mapping[str, str] | None = None,
    progress: bool = False,
) -> RecommendedFile:
    """Recommend for every user of a file of interactions, or of a folder with parts of one table.

    A large table is divided by users into parts, which are answered one after the other, so that memory is bounded.
    The parts lie in the folder `<output>.parts` until the last one is done; the output is then put together and
    renamed. The same call after an interruption goes on with the first part that is missing. The result is that of
    `Recommender.recommend_frame`, whatever the number of parts.

    Args:
        recommend_frame: Returns the lists for a table, such as `Recommender.recommend_frame` with its options.
        source: The file or folder. Parquet files are read in batches; of other files, each must fit in memory.
        output: A file ending in .parquet, .csv or .jsonl.
        settings: Returns what determines the lists, besides the table: the model and the options. Parts of an
            interrupted call are only used if it had the same.
        columns: Other names of the table's columns; see `read_interactions`.
        remembered: Names in the training table; see `read_interactions`.
        progress: Whether to show a progress bar.

    Raises:
        InputError: If the table cannot be read, the output cannot be written, or there are parts of another call.
    """
    if Path(output).suffix.lower() not in FORMATS:
        raise InputError(f"The output '{output}' must end in one of {', '.join(FORMATS)}.")
    files = table_files(source)
    num_rows = num_rows_of(files)
    at_most = sum(path.stat().st_size for path in files if path.is_file()) // BYTES_PER_ROW
    num_parts = -(-(at_most if num_rows is None else num_rows) // ROWS_PER_PART)
    if num_parts <= 1:
        found = recommend_frame(source)
        table = found.to_arrow()
        write_lists([table], table.schema, output)
        return RecommendedFile(len(found), found["user_id"].n_unique())
    recommend_frame(first_rows(files))  # so that a mistake in the options or columns shows before the work
    folder = Path(f"{output}.parts")
    begin(folder, {"files": [stamp(path) for path in files], "rows_per_part": ROWS_PER_PART, **settings()})
    users = divided(folder, lambda: partition_by_user(files, folder, num_parts, columns=columns, remembered=remembered))
    with tqdm(total=len(users), desc="Recommending", unit="part", delay=BAR_DELAY, disable=not progress) as bar:
        lists = []
        for path in users:
            part = path.with_name(path.name.replace("users", "lists"))
            if not part.exists():
                with whole_file(part) as new:
                    recommend_frame(path).write_parquet(new)
            lists.append(part)
            bar.update()
    return put_together(folder, lists, output)


def begin(folder: Path, plan: Mapping[str, Any]) -> None:
    """Make the folder of the parts, or make sure that an existing one is of the same call."""
    digest = sha256(json.dumps(plan, sort_keys=True, default=str).encode()).hexdigest()
    told = folder / PLAN
    if told.is_file() and json.loads(told.read_bytes()) == {"sha256": digest}:
        return
    if folder.exists():
        raise InputError(
            f"'{folder}' holds parts of another run, with another table, model or options. Repeat that run, or delete "
            "the folder."
        )
    try:
        folder.mkdir()
    except OSError as error:
        raise InputError(f"'{folder}' could not be created: {one_line(error)}.") from error
    write_text_whole(told, json.dumps({"sha256": digest}))


def stamp(path: Path) -> list[Any]:
    """Return what shows that a file is still the same."""
    found = path.stat()
    return [str(path.resolve()), found.st_size, found.st_mtime_ns]


def divided(folder: Path, divide: Callable[[], Sequence[Path]]) -> list[Path]:
    """Return the parts of the table, and make them if they are not complete."""
    told = folder / DIVIDED
    if not told.is_file():
        try:
            paths = divide()
        except OSError as error:
            raise InputError(f"The parts in '{folder}' could not be written: {one_line(error)}.") from error
        write_text_whole(told, json.dumps([path.name for path in paths]))
    return [folder / name for name in json.loads(told.read_bytes())]


def put_together(folder: Path, lists: Sequence[Path], output: str | Path) -> RecommendedFile:
    """Write all lists to one file, and remove the parts."""
    num_rows = num_users = 0

    def tables() -> Iterator[pa.Table]:
        nonlocal num_rows, num_users
        for path in lists:
            table = pq.read_table(path)
            num_rows += len(table)
            num_users += len(table["user_id"].unique())
            yield table

    write_lists(tables(), pq.read_schema(lists[0]), output)
    shutil.rmtree(folder)
    return RecommendedFile(num_rows, num_users)


def write_lists(tables: Iterator[pa.Table] | Sequence[pa.Table], schema: pa.Schema, output: str | Path) -> None:
    """Write tables one after the other, in the format given by the file's extension."""
    kind = Path(output).suffix.lower()
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
                    frame = frame.with_columns(listing_as_text(frame))
                    frame.write_csv(file, include_header=place == 0)
                else:
                    frame.write_ndjson(file)


def listing_as_text(frame: pl.DataFrame) -> list[pl.Series]:
    """Return columns of lists as text with "|", as CSV holds no lists."""
    return [
        column.cast(pl.List(pl.String)).list.join("|", ignore_nulls=True)
        for column in frame.get_columns()
        if isinstance(column.dtype, pl.List | pl.Array)
    ]

"""Recommend for all users of a file of any size, part by part; after an interruption, go on where it stopped."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
from tqdm.auto import tqdm

from seqrec.errors import InputError
from seqrec.inference.list_outputs import ListOutput, write_table
from seqrec.interactions.one_line import one_line
from seqrec.interactions.user_partitions import Advance, UsersPart, UserTables, num_rows_of, table_files
from seqrec.interactions.whole_files import write_text_whole

__all__ = ["RecommendedFile", "Scoring", "recommend_file"]

ROWS_PER_PART = 2_000_000  # interactions in memory at once, with what is computed from them about 1 GB
ROWS_PER_TASK = 200_000  # of a worker, so that all of them are busy until the end
MOST_PARTS = 500  # files open at once
BYTES_PER_ROW = 10  # of a file whose number of rows is unknown, at the least
BAR_DELAY = 0.5  # seconds
PLAN = "plan.json"
DIVIDED = "divided.json"


# Answers parts in any order, from these, the files of their lists and the work folder; yields the place of each one.
Scoring = Callable[[list[UsersPart], list[Path], Path], Iterator[int]]


@dataclass(frozen=True)
class RecommendedFile:
    """What was written: the number of rows, and of users with recommendations."""

    num_rows: int
    num_users: int


def recommend_file(
    recommend_frame: Callable[..., pl.DataFrame],
    source: str | Path,
    output: str | Path,
    *,
    settings: Callable[[], Mapping[str, Any]],
    columns: Mapping[str, str] | None = None,
    remembered: Mapping[str, str] | None = None,
    progress: bool = False,
    scoring: Scoring | None = None,
) -> RecommendedFile:
    """Recommend for every user of a file of interactions, or of a folder with parts of one table.

    A large table is divided by users into parts, which are answered one after the other, so that memory is bounded. The
    result is that of `Recommender.recommend_frame`, whatever the number of parts, except for the last digits of scores,
    which depend on the histories in a batch. The same call after an interruption, such as a crash or a full disk, goes
    on with the first part that is missing.

    The output is a file or a folder. Parts for a file lie in the folder `<output>.parts` until the last one is done;
    the file is then put together and renamed. In a folder, the lists of each part are a shard of the result,
    `part-00000.parquet` and so on, which is there as soon as it is done; the folder `.parts` in it is removed at the
    end.

    Args:
        recommend_frame: Returns the lists for a table, such as `Recommender.recommend_frame` with its options; calls
            `advance` with the number of users of each batch.
        source: The file or folder. Parquet, delimited text and JSON lines are read in batches; see `open_table`.
        output: A file ending in .parquet, .csv or .jsonl; or a folder, which exists or whose name ends in "/".
        settings: Returns what determines the lists, besides the table: the model and the options. Parts of an
            interrupted call are only used if it had the same.
        columns: Other names of the table's columns; see `read_interactions`.
        remembered: Names in the training table; see `read_interactions`.
        progress: Whether to show progress bars.
        scoring: Answers the parts on workers, instead of `recommend_frame` here.

    Raises:
        InputError: If the table cannot be read, the output cannot be written, or there are parts of another call.
    """
    target, files = ListOutput.of(output), table_files(source)
    rows_per_part = ROWS_PER_PART if scoring is None else ROWS_PER_TASK
    bar = partial(tqdm, unit_scale=True, delay=BAR_DELAY, disable=not progress)
    num_rows = num_rows_of(files)
    at_most = sum(path.stat().st_size for path in files if path.is_file()) // BYTES_PER_ROW
    if (at_most if num_rows is None else num_rows) <= rows_per_part:
        return recommend_at_once(recommend_frame, source, target)
    plan = digest_of({"files": [stamp(path) for path in files], "rows_per_part": rows_per_part, **settings()})
    if not has_begun(target, plan):
        target.require_empty()
    parts = divided_before(target, plan)
    if parts is None:
        with bar(total=num_rows, desc="Reading", unit=" rows") as read:
            tables = UserTables(files, columns=columns, remembered=remembered, advance=read.update)
        num_parts = min(-(-tables.num_rows // rows_per_part), MOST_PARTS)
        if num_parts <= 1:
            return recommend_at_once(recommend_frame, source, target)
        recommend_frame(tables.first_rows())  # so that a mistake in the options or columns shows before the work
        with bar(total=tables.num_rows, desc="Dividing", unit=" rows") as divided:
            parts = divide(tables, target, plan, num_parts, divided.update)
    done = [part for number, part in enumerate(parts) if target.list_part(number).exists()]
    with bar(total=num_users_of(parts), initial=num_users_of(done), desc="Recommending", unit=" users") as answered:
        if scoring is not None:
            score_parts(scoring, parts, target, answered.update)
        return recommend_parts(recommend_frame, parts, target, answered.update)


def num_users_of(parts: Iterable[UsersPart]) -> int:
    """Count the users of parts."""
    return sum(part.num_users for part in parts)


def recommend_at_once(
    recommend_frame: Callable[..., pl.DataFrame], source: str | Path, target: ListOutput
) -> RecommendedFile:
    """Recommend for a table that needs no division."""
    target.require_empty()
    found = recommend_frame(source)
    target.write_only(found.to_arrow())
    return RecommendedFile(len(found), found["user_id"].n_unique())


def score_parts(scoring: Scoring, parts: list[UsersPart], target: ListOutput, advance: Callable[[int], object]) -> None:
    """Have those parts answered that have no lists yet."""
    todo = [number for number in range(len(parts)) if not target.list_part(number).exists()]
    lists = [target.list_part(number) for number in todo]
    for place in scoring([parts[number] for number in todo], lists, target.work):
        advance(parts[todo[place]].num_users)


def recommend_parts(
    recommend_frame: Callable[..., pl.DataFrame],
    parts: list[UsersPart],
    target: ListOutput,
    advance: Callable[[int], object],
) -> RecommendedFile:
    """Recommend for those parts that have no lists yet; then put all lists together, and remove the parts."""
    lists, num_rows, num_users = [], 0, 0
    for number, part in enumerate(parts):
        path = target.list_part(number)
        if not path.exists():
            found = recommend_frame(part.path, advance=advance)
            with kept_parts():
                write_table(found, path)
        part.path.unlink(missing_ok=True)
        lists.append(path)
    for path in lists:
        users = pq.read_table(path, columns=["user_id"])["user_id"]
        num_rows, num_users = num_rows + len(users), num_users + len(users.unique())
    with kept_parts():
        target.put_together(lists)
    remove_work(target.work)
    return RecommendedFile(num_rows, num_users)


@contextmanager
def kept_parts() -> Iterator[None]:
    """Add to errors of writing that the parts are kept."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{error} Parts that are done are kept: repeat the call to go on.") from error


def remove_work(folder: Path) -> None:
    """Remove the folder of the parts, the plan last, so that a folder without a plan is not ours."""
    for path in sorted(folder.iterdir(), key=lambda path: path.name == PLAN):
        path.unlink()
    folder.rmdir()


def has_begun(target: ListOutput, plan: str) -> bool:
    """Return whether there are parts of an interrupted call.

    Raises:
        InputError: If they are of another call.
    """
    told = target.work / PLAN
    if not told.is_file() and not any(target.work.glob("[!.]*")):
        return False
    if not told.is_file() or json.loads(told.read_bytes()) != {"sha256": plan}:
        raise InputError(
            f"'{target.work}' holds parts of another run, with another table, model or options. Repeat that run, or "
            "delete the folder."
        )
    return True


def divided_before(target: ListOutput, plan: str) -> list[UsersPart] | None:
    """Return the parts of an interrupted call; None if the table was not divided."""
    told = target.work / DIVIDED
    if not has_begun(target, plan) or not told.is_file():
        return None
    target.remove_leftovers()
    return [UsersPart(target.work / name, num_users) for name, num_users in json.loads(told.read_bytes()).items()]


def divide(tables: UserTables, target: ListOutput, plan: str, num_parts: int, advance: Advance) -> list[UsersPart]:
    """Divide a table, and note when it is done."""
    target.make_work_folder()
    target.remove_leftovers()
    write_text_whole(target.work / PLAN, json.dumps({"sha256": plan}))
    try:
        parts = tables.divide(target.work, num_parts, advance)
    except OSError as error:
        for path in target.work.glob("users-*.parquet"):
            path.unlink(missing_ok=True)
        raise InputError(f"The parts in '{target.work}' could not be written: {one_line(error)}.") from error
    num_divided = num_rows_of([part.path for part in parts])
    if num_divided != tables.num_rows:
        raise InputError(
            f"The table had {tables.num_rows:,} rows at first and {num_divided:,} later. Recommend when nothing else "
            f"writes to it; remove '{target.work}' first."
        )
    write_text_whole(target.work / DIVIDED, json.dumps({part.path.name: part.num_users for part in parts}))
    return parts


def digest_of(settings: Mapping[str, Any]) -> str:
    """Return a hash of what determines the result."""
    return sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()


def stamp(path: Path) -> list[Any]:
    """Return what shows that a file is still the same."""
    found = path.stat()
    return [str(path.resolve()), found.st_size, found.st_mtime_ns]

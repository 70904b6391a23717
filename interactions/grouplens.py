"""MovieLens 1M, 20M, 25M and 32M, downloaded from GroupLens.

F. M. Harper and J. A. Konstan, "The MovieLens Datasets: History and Context", ACM TiiS 5 (4), 2015. Archives are
checked by the MD5 that GroupLens publishes.
"""

import errno
import hashlib
import http.client
import io
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pyarrow as pa
from huggingface_hub.utils import WeakFileLock
from pyarrow import csv
from tqdm.auto import tqdm

from seqrec.errors import InputError
from seqrec.interactions.cached_sets import INTERACTIONS, ITEMS, cache_folder, write_parts
from seqrec.interactions.one_line import one_line
from seqrec.interactions.public_names import PublicName

__all__ = ["terms_of", "write_movielens"]

ADDRESS = "https://files.grouplens.org/datasets/movielens"
MD5 = {
    "ml-1m": "c4d9eecfca2ab87c1945afe126590906",
    "ml-20m": "cd245b17a1ae2cc31bb14903e1204af3",
    "ml-25m": "6b51fb2759a8657d3bfcbfc42b592ada",
    "ml-32m": "d472be332d4daa821edc399621853b57",
}
CONNECT_SECONDS = 15
BLOCK_BYTES = 2**20
RATING_TYPES = {"userId": pa.string(), "movieId": pa.string(), "rating": pa.float64(), "timestamp": pa.int64()}
OUR_NAMES = {"userId": "user_id", "movieId": "item_id"}
MOVIES = ["movieId", "title", "genres"]
NO_GENRES = "(no genres listed)"


def terms_of(name: PublicName) -> str:
    """Return the terms of use."""
    readme = f"{ADDRESS}/{name.set}-README.{'txt' if name.set == 'ml-1m' else 'html'}"
    return f"for research; not for profit without GroupLens' permission ({readme})"


def write_movielens(name: PublicName, folder: Path) -> None:
    """Download the ratings and movies, and write both as Parquet.

    The interactions have `user_id`, `item_id`, `rating` (0.5 to 5 stars) and `timestamp` (seconds since 1970), the
    items `item_id`, `title`, `year` and `genres` (separated by `|`).

    Raises:
        InputError: If the archive cannot be downloaded, has another MD5, or holds other columns than expected.
    """
    archive_path = archive_of(name.set)
    try:
        with zipfile.ZipFile(archive_path) as archive:
            with open_table(archive, name.set, "ratings") as ratings:
                write_parts(ratings_of(ratings, name), folder / INTERACTIONS)
            with open_table(archive, name.set, "movies") as movies:
                items = read_movies(movies.read(), name.set)
    except (zipfile.BadZipFile, KeyError, pa.ArrowException) as error:
        raise InputError(
            f"'{archive_path}' cannot be used as {name.set}: {one_line(error)}. Remove it to download it again."
        ) from error
    items.write_parquet(folder / ITEMS)


def archive_of(name: str) -> Path:
    """Return the archive, downloading it unless it is in the cache folder, complete."""
    path = cache_folder() / f"{name}.zip"
    path.parent.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(path.with_suffix(".lock")):
        if not path.is_file() or md5_of(path) != MD5[name]:
            download(f"{ADDRESS}/{name}.zip", path, MD5[name])
    return path


def download(url: str, path: Path, md5: str) -> None:
    """Download a file; what an interrupted call has received is kept and completed by the next one.

    Raises:
        InputError: If the address cannot be reached, the disk is full, or the file is not the published one.
    """
    part = path.with_name(f".part-{path.name}")
    try:
        receive(url, part)
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise InputError(
                f"'{path.name}' does not fit on the disk of '{path.parent}'. Free some space, or set XDG_CACHE_HOME to "
                "a folder on another disk."
            ) from error
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise InputError(
            f"{url} could not be downloaded: {one_line(reason)}. Try again, which resumes the download, or put the "
            f"file into '{path.parent}' yourself."
        ) from error
    found = md5_of(part)
    if found != md5:
        part.unlink()
        raise InputError(
            f"{url} has the MD5 {found}, expected {md5}: it was changed or damaged on the way. Try again, or put the "
            f"published file into '{path.parent}'."
        )
    part.replace(path)


def receive(url: str, part: Path) -> None:
    """Append to a file what it lacks of a file on the net; begin again if the server cannot send parts."""
    have = part.stat().st_size if part.is_file() else 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=CONNECT_SECONDS)
    except urllib.error.HTTPError as error:
        if not have or error.code != http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        return  # nothing is missing
    with response:
        resumes = response.status == http.client.PARTIAL_CONTENT
        start = have if resumes else 0
        length = response.headers.get("Content-Length")
        total = start + int(length) if length else None
        title = f"Downloading {url.rpartition('/')[2]}"
        bar = tqdm(total=total, initial=start, desc=title, unit="B", unit_scale=True)
        with bar, part.open("ab" if resumes else "wb") as file:
            while block := response.read(BLOCK_BYTES):
                file.write(block)
                bar.update(len(block))
            if total is not None and file.tell() < total:
                raise ConnectionError(f"the connection ended after {file.tell():,} of {total:,} bytes")


def md5_of(path: Path) -> str:
    """Return the MD5 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def open_table(archive: zipfile.ZipFile, name: str, table: str) -> io.BufferedIOBase:
    """Open a table of an archive as comma-separated text; that of MovieLens 1M is converted in memory."""
    if name != "ml-1m":
        return archive.open(f"{name}/{table}.csv")  # type: ignore[return-value]
    header = {"ratings": list(RATING_TYPES), "movies": MOVIES}[table]
    text = archive.read(f"{name}/{table}.dat").decode("latin-1")
    rows = [line.split("::") for line in text.splitlines()]
    frame = pl.DataFrame(rows, schema=dict.fromkeys(header, pl.String), orient="row")
    return io.BytesIO(frame.write_csv().encode())


def ratings_of(file: io.BufferedIOBase, name: PublicName) -> Iterator[pl.DataFrame]:
    """Read ratings in batches, with ids as text, the type they have when read from a CSV."""
    read_options = csv.ReadOptions(block_size=16 * BLOCK_BYTES)
    convert_options = csv.ConvertOptions(column_types=RATING_TYPES)
    bar = tqdm(desc=f"Converting {name}", unit="row", unit_scale=True)
    with bar, csv.open_csv(file, read_options=read_options, convert_options=convert_options) as reader:
        require_columns(reader.schema.names, list(RATING_TYPES), name.set)
        for batch in reader:
            table = pl.from_arrow(batch)
            assert isinstance(table, pl.DataFrame)
            bar.update(table.height)
            yield table.select(*RATING_TYPES).rename(OUR_NAMES)


def read_movies(text: bytes, name: str) -> pl.DataFrame:
    """Read the table of movies; a year in parentheses at the end of a title becomes a column of its own."""
    table = pl.read_csv(text, infer_schema=False)
    require_columns(table.columns, MOVIES, name)
    title, genres = pl.col("title").str.strip_chars(), pl.col("genres")
    return table.select(
        pl.col("movieId").alias("item_id"),
        title.str.replace(r" \(\d{4}\)$", ""),
        title.str.extract(r"\((\d{4})\)$").cast(pl.Int64).alias("year"),
        pl.when(genres != NO_GENRES).then(genres),
    )


def require_columns(present: list[str], expected: list[str], name: str) -> None:
    """Refuse a table that lacks a column."""
    missing = [column for column in expected if column not in present]
    if missing:
        raise InputError(
            f"A table of {name} has no column {missing[0]}, but: {one_line(', '.join(present))}. GroupLens has changed "
            "its form: convert it yourself, and give the file."
        )

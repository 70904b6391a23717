"""Read delimited text: CSV and similar formats."""

import csv
import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import polars as pl

from seqrec.errors import InputError
from seqrec.interactions.one_line import one_line
from seqrec.interactions.text_encodings import HEAD_BYTES, explain_bad_text, first_bytes, read_bytes, utf8_content

__all__ = [
    "DELIMITED_ERRORS",
    "explain_failure",
    "read_delimited",
    "read_separated",
    "require_readable_header",
    "warn_of_swallowed_rows",
]

SEPARATORS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars", "::": "double colons"}
UNIT_SEPARATOR = "\x1f"  # stands for "::", as polars takes one character only
DELIMITED_ERRORS = (pl.exceptions.PolarsError, pl.exceptions.PanicException)
NUMBER = re.compile(r"[+-]?\d+(\.\d*)?")


def read_delimited(path: Path, *, text_columns: Sequence[str], usual: str | None = None) -> pl.DataFrame:
    """Read a table of text with a header.

    Args:
        path: The file, which may be compressed by gzip.
        text_columns: Columns to read as text even if they look like numbers ("007" stays "007").
        usual: Separator that the file's name suggests, if any; another one is used with a warning.

    Raises:
        InputError: If the file is empty, is not UTF-8 (or UTF-16) text or has no header; if a row has more fields than
            the header, or a quote is not closed.
    """
    content = utf8_content(path)
    head = content[:HEAD_BYTES] if isinstance(content, bytes) else first_bytes(content)
    separator = require_readable_header(path, head.decode(errors="replace"), text_columns, usual)
    try:
        table = read_separated(content, separator, dict.fromkeys(text_columns, pl.String()))
    except DELIMITED_ERRORS as error:
        raise InputError(explain_failure(path, content, separator, error)) from error
    warn_of_swallowed_rows(table, text_columns, separator)
    return table


def require_readable_header(path: Path, head: str, text_columns: Sequence[str], usual: str | None) -> str:
    """Return the separator of a file by its first line, and refuse a line that is no header.

    Args:
        path: The file.
        head: The beginning of its text.
        text_columns: See `read_delimited`.
        usual: See `read_delimited`.
    """
    header = head.lstrip("\r\n").partition("\n")[0].rstrip("\r")
    if header.lstrip().startswith(("{", "[{")):
        raise InputError(f"'{path}' looks like JSON, judging by its first line. Rename it to end in .jsonl.")
    separator = tell_separator(header, text_columns, usual or ",")
    if usual not in (None, separator):
        warnings.warn(
            f"The columns of '{path.name}' are separated by {SEPARATORS[separator]}, not by {SEPARATORS[usual]}, and "
            "were read accordingly.",
            stacklevel=3,
        )
    require_header(path, fields_of(header, separator), text_columns)
    if header.count('"') % 2:
        raise InputError(f"'{path}' cannot be read: {quote_complaint(1)}")
    return separator


def read_separated(
    content: Path | bytes, separator: str, types: Mapping[str, pl.DataType], *, infer: bool = True
) -> pl.DataFrame:
    """Read UTF-8 text with a known separator.

    Args:
        content: The text, with a header.
        separator: The separator.
        types: Types of columns. Other names are ignored.
        infer: Whether to infer the types of the other columns.
    """
    if separator == "::":
        content = as_bytes(content).replace(b"::", UNIT_SEPARATOR.encode())
        options: dict[str, str | None] = {"separator": UNIT_SEPARATOR, "quote_char": None}
    else:
        options = {"separator": separator}
    # Infer types from all rows: a decimal or a word in row 10,000 must not be an error.
    return pl.read_csv(
        content,
        schema_overrides=dict(types),
        infer_schema_length=None if infer else 0,
        **options,  # type: ignore[arg-type]
    )


def as_bytes(content: Path | bytes) -> bytes:
    """Return UTF-8 bytes, read from the file if need be."""
    return content if isinstance(content, bytes) else read_bytes(content)


def tell_separator(header: str, known: Sequence[str], usual: str) -> str:
    """Guess the separator from the header.

    The separator that yields the most known column names wins. If none yields any, it is the usual one if that occurs,
    or else the only one that does.
    """
    found = {separator: sum(name in fields_of(header, separator) for name in known) for separator in SEPARATORS}
    most = max(found.values())
    if most:
        best = [separator for separator, count in found.items() if count == most]
        occurring = [separator for separator in best if separator in header]
        return usual if usual in (occurring or best) else (occurring or best)[0]
    others = [separator for separator in SEPARATORS if separator in header]
    return others[0] if usual not in header and len(others) == 1 else usual


def fields_of(header: str, separator: str) -> list[str]:
    """Split a header into column names."""
    return [field.strip().strip('"') for field in header.split(separator)]


def require_header(path: Path, fields: Sequence[str], known: Sequence[str]) -> None:
    """Refuse a file whose first line looks like data: it holds a number and no known column name."""
    if not set(fields) & set(known) and any(len(field) > 1 and NUMBER.fullmatch(field) for field in fields):
        raise InputError(
            f"'{path}' seems to have no header: its first line is {one_line(', '.join(fields), 80)}. Add a first line "
            "with the names of the columns, such as user_id, item_id and timestamp."
        )


def warn_of_swallowed_rows(table: pl.DataFrame, text_columns: Sequence[str], separator: str) -> None:
    """Warn of values that contain whole rows, which happens when a quote is left open and closed much later."""
    for name in set(text_columns) & set(table.columns):
        holds_rows = pl.col(name).str.contains("\n", literal=True) & pl.col(name).str.contains(separator, literal=True)
        found = table.filter(holds_rows)[name]
        if len(found):
            warnings.warn(
                f"{len(found):,} values of {name} hold line breaks and {SEPARATORS[separator]} (first: "
                f"{one_line(repr(found[0]), 60)}). Was a quote left open? Text after it is read as a single value.",
                stacklevel=3,
            )


def explain_failure(
    path: Path, content: Path | bytes, separator: str, error: BaseException, num_before: int = 0
) -> str:
    """Explain in one sentence why a table cannot be read, and at which line.

    Args:
        path: The file.
        content: The text that cannot be read, with a header.
        separator: Its separator.
        error: The error of polars.
        num_before: Number of lines of the file that are left out after the header.
    """
    raw = as_bytes(content)
    bad_text = explain_bad_text(path, raw, num_before)
    if bad_text is not None:
        return bad_text
    if len(separator) == 1:
        for complaint in find_bad_rows(raw.decode(), separator, num_before):
            return f"'{path}' cannot be read: {complaint}"
    return f"'{path}' could not be read as a table: {one_line(str(error).partition(chr(10) * 2)[0])}."


def find_bad_rows(text: str, separator: str, num_before: int = 0) -> Iterator[str]:
    """Find rows with too many fields, and quotes that are not closed."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    width, begin = None, 1
    try:
        for row in reader:
            width = len(row) if width is None else width
            if len(row) > width and reader.line_num > begin:
                yield quote_complaint(begin + num_before)
            elif len(row) > width:
                yield (
                    f"line {begin + num_before} has {len(row)} fields, but the header has {width}. Put quotes around "
                    f"values that contain {SEPARATORS[separator]}, or remove the extra fields."
                )
            begin = reader.line_num + 1
    except csv.Error:
        yield quote_complaint(begin + num_before)
    for number, line in enumerate(text.split("\n"), start=1):
        if line.count('"') % 2:
            yield quote_complaint(number + num_before)


def quote_complaint(line: int) -> str:
    """Describe a quote that is not closed."""
    return f'line {line} has an unmatched quote ("). Remove it, or double it inside a quoted value.'

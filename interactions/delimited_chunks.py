"""Read delimited text of any size in chunks of whole rows, with the types that reading the whole file gives."""

import codecs
import gzip
import zlib
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import BinaryIO, cast

import polars as pl

from seqrec.errors import InputError
from seqrec.interactions.delimited_text import (
    DELIMITED_ERRORS,
    explain_failure,
    read_separated,
    require_readable_header,
    warn_of_swallowed_rows,
)
from seqrec.interactions.text_encodings import is_gzip, read_head

__all__ = ["DelimitedFile"]

CHUNK_BYTES = 2**25
# A value of each type that is inferred. Their union is inferred as the union of the columns is.
EXAMPLES: dict[pl.DataType, str] = {
    pl.Int64(): "1",
    pl.Int128(): "9" * 20,
    pl.Float64(): "1.5",
    pl.Boolean(): "true",
    pl.String(): "a",
}


class DelimitedFile:
    """A table of text, read in chunks; see `read_delimited`.

    Args:
        path: The file, which may be compressed by gzip.
        text_columns: Columns to read as text even if they look like numbers.
        usual: Separator that the file's name suggests, if any.

    Raises:
        InputError: As in `read_delimited`.
    """

    def __init__(self, path: Path, text_columns: Sequence[str], usual: str | None) -> None:
        self.path, self.text_columns = path, text_columns
        self.head = read_head(path)
        self.separator = require_readable_header(path, self.head.text, text_columns, usual)
        self.types: dict[str, pl.DataType] | None = None
        header, _ = next(self.chunks())
        self.columns = self.read(header, 0).columns

    def users(self, name: str) -> Iterator[pl.Series]:
        """Yield a column of text chunk by chunk, and learn the types of all columns."""
        found: dict[str, set[pl.DataType]] = {column: set() for column in self.columns}
        for rows, num_before in islice(self.chunks(), 1, None):
            table = self.read(rows, num_before)
            for column in table.get_columns():
                if column.null_count() < len(column):
                    found[column.name].add(column.dtype)
            yield table[name]
        self.types = {column: self.type_of(column, types) for column, types in found.items()}

    def type_of(self, column: str, types: set[pl.DataType]) -> pl.DataType:
        """Return the type of a column whose chunks have some types."""
        if column in self.text_columns or not types:
            return pl.String()
        # With integers beyond 64 bits and decimal numbers, it matters whether there are smaller integers too.
        if types >= {pl.Int128(), pl.Float64()} or not types <= EXAMPLES.keys():
            return self.whole_table()[column].dtype
        examples = "\n".join(["x", *(EXAMPLES[kind] for kind in types)])
        return pl.read_csv(examples.encode(), infer_schema_length=None).to_series().dtype

    def whole_table(self) -> pl.DataFrame:
        """Read the file as a whole."""
        content = b"".join(blocks_of(self.path, self.head.encoding, self.head.has_old_line_ends))
        return read_separated(content, self.separator, dict.fromkeys(self.text_columns, pl.String()))

    @property
    def schema(self) -> pl.Schema:
        """The columns and their types, known after `users` has read the file."""
        assert self.types is not None
        return pl.Schema({column: self.types[column] for column in self.columns})

    def batches(self) -> Iterator[pl.DataFrame]:
        """Read the rows chunk by chunk; types are those of the chunk unless `users` has read the file."""
        for rows, num_before in islice(self.chunks(), 1, None):
            table = self.read(rows, num_before)
            warn_of_swallowed_rows(table, self.text_columns, self.separator)
            yield table

    def read(self, rows: bytes, num_before: int) -> pl.DataFrame:
        """Read a header and some rows, before which the file has a number of other lines."""
        types = self.types or dict.fromkeys(self.text_columns, pl.String())
        try:
            return read_separated(rows, self.separator, types, infer=self.types is None)
        except DELIMITED_ERRORS as error:
            raise InputError(explain_failure(self.path, rows, self.separator, error, num_before)) from error

    def chunks(self) -> Iterator[tuple[bytes, int]]:
        """Yield the header, and then the header with some rows and the number of lines between the two.

        Raises:
            OSError: If its compression is damaged or incomplete.
        """
        header, rest, num_before = b"", b"", 0
        quote = b'"' if self.separator != "::" else b""
        for block in blocks_of(self.path, self.head.encoding, self.head.has_old_line_ends):
            rest += block if header or rest else block.lstrip(b"\r\n")
            if not header:
                end = rest.find(b"\n") + 1
                if not end:
                    continue
                header, rest = rest[:end], rest[end:]
                yield header, 0
            end = end_of_rows(rest, quote)
            if end:
                yield header + rest[:end], num_before
                num_before += rest.count(b"\n", 0, end)
                rest = rest[end:]
        if not header:
            yield rest, 0
        elif rest:
            yield header + rest, num_before


def end_of_rows(text: bytes, quote: bytes) -> int:
    """Return where the last row that ends in a text does: after a line break that is not within quotes; 0 if none."""
    end = text.rfind(b"\n") + 1
    while quote and end and text.count(quote, 0, end) % 2:
        end = text.rfind(b"\n", 0, text.rfind(quote, 0, end)) + 1
    return end


def blocks_of(path: Path, encoding: str, has_old_line_ends: bool) -> Iterator[bytes]:
    """Read a text file that may be compressed as blocks of UTF-8.

    Raises:
        InputError: If its encoding is damaged.
        OSError: If its compression is.
    """
    decoder = None if encoding == "utf-8" and not has_old_line_ends else codecs.getincrementaldecoder(encoding)()
    with cast(BinaryIO, gzip.open(path)) if is_gzip(path) else path.open("rb") as file:
        block = b"-"
        while block:
            try:
                block = file.read(CHUNK_BYTES)
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                raise OSError("its gzip compression is damaged or cut off") from error
            yield block if decoder is None else decoded(path, decoder, block, encoding, has_old_line_ends)


def decoded(
    path: Path, decoder: codecs.IncrementalDecoder, block: bytes, encoding: str, has_old_line_ends: bool
) -> bytes:
    """Turn a block of another encoding into UTF-8."""
    try:
        text = decoder.decode(block, final=not block)
    except UnicodeDecodeError as error:
        raise InputError(f"'{path}' begins as {encoding.upper()} text but is not valid. Save it as UTF-8.") from error
    return (text.replace("\r", "\n") if has_old_line_ends else text).encode()

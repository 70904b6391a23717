"""Detect the encoding of a text file where it is certain; otherwise explain the problem in an error."""

import codecs
import gzip
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path

from seqrec.errors import InputError

__all__ = ["HEAD_BYTES", "explain_bad_text", "first_bytes", "is_gzip", "read_bytes", "read_head", "utf8_content"]

GZIP_MAGIC = b"\x1f\x8b"
HEAD_BYTES = 2**16
# First bytes of other formats, whatever the file's name says.
OTHER_KINDS = {
    b"PAR1": "a Parquet file: rename it to end in .parquet",
    b"PK\x03\x04": "a ZIP archive (or Excel file): unpack it, or save it as CSV",
    b"\x28\xb5\x2f\xfd": "compressed by zstd: unpack it first",
    b"BZh": "compressed by bzip2: unpack it first",
    b"SQLite": "an SQLite database: export the table as CSV",
}
# Byte order marks, longer ones first: UTF-32's begins with UTF-16's.
MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


@dataclass(frozen=True)
class Head:
    """The beginning of a text file, and how the file is written."""

    content: bytes
    encoding: str
    has_old_line_ends: bool

    @property
    def text(self) -> str:
        """The beginning as text, with the usual line breaks; a character may be cut off at the end."""
        text = self.content.decode(self.encoding, errors="replace")
        return text.replace("\r", "\n") if self.has_old_line_ends else text


def utf8_content(path: Path) -> Path | bytes:
    """Return the path itself if a text file is UTF-8, or its content converted to UTF-8 otherwise.

    Raises:
        InputError: If the file is empty or is not text.
        OSError: If its compression is damaged or incomplete.
    """
    head = read_head(path)
    if head.encoding == "utf-8" and not head.has_old_line_ends:
        return path
    try:
        text = read_bytes(path).decode(head.encoding)
    except UnicodeDecodeError as error:
        raise InputError(
            f"'{path}' begins as {head.encoding.upper()} text but is not valid. Save it as UTF-8."
        ) from error
    return (text.replace("\r", "\n") if head.has_old_line_ends else text).encode()


def read_head(path: Path) -> Head:
    """Read the beginning of a text file, and tell its encoding; warn unless that is UTF-8.

    Raises:
        InputError: If the file is empty or is not text.
        OSError: If its compression is damaged or incomplete.
    """
    head = first_bytes(path)
    if not head.strip():
        raise InputError(f"'{path}' is empty. Expected a header and one row for each interaction or item.")
    for magic, what in OTHER_KINDS.items():
        if head.startswith(magic):
            raise InputError(f"'{path}' is {what}.")
    encoding = tell_encoding(head)
    if head in MARKS:
        raise InputError(f"'{path}' is empty. Expected a header and one row for each interaction or item.")
    if encoding not in ("utf-8", "utf-8-sig"):
        warnings.warn(
            f"The encoding of '{path.name}' is {encoding.upper()}, not UTF-8; it was decoded accordingly.", stacklevel=3
        )
    return Head(head, encoding, has_old_line_ends=b"\r" in head and b"\n" not in head)


def tell_encoding(head: bytes) -> str:
    """Detect an encoding by its byte order mark, or by the zero bytes of UTF-16; otherwise assume UTF-8."""
    for mark, encoding in MARKS.items():
        if head.startswith(mark):
            return encoding
    start = head[:64]
    for encoding, zeros, letters in (("utf-16-le", start[1::2], start[::2]), ("utf-16-be", start[::2], start[1::2])):
        if len(start) > 3 and not any(zeros) and all(letters):
            return encoding
    return "utf-8"


def is_gzip(path: Path) -> bool:
    """Return whether a file is compressed by gzip, whatever its name says."""
    with path.open("rb") as file:
        return file.read(2) == GZIP_MAGIC


def first_bytes(path: Path) -> bytes:
    """Read the beginning of a file that may be compressed."""
    return read_bytes(path, HEAD_BYTES)


def read_bytes(path: Path, size: int = -1) -> bytes:
    """Read all or the first `size` bytes of a file that may be compressed.

    Raises:
        OSError: If its compression is damaged or incomplete.
    """
    if not is_gzip(path):
        with path.open("rb") as file:
            return file.read(size)
    try:
        with gzip.open(path) as file:
            return file.read(size)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise OSError("its gzip compression is damaged or cut off") from error


def explain_bad_text(path: Path, content: bytes, num_before: int = 0) -> str | None:
    """Describe where a text stops being UTF-8; None if all of it is.

    Args:
        path: The file.
        content: The text.
        num_before: Number of lines of the file after the first that the text leaves out.
    """
    try:
        content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1 + num_before
        return (
            f"The encoding of '{path}' is not UTF-8: line {line} contains the byte 0x{content[error.start]:02x}. "
            "Convert it to UTF-8, for instance with `iconv -f latin1 -t utf-8`."
        )
    return None

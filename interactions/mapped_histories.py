"""Map the histories of a large prepared set into memory, so that training reads them from disk as it needs them.

Parquet files cannot be mapped. Their columns are therefore copied once, one row group after the other, to `.npy` files,
in the folder `.mapped` of the set; all processes of a machine then share the same pages.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock
from huggingface_hub.constants import HF_HOME

from seqrec.errors import SavedFolderError
from seqrec.interactions.arrow_columns import read_lists
from seqrec.interactions.histories import Histories
from seqrec.interactions.one_line import one_line
from seqrec.interactions.prepared_checks import require_events, require_views
from seqrec.interactions.whole_files import write_text_whole

__all__ = ["map_sequences"]

MAPPED, STAMP, LOCK = ".mapped", "shards.json", ".lock"
EVENTS, HISTORIES, LENGTHS = "events", "histories", "lengths"  # prefixes, and the column of histories

Views = dict[str, dict[str, np.ndarray]]


def map_sequences(
    folder: Path, shards: Sequence[Path], parts: Mapping[str, Sequence[Path]], vocabulary_size: int
) -> tuple[Histories, Views]:
    """Map histories and the rows of parts into memory, after copying them if that has not been done.

    Args:
        folder: The prepared set.
        shards: The files of the histories.
        parts: The files of each part.
        vocabulary_size: V, the number of token ids.

    Returns:
        The histories of all users, and the columns of each part; instead of `history`, `start`, the place of the row's
        first event.

    Raises:
        SavedFolderError: If a file is damaged, or does not fit the others or the vocabulary; the message names it.
    """
    stamps = [stamp_of(path) for path in (*shards, *(path for paths in parts.values() for path in paths))]
    plan = {"shards": stamps, "vocabulary_size": vocabulary_size}
    mapped = writable_folder(folder, plan)
    with FileLock(mapped / LOCK):
        done = read_json(mapped / STAMP)
        if done is None or done["plan"] != plan:
            (mapped / STAMP).unlink(missing_ok=True)
            names = copy_histories(mapped, shards, vocabulary_size)
            log = map_log(mapped, names[EVENTS])
            for part, paths in parts.items():
                names[part] = copy_views(mapped, part, paths, log, vocabulary_size)
            done = {"plan": plan, "columns": names}
            write_text_whole(mapped / STAMP, json.dumps(done))
    names = done["columns"]
    return map_log(mapped, names[EVENTS]), {part: map_columns(mapped, part, names[part]) for part in parts}


def stamp_of(path: Path) -> list[Any]:
    """Return a file's name, size and time of change."""
    return [path.name, path.stat().st_size, path.stat().st_mtime_ns]


def writable_folder(folder: Path, plan: Mapping[str, Any]) -> Path:
    """Return the folder for the copies: in the set, or in the cache if the set cannot be written."""
    digest = hashlib.sha256(json.dumps([str(folder.resolve()), plan]).encode()).hexdigest()[:16]
    for mapped in (folder / MAPPED, Path(HF_HOME, "seqrec", digest)):
        try:
            mapped.mkdir(parents=True, exist_ok=True)
            (mapped / LOCK).touch()
        except OSError:
            continue
        return mapped
    raise SavedFolderError(
        f"Neither '{folder}' nor the cache '{HF_HOME}' can be written. Set HF_HOME to another folder."
    )


def read_json(path: Path) -> Any:
    """Return the content of a JSON file; None if there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


class Columns:
    """Arrays that are written to `.npy` files piece by piece, in a `with` block, at whose end the files are closed.

    Args:
        folder: Where the files are written, as `<prefix>.<name>.npy`.
        prefix: What their names begin with.
    """

    def __init__(self, folder: Path, prefix: str) -> None:
        self.folder, self.prefix = folder, prefix
        self.files: dict[str, Any] = {}
        self.types: dict[str, np.dtype] = {}
        self.sizes: dict[str, int] = {}

    def write(self, name: str, values: np.ndarray, source: str) -> None:
        """Append to a column.

        Raises:
            SavedFolderError: If the values have another type than earlier ones.
        """
        if name not in self.files:
            path = self.folder / f"{self.prefix}.{name}.npy"
            path.unlink(missing_ok=True)  # a process that has mapped it keeps the old file
            self.files[name] = path.open("wb")
            self.types[name], self.sizes[name] = values.dtype, 0
            self.write_header(name)
        if values.dtype != self.types[name]:
            raise SavedFolderError(
                f"{source} has {values.dtype} in the column {name}, but other shards have {self.types[name]}."
            )
        np.ascontiguousarray(values).tofile(self.files[name])
        self.sizes[name] += len(values)

    def write_header(self, name: str) -> None:
        """Write the header, which has a fixed length for sizes of up to 20 digits."""
        file = self.files[name]
        file.seek(0)
        header = {
            "descr": np.lib.format.dtype_to_descr(self.types[name]),
            "fortran_order": False,
            "shape": (self.sizes[name],),
        }
        np.lib.format.write_array_header_1_0(file, header)

    def finish(self) -> list[str]:
        """Write the sizes, and return the names of the columns."""
        for name in self.files:
            self.write_header(name)
        return list(self.files)

    def __enter__(self) -> "Columns":
        return self

    def __exit__(self, *error: object) -> None:
        for file in self.files.values():
            file.close()


def row_groups(path: Path) -> Iterator[pa.Table]:
    """Read a Parquet file one row group after the other.

    Raises:
        SavedFolderError: If it is damaged.
    """
    try:
        file = pq.ParquetFile(path)
        if file.num_row_groups == 0:
            yield file.schema_arrow.empty_table()
        for group in range(file.num_row_groups):
            yield file.read_row_group(group)
    except (OSError, pa.ArrowException) as error:
        raise SavedFolderError(f"{path.name} is damaged: {one_line(error)}.") from error


def copy_histories(mapped: Path, shards: Sequence[Path], vocabulary_size: int) -> dict[str, list[str]]:
    """Copy the events of all histories, and the lengths of the histories; return the columns by prefix."""
    names: list[str] = pq.read_schema(shards[0]).names
    with Columns(mapped, EVENTS) as columns, Columns(mapped, HISTORIES) as lengths:
        for path in shards:
            for table in row_groups(path):
                require_events(table, vocabulary_size, path.name)
                if table.column_names != names:
                    raise SavedFolderError(
                        f"{path.name} has the columns {', '.join(table.column_names)}, but {shards[0].name} has "
                        f"{', '.join(names)}."
                    )
                for name in names:
                    values, lengths_R = read_lists(name, table[name])
                    columns.write(name, values, path.name)
                lengths.write(LENGTHS, lengths_R, path.name)
        return {EVENTS: columns.finish(), HISTORIES: lengths.finish()}


def map_log(mapped: Path, names: Sequence[str]) -> Histories:
    """Map the histories of all users, with these columns of events."""
    lengths_R = map_columns(mapped, HISTORIES, [LENGTHS])[LENGTHS]
    return Histories(map_columns(mapped, EVENTS, names), lengths_R.cumsum() - lengths_R, lengths_R)


def copy_views(mapped: Path, part: str, paths: Sequence[Path], log: Histories, vocabulary_size: int) -> list[str]:
    """Copy the rows of a part, with the places of their first events; return the columns."""
    with Columns(mapped, part) as columns:
        for path in paths:
            for table in row_groups(path):
                require_views(part, table, log, vocabulary_size, path.name)
                rows = {name: table[name].to_numpy() for name in table.column_names}
                for name, values in {"start": log.starts_R[rows.pop("history")], **rows}.items():
                    columns.write(name, values, path.name)
        return columns.finish()


def map_columns(mapped: Path, prefix: str, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Map the columns of these names."""
    return {name: map_array(mapped / f"{prefix}.{name}.npy") for name in names}


def map_array(path: Path) -> np.ndarray:
    """Map an array into memory; an empty one, which cannot be mapped, is read."""
    with path.open("rb") as file:
        np.lib.format.read_magic(file)
        shape, _, _ = np.lib.format.read_array_header_1_0(file)
    return np.asarray(np.load(path, mmap_mode="r" if shape[0] else None))

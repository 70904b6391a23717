"""Tables that an engine reads, such as those on S3 or HDFS: they are copied to the folder that its workers share."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from seqrec.errors import InputError
from seqrec.interactions.data_arguments import DataArguments
from seqrec.interactions.large_sources import LargeSource, find_source
from seqrec.interactions.locations import is_address
from seqrec.interactions.prepared_sets import find_prepared
from seqrec.interactions.user_partitions import num_rows_of, table_files
from seqrec.interactions.workers import Workers

__all__ = ["shared_source", "shared_table"]

DONE = "_DONE"  # in the folder of a copy that is complete, with its address


@contextmanager
def shared_table(source: Any, workers: Workers | None, folder: Path) -> Iterator[str | Path]:
    """Copy a table that only an engine can read; remove the copy when the block is done.

    After errors, the copy of an address is kept for the next call.

    Args:
        source: A path or, with workers, an address of Parquet, CSV or JSON files, in a form that the engine reads, or a
            `ray.data.Dataset` or a DataFrame of Spark.
        workers: The workers of the engine.
        folder: Where to copy it, in a folder that all workers share.

    Yields:
        The source if it is a path, or the folder.

    Raises:
        InputError: If rows are lost.
    """
    if workers is None or (isinstance(source, str | Path) and not is_address(source)):
        yield source
        return
    done = folder / DONE
    if not (isinstance(source, str) and done.exists() and done.read_text(encoding="utf-8") == source):
        copy_table(source, workers, folder)
    try:
        yield folder
    except BaseException:
        if not isinstance(source, str):
            shutil.rmtree(folder)
        raise
    shutil.rmtree(folder)


def copy_table(source: Any, workers: Workers, folder: Path) -> None:
    """Copy a table by the engine, and check that all rows are there."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    expected = workers.copy_table(source, folder.resolve())
    copied = num_rows_of([path for path in table_files(folder) if path.stat().st_size])
    if copied != expected:
        raise InputError(f"The table has {expected:,} rows, but {copied:,} were copied to '{folder}'. Try again.")
    (folder / DONE).write_text(source if isinstance(source, str) else "", encoding="utf-8")


@contextmanager
def shared_source(arguments: DataArguments, workers: Workers, output: str | Path) -> Iterator[LargeSource]:
    """Find the files of a data set of any size for workers, copying a table that only the engine can read.

    Args:
        arguments: The data set.
        workers: The workers.
        output: The folder to prepare it in; a copy lies next to it until the block is done.

    Raises:
        InputError: If it is no table in files, or rows are lost.
    """
    dataset = str(arguments.dataset)
    is_prepared = Path(dataset).exists() and find_prepared(dataset) is not None
    with shared_table(dataset, workers, Path(f"{output}.table")) as table:
        source = None if arguments.streaming or is_prepared else find_source(str(table))
        if source is None:
            raise InputError(
                f"An engine prepares tables in files, but '{dataset}' is none. Give a file or folder that the workers "
                "share, or an address that the engine reads, such as s3://bucket/table."
            )
        yield replace(source, name=Path(dataset).stem) if is_address(dataset) else source

"""Yambda: listens and likes of users of Yandex Music, in three sizes (Hub: `yandex/yambda`).

A. Ploshkin et al., "Yambda-5B: A Large-Scale Multi-modal Dataset for Ranking And Retrieval", 2025 (arXiv:2505.22238).

Its times are seconds since an unpublished moment, in steps of 5. Here they count from `ORIGIN` on, so that models can
read them as times: differences are true, while dates, weekdays and hours mean nothing.
"""

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm.auto import tqdm

from seqrec.errors import InputError
from seqrec.interactions.cached_sets import INTERACTIONS, require_room, write_parts
from seqrec.interactions.hub_files import hub_file
from seqrec.interactions.one_line import one_line
from seqrec.interactions.public_names import LISTEN_PLUS, PublicName

__all__ = ["ORIGIN", "YAMBDA_TERMS", "is_too_large", "write_yambda"]

REPOSITORY = "yandex/yambda"
YAMBDA_TERMS = "Apache 2.0 (https://huggingface.co/datasets/yandex/yambda)"
ORIGIN = 946_684_800  # 2000-01-01, in seconds since 1970
HALF = 50  # percent of a track that count as having listened to it
IDS = {"uid": "user_id", "item_id": "item_id", "timestamp": "timestamp"}
OTHERS = ("is_organic", "played_ratio_pct", "track_length_seconds", "event_type")
BATCH_ROWS = 1_000_000


def is_too_large(name: PublicName) -> bool:
    """Return whether events are too many for one table in memory: billions."""
    return name.set == "yambda-5b" and name.table in (LISTEN_PLUS, "listens", "multi_event")


def write_yambda(name: PublicName, folder: Path) -> None:
    """Download events of Yambda and write them as parts, batch by batch.

    The columns are `user_id`, `item_id` (integers), `timestamp` (seconds since 1970, see above), `is_organic` and, for
    listens, `played_ratio_pct` and `track_length_seconds`; with several kinds of events, also `event_type`.

    Raises:
        InputError: If the file has other columns than expected, or no disk has room for it.
        HubError: If the Hub refuses.
        HubConnectionError: If it cannot be reached.
    """
    events = "listens" if name.table == LISTEN_PLUS else name.table
    file = f"flat/{name.set.removeprefix('yambda-')}/{events}.parquet"
    path = hub_file(REPOSITORY, file, name.revision)
    require_room(folder, path.stat().st_size, str(name))
    with open_events(path, file) as parquet:
        num_rows = write_parts(batches_of(parquet, name), folder / INTERACTIONS)
    if num_rows == 0:
        raise InputError(f"'{file}' of '{REPOSITORY}' has no such events. Give another part of {name.set}.")


def open_events(path: Path, file: str) -> pq.ParquetFile:
    """Open a file of events, and refuse one with other columns than expected."""
    try:
        schema = pq.read_schema(path)
    except (OSError, ValueError) as error:  # ArrowInvalid is a ValueError
        raise InputError(f"'{path}' could not be read: {one_line(error)}. Remove it to download it again.") from error
    integers = {field.name for field in schema if pa.types.is_integer(field.type)}
    wrong = [column for column in IDS if column not in integers]
    if wrong:
        found = ", ".join(f"{field.name} ({field.type})" for field in schema)
        raise InputError(
            f"'{file}' of '{REPOSITORY}' has no column {wrong[0]} of integers, but: {one_line(found)}. The data set "
            "has changed: give an earlier commit after the name, as in NAME@COMMIT."
        )
    return pq.ParquetFile(path)


def batches_of(parquet: pq.ParquetFile, name: PublicName) -> Iterator[pl.DataFrame]:
    """Read the events in batches, with our names and times."""
    names = parquet.schema_arrow.names
    kept = [column for column in OTHERS if column in names]
    if name.table == LISTEN_PLUS and "played_ratio_pct" not in names:
        raise InputError(
            f"The listens of '{REPOSITORY}' have no column played_ratio_pct, but: {one_line(', '.join(names))}. Give "
            f"{name.set}:listens for all of them, or an earlier commit after the name, as in NAME@COMMIT."
        )
    with tqdm(total=parquet.metadata.num_rows, desc=f"Converting {name}", unit="row", unit_scale=True) as bar:
        for batch in parquet.iter_batches(BATCH_ROWS, columns=[*IDS, *kept]):
            table = pl.from_arrow(batch)
            assert isinstance(table, pl.DataFrame)
            bar.update(table.height)
            if name.table == LISTEN_PLUS:
                table = table.filter(pl.col("played_ratio_pct") >= HALF)
            times = pl.col("timestamp").cast(pl.Int64) + ORIGIN
            text = [pl.col("event_type").cast(pl.String)] if "event_type" in kept else []
            yield table.with_columns(times, *text).rename(IDS).select(*IDS.values(), *kept)

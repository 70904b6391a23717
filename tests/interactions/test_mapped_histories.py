"""Histories of large prepared sets are mapped into memory, and equal those that are read."""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset

from seqrec.errors import SavedFolderError
from seqrec.hub.product_files import prepared_set_files
from seqrec.interactions import history_files, mapped_histories
from seqrec.interactions.data_arguments import DataArguments
from seqrec.interactions.label_columns import register_label_columns
from seqrec.interactions.large_preparation import prepare_large
from seqrec.interactions.large_sources import find_source
from seqrec.interactions.prepared_sets import PreparedData, find_prepared


@pytest.fixture
def folder(tmp_path):
    """A prepared set of several shards, with impressions."""
    register_label_columns(["click"])
    random = np.random.default_rng(0)
    table = pl.DataFrame(
        {
            "user_id": random.integers(0, 40, 800),
            "item_id": random.integers(0, 20, 800),
            "timestamp": random.integers(0, 60, 800),
            "click": random.integers(0, 4, 800).clip(max=1),
        }
    )
    table.write_parquet(tmp_path / "log.parquet")
    source = find_source(str(tmp_path / "log.parquet"))
    arguments = DataArguments(dataset=str(tmp_path / "log.parquet"))
    prepare_large(arguments, source, tmp_path / "set", event_columns=["click"], rows_per_part=200)
    return tmp_path / "set"


def columns_of(data):
    """Return all arrays of a prepared set by name."""
    found = {}
    for part, rows in data.sequences.items():
        found |= {f"{part} {name}": values for name, values in (rows.columns | rows.rows).items()}
        found |= {f"{part} start": rows.starts_R, f"{part} length": rows.lengths_R}
    shown = data.sequences["train"].impressions
    return found | {name: shown[name] for name in ("impression_ids", "impression_places")}


def base_of(array):
    """Return the object that owns an array's memory."""
    while isinstance(array, np.ndarray) and array.base is not None:
        array = array.base
    return array


def assert_equal_columns(first, second):
    assert list(first) == list(second)
    for name, values in first.items():
        assert all(map(np.array_equal, values, second[name])) if isinstance(values, list) else True
        if not isinstance(values, list):
            assert values.dtype == second[name].dtype
            np.testing.assert_array_equal(values, second[name])


def test_they_are_copied_once_and_mapped(folder, monkeypatch):
    first = columns_of(PreparedData.load(folder))
    for name in ("train input_ids", "train start", "test target"):
        assert not isinstance(base_of(first[name]), np.ndarray)  # but a map of a file
        assert type(first[name]) is np.ndarray
    monkeypatch.setattr(mapped_histories, "copy_histories", None)
    assert_equal_columns(columns_of(PreparedData.load(folder)), first)


def test_a_set_in_one_piece_is_mapped_if_it_is_large(folder, tmp_path, monkeypatch):
    data = PreparedData.load(folder)
    data.save(tmp_path / "one")
    assert (tmp_path / "one" / "histories.parquet").exists()
    read = columns_of(PreparedData.load(tmp_path / "one"))
    assert isinstance(base_of(read["train start"]), np.ndarray)
    monkeypatch.setattr(history_files, "EVENTS_IN_MEMORY", 100)
    mapped = columns_of(PreparedData.load(tmp_path / "one"))
    assert (tmp_path / "one" / ".mapped").is_dir()
    assert_equal_columns(mapped, read)
    assert_equal_columns(mapped, columns_of(data))


def test_a_set_that_has_changed_is_copied_again(folder, tmp_path):
    before = columns_of(PreparedData.load(folder))
    path = folder / "histories-00001-of-00004.parquet"
    table = pq.read_table(path)
    lists = table["timestamps"].combine_chunks()
    later = pa.ListArray.from_arrays(lists.offsets, pa.array(lists.values.to_numpy() + 9))
    pq.write_table(table.set_column(table.column_names.index("timestamps"), "timestamps", later), path)
    after = columns_of(PreparedData.load(folder))  # while the earlier one is still mapped
    assert (after["train timestamps"] - before["train timestamps"]).max() == 9
    np.testing.assert_array_equal(after["train input_ids"], before["train input_ids"])


def test_a_set_that_cannot_be_written_is_copied_to_the_cache(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(mapped_histories, "HF_HOME", str(tmp_path / "cache"))
    (folder / ".mapped").write_text("in the way")
    PreparedData.load(folder)
    assert (tmp_path / "cache" / "seqrec").is_dir()


def test_a_missing_shard_is_named(folder):
    (folder / "train-00002-of-00004.parquet").unlink()
    with pytest.raises(SavedFolderError, match=r"train-00002-of-00004.parquet is missing, one of 4 shards"):
        PreparedData.load(folder)


def test_a_damaged_shard_is_named(folder):
    path = folder / "histories-00001-of-00004.parquet"
    content = path.read_bytes()
    path.write_bytes(content[:4] + bytes(400) + content[404:])
    with pytest.raises(SavedFolderError, match=r"histories-00001-of-00004.parquet (is damaged|holds|has)"):
        PreparedData.load(folder)
    path.write_bytes(content[:100])
    with pytest.raises(SavedFolderError, match=r"histories-00001-of-00004.parquet|prepared set .* cannot be read"):
        PreparedData.load(folder)


def test_shards_of_other_columns_or_types_are_named(folder):
    path = folder / "histories-00003-of-00004.parquet"
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["click"]), path)
    with pytest.raises(SavedFolderError, match=r"00003-of-00004.parquet has the columns input_ids, timestamps, but"):
        PreparedData.load(folder)
    place, times = table.column_names.index("timestamps"), table["timestamps"].cast(pa.list_(pa.float64()))
    pq.write_table(table.set_column(place, "timestamps", times), path)
    with pytest.raises(
        SavedFolderError, match=r"00003-of-00004.parquet has float64 in the column timestamps, but other"
    ):
        PreparedData.load(folder)
    path = folder / "test-00003-of-00004.parquet"
    pq.write_table(table, folder / "histories-00003-of-00004.parquet")
    pq.write_table(pq.read_table(path).set_column(0, "history", pa.array([999] * len(pq.read_table(path)))), path)
    with pytest.raises(SavedFolderError, match=r"test-00003-of-00004.parquet refers to histories beyond the 40"):
        PreparedData.load(folder)


def test_it_is_found_shared_and_read_by_datasets(folder):
    assert find_prepared(folder) == folder
    names = {path.name for path in prepared_set_files(folder)}
    assert {"histories-00003-of-00004.parquet", "train_impressions-00000-of-00004.parquet"} <= names
    assert not any("mapped" in name for name in names)
    data = PreparedData.load(folder)
    histories = load_dataset(str(folder), "histories", split="histories")
    for part, rows in {**load_dataset(str(folder), "train"), **load_dataset(str(folder), "held_out")}.items():
        views = [histories[row["history"]]["input_ids"][: row["length"]] for row in rows]
        assert views == [items.tolist() for items in data.sequences[part]["input_ids"]]


def test_of_several_that_load_it_one_copies(folder, monkeypatch):
    copy, copies = mapped_histories.copy_histories, []
    monkeypatch.setattr(
        mapped_histories, "copy_histories", lambda *args: (copies.append(1), time.sleep(0.2), copy(*args))[-1]
    )
    with ThreadPoolExecutor(3) as pool:
        loaded = [columns_of(data) for data in pool.map(PreparedData.load, [folder] * 3)]
    assert len(copies) == 1
    for columns in loaded[1:]:
        assert_equal_columns(columns, loaded[0])

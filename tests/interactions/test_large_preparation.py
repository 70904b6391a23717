"""A set that is prepared part by part is the one that is prepared in memory."""

from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from seqrec.interactions.data_arguments import DataArguments
from seqrec.interactions.large_preparation import prepare_large
from seqrec.interactions.large_sources import find_source
from seqrec.interactions.preparation import prepare
from seqrec.interactions.prepared_sets import PreparedData


def prepare_both(folder, dataset, rows_per_part=20, event_columns=(), **options):
    """Prepare a data set in memory and part by part; return both, and what became of the rows."""
    arguments = DataArguments(dataset=str(dataset), **options)
    prepare(arguments, event_columns=event_columns).save(folder / "memory", name="set")
    source = find_source(arguments.dataset)
    written = prepare_large(
        arguments, source, folder / "large", event_columns=event_columns, name="set", rows_per_part=rows_per_part
    )
    return PreparedData.load(folder / "memory"), PreparedData.load(folder / "large"), written


def assert_same(folder, expected, found):
    """Compare two prepared sets, the files too where they do not depend on the number of shards."""
    for file in ("items.parquet", "tokenizer.json", "tokenizer_config.json", "protocol.json"):
        assert (folder / "large" / file).read_bytes() == (folder / "memory" / file).read_bytes(), file
    assert found.protocol == expected.protocol
    assert list(found.sequences) == list(expected.sequences)
    for part, rows in expected.sequences.items():
        other = found.sequences[part]
        np.testing.assert_array_equal(other.starts_R, rows.starts_R)
        np.testing.assert_array_equal(other.lengths_R, rows.lengths_R)
        assert list(other.columns) == list(rows.columns)
        assert list(other.rows) == list(rows.rows)
        for name, values in (rows.columns | rows.rows).items():
            same = (other.columns | other.rows)[name]
            assert same.dtype == values.dtype, name
            np.testing.assert_array_equal(same, values)
        assert (other.impressions is None) == (rows.impressions is None)
        if rows.impressions is not None:
            for one, two in zip(other.impressions, rows.impressions, strict=True):
                assert {name: values.tolist() for name, values in one.items()} == {
                    name: values.tolist() for name, values in two.items()
                }


def random_table(random, num_rows=400, num_users=25, num_items=15, num_times=30):
    """Return rows with ties in time and repeats, users in any order."""
    return pl.DataFrame(
        {
            "user_id": random.integers(0, num_users, num_rows) ** 2,
            "item_id": (num_items * random.random(num_rows) ** 2).astype(np.int64),
            "timestamp": 1_600_000_000 + 86_400 * random.integers(0, num_times, num_rows),
        }
    )


def write_shards(table, folder, suffix, num_shards=3):
    """Write a table as files whose rows are in its order."""
    folder.mkdir()
    bounds = [len(table) * shard // num_shards for shard in range(num_shards + 1)]
    for shard, (start, stop) in enumerate(pairwise(bounds)):
        part, path = table[start:stop], folder / f"part-{shard:03d}{suffix}"
        part.write_parquet(path) if suffix == ".parquet" else part.write_csv(path)
    return folder


OPTIONS = {
    "plain": {},
    "few validating users": {"validation_users": 4},
    "temporal": {"split_method": "temporal", "validation_fraction": 0.15, "test_fraction": 0.2},
    "k-core": {"min_user_interactions": 6, "min_item_interactions": 20},
    "first": {"duplicates": "first"},
    "all": {"duplicates": "last", "min_user_interactions": 3, "min_item_interactions": 4, "split_method": "temporal"},
}


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("kind", ["integers", "text"])
def test_it_is_what_is_prepared_in_memory(tmp_path, suffix, options, kind):
    table = random_table(np.random.default_rng(7))
    if kind == "text":
        table = table.with_columns(pl.format("u{}", "user_id"), pl.format("item {}, ü", "item_id"))
    shards = write_shards(table, tmp_path / "shards", suffix)
    expected, found, written = prepare_both(tmp_path, shards, **OPTIONS[options])
    assert_same(tmp_path, expected, found)
    assert written.counts.num_read == len(table)
    assert written.num_rows == {part: len(expected.sequences[part]) for part in ("train", "validation", "test")}
    assert not (tmp_path / "large.parts").exists()
    assert len(list((tmp_path / "large").glob("histories-*"))) > 3

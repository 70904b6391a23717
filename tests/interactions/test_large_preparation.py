"""A set that is prepared part by part is the one that is prepared in memory."""

import re
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st
from public_files import amazon_meta, amazon_ratings, fake_hub, yambda_events

from seqrec.cli.command_line import main
from seqrec.errors import InputError
from seqrec.interactions import large_preparation, large_sources, work_folder
from seqrec.interactions.data_arguments import DataArguments
from seqrec.interactions.divided_splits import latest
from seqrec.interactions.label_columns import register_label_columns
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


@pytest.mark.parametrize(("kind", "suffix"), [("integers", ".parquet"), ("text", ".csv")])
@pytest.mark.parametrize("options", OPTIONS)
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


@settings(max_examples=15)
@given(
    rows=st.lists(st.tuples(st.integers(-3, 30), st.integers(0, 12), st.integers(0, 9)), min_size=30, max_size=120),
    unit=st.sampled_from([1, 1000, 500, 0.5]),
    rows_per_part=st.integers(5, 200),
    method=st.sampled_from(["leave_one_out", "temporal"]),
    duplicates=st.sampled_from(["keep", "first", "last"]),
)
def test_any_table_is_prepared_alike(rows, unit, rows_per_part, method, duplicates):
    rows = [*rows, *((40, item, item) for item in range(5))]  # so that leave-one-out has a user
    table = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")
    table = table.with_columns((pl.col("timestamp") + 1_600_000_000) * unit)
    with TemporaryDirectory() as name:
        folder = Path(name)
        shards = write_shards(table, folder / "shards", ".parquet", num_shards=4)
        options = {"split_method": method, "duplicates": duplicates}
        try:
            expected, found, _ = prepare_both(folder, shards, rows_per_part, **options)
        except InputError as error:  # such as a split that leaves nothing for a part: both say so
            source = find_source(str(shards))
            arguments = DataArguments(dataset=str(shards), **options)
            with pytest.raises(InputError, match=re.escape(str(error))):
                prepare_large(arguments, source, folder / "again", rows_per_part=rows_per_part)
            return
        assert_same(folder, expected, found)


TIMES = {
    "datetimes": lambda times: times.cast(pl.Datetime("ms")),
    "with a time zone": lambda times: (times * 10**6).cast(pl.Datetime("us", "Europe/Berlin")),
    "days": lambda times: (times // 86_400).cast(pl.Date),
    "milliseconds": lambda times: times * 1000,
    "fractions": lambda times: times * 1000 + times % 7,
    "decimals": lambda times: times + 0.25,
    "text of numbers": lambda times: times.cast(pl.String),
    "text of dates": lambda times: (times * 10**6).cast(pl.Datetime("us")).dt.to_string("%Y-%m-%dT%H:%M:%SZ"),
    "positions": lambda times: times - 1_600_000_000,
}


@pytest.mark.parametrize("kind", TIMES)
def test_times_of_any_kind_are_read_alike(tmp_path, kind):
    table = random_table(np.random.default_rng(1)).with_columns(pl.col("timestamp").map_batches(TIMES[kind]))
    shards = write_shards(table, tmp_path / "shards", ".parquet")
    expected, found, _ = prepare_both(tmp_path, shards, split_method="temporal")
    assert_same(tmp_path, expected, found)


def test_shards_may_have_other_types_of_numbers(tmp_path):
    table = random_table(np.random.default_rng(2))
    shards = tmp_path / "shards"
    shards.mkdir()
    table[:150].cast({"user_id": pl.Int32, "timestamp": pl.Float64}).write_parquet(shards / "a.parquet")
    table[150:150].write_parquet(shards / "b.parquet")
    table[150:].select("timestamp", "item_id", "user_id").write_parquet(shards / "c.parquet")
    (shards / "d.csv").write_text("")
    expected, found, _ = prepare_both(tmp_path, shards)
    assert_same(tmp_path, expected, found)


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
@pytest.mark.parametrize("method", ["leave_one_out", "temporal"])
def test_labels_and_impressions_are_prepared_alike(tmp_path, suffix, method):
    register_label_columns(["rating", "click", "like"])
    random = np.random.default_rng(3)
    table = random_table(random, num_rows=900).with_columns(
        stars=pl.Series(random.integers(1, 11, 900) / 2).replace({1.5: None}),
        click=pl.Series(random.random(900) < 0.6).cast(pl.Int8),
        other=pl.lit("unused"),
    )
    shards = write_shards(table, tmp_path / "shards", suffix)
    expected, found, written = prepare_both(
        tmp_path,
        shards,
        60,
        ["rating", "click", "like"],
        split_method=method,
        rating_column="stars",
        derive=["like=rating>=4"],
    )
    assert_same(tmp_path, expected, found)
    assert written.counts.num_impressions == (table["click"] == 0).sum()
    assert "target_like" in found.sequences["test"].rows


def test_item_features_are_read_alike(tmp_path):
    table = random_table(np.random.default_rng(4)).with_columns(pl.col("item_id").cast(pl.String))
    shards = write_shards(table, tmp_path / "shards", ".csv")
    items = pl.DataFrame({"item_id": [str(item) for item in range(20)]}).with_columns(
        title=pl.format("Item {}", "item_id"), genre=pl.col("item_id").str.slice(0, 1), year=pl.int_range(2000, 2020)
    )
    items.write_csv(tmp_path / "items.csv")
    expected, found, _ = prepare_both(
        tmp_path, shards, items=str(tmp_path / "items.csv"), item_features="genre,year", min_item_interactions=10
    )
    assert_same(tmp_path, expected, found)
    assert found.features.names == expected.features.names
    for name, values in expected.feature_values.items():
        np.testing.assert_array_equal(found.feature_values[name], values)


def test_a_table_of_items_that_cannot_be_read_is_refused_before_the_work(tmp_path):
    shards = write_shards(random_table(np.random.default_rng(4)), tmp_path / "shards", ".parquet")
    with pytest.raises(InputError, match=r"There is no file '.*items.csv'"):
        large(tmp_path, shards, items=str(tmp_path / "items.csv"))
    assert not (tmp_path / "large.parts").exists()


STEPS = ("divide_table", "sort_part", "split_events", "hash_split", "encode_shard")


@pytest.mark.parametrize(("step", "calls"), [*((step, 0) for step in STEPS), ("sort_part", 2), ("encode_shard", 2)])
def test_what_was_interrupted_goes_on(tmp_path, monkeypatch, step, calls):
    shards = write_shards(random_table(np.random.default_rng(5)), tmp_path / "shards", ".parquet")
    arguments = DataArguments(dataset=str(shards), min_item_interactions=5)
    made, done = getattr(large_preparation, step), []

    def interrupted(*args, **kwargs):
        if len(done) == calls:
            raise KeyboardInterrupt
        done.append(step)
        return made(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(large_preparation, step, interrupted)
        with pytest.raises(KeyboardInterrupt):
            prepare_large(arguments, find_source(str(shards)), tmp_path / "large", rows_per_part=50)
    assert (tmp_path / "large.parts").exists()
    assert not (tmp_path / "large").exists()
    with monkeypatch.context() as patch:
        again = []
        for name in ("sort_part", "encode_shard"):
            patch.setattr(large_preparation, name, counted(getattr(large_preparation, name), again))
        prepare_large(arguments, find_source(str(shards)), tmp_path / "large", rows_per_part=50)
    num_shards = len(list((tmp_path / "large").glob("histories-*")))
    sorted_, encoded = {
        "divide_table": (0, 0),
        "sort_part": (calls, 0),
        "split_events": (num_shards, 0),
        "encode_shard": (num_shards, calls),
        "hash_split": (num_shards, num_shards),
    }[step]
    assert again.count("sort_part") == num_shards - sorted_
    assert again.count("encode_shard") == num_shards - encoded
    prepare(arguments).save(tmp_path / "memory", name="set")
    assert_same(tmp_path, PreparedData.load(tmp_path / "memory"), PreparedData.load(tmp_path / "large"))


def counted(made, calls):
    """Return a function that notes its calls."""

    def noted(*args, **kwargs):
        calls.append(made.__name__)
        return made(*args, **kwargs)

    return noted


def large(folder, shards, **options):
    """Prepare shards part by part."""
    return prepare_large(
        DataArguments(dataset=str(shards), **options), find_source(str(shards)), folder / "large", rows_per_part=50
    )


def test_a_shard_of_another_table_is_named(tmp_path):
    table = random_table(np.random.default_rng(6))
    shards = write_shards(table, tmp_path / "shards", ".parquet")
    table.rename({"timestamp": "when"}).write_parquet(shards / "part-001.parquet")
    with pytest.raises(InputError, match=r"part-001.parquet' and '.*part-000.parquet' have different columns"):
        large(tmp_path, shards)
    table.with_columns(timestamp=pl.lit([1, 2])).write_parquet(shards / "part-001.parquet")
    with pytest.raises(InputError, match=r"part-001.parquet' has List.* in the column 'timestamp', and '.*000.parquet"):
        large(tmp_path, shards)
    table.with_columns(timestamp=pl.lit("2024-05-31")).write_parquet(shards / "part-001.parquet")
    table.with_columns(timestamp=pl.lit("17")).write_parquet(shards / "part-000.parquet")
    (shards / "part-002.parquet").unlink()
    with pytest.raises(InputError, match=r"part-001.parquet' has dates as timestamps, and '.*000.parquet' has whole"):
        large(tmp_path, shards)


def test_a_damaged_shard_is_named(tmp_path):
    shards = write_shards(random_table(np.random.default_rng(6), 4000), tmp_path / "shards", ".parquet")
    path = shards / "part-001.parquet"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"part-001.parquet' could not be read as parquet"):
        large(tmp_path, shards)
    path.write_bytes(content[:4] + bytes(len(content) - 604) + content[-600:])
    with pytest.raises(InputError, match=r"part-001.parquet' (is damaged|could not be read as parquet)"):
        large(tmp_path, shards)
    path.write_bytes(content)
    large(tmp_path, shards)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("user_id", None, r"In '.*part-001.parquet': 134 of 134 rows have no user_id"),
        ("item_id", "", r"In '.*part-001.parquet': 134 of 134 rows have an empty item_id"),
        ("item_id", "<|pad|>", r"In '.*part-001.parquet': Row 1 has the item_id '<|pad|>'"),
        ("timestamp", "soon", r"In '.*part-001.parquet': 134 of 134 timestamps could not be read"),
    ],
)
def test_unusable_values_are_named_with_their_shard(tmp_path, column, value, message):
    table = random_table(np.random.default_rng(6)).cast(pl.String)
    shards = write_shards(table, tmp_path / "shards", ".parquet")
    table[:134].with_columns(pl.lit(value, pl.String).alias(column)).write_parquet(shards / "part-001.parquet")
    with pytest.raises(InputError, match=message):
        large(tmp_path, shards)


def test_too_little_disk_is_said_before_the_work(tmp_path, monkeypatch):
    shards = write_shards(random_table(np.random.default_rng(6)), tmp_path / "shards", ".parquet")
    monkeypatch.setattr(work_folder.shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    monkeypatch.setattr(large_preparation, "divide_table", None)
    with pytest.raises(
        InputError, match=r"Dividing the table takes about 0.0 GB on the disk of '.*', which has 0.0 GB"
    ):
        large(tmp_path, shards)


def test_work_of_another_call_is_kept(tmp_path, monkeypatch):
    shards = write_shards(random_table(np.random.default_rng(6)), tmp_path / "shards", ".parquet")
    with monkeypatch.context() as patch:
        patch.setattr(large_preparation, "hash_split", None)
        with pytest.raises(TypeError):
            large(tmp_path, shards)
    with pytest.raises(InputError, match=r"large.parts' holds the work of a call with other data or options"):
        large(tmp_path, shards, min_user_interactions=2)
    with FileLock(tmp_path / "large.parts" / ".lock"), pytest.raises(InputError, match="Another process is working"):
        large(tmp_path, shards)
    large(tmp_path, shards)


def test_more_rows_than_a_frame_holds_are_divided(tmp_path, monkeypatch, capsys):
    shards = write_shards(random_table(np.random.default_rng(6)), tmp_path / "shards", ".parquet")
    monkeypatch.setattr(large_sources, "num_rows_of", lambda files: 2**31 * len(files))
    with pytest.raises(InputError, match=r"has 6,442,450,944 rows, more than the 4,294,967,295 that fit in one table"):
        prepare(DataArguments(dataset=str(shards)))
    assert main(["prepare", "--dataset", str(shards), "--output_dir", str(tmp_path / "set")]) == 0
    assert "Read 400 rows: kept 400.\nWrote the histories (" in capsys.readouterr().out


def test_a_single_user_or_item_is_refused(tmp_path):
    table = random_table(np.random.default_rng(6))
    one = write_shards(table.with_columns(user_id=7), tmp_path / "one", ".parquet")
    with pytest.raises(InputError, match=r"All 400 interactions are of one user \('7'\)"):
        large(tmp_path, one)
    one = write_shards(table.with_columns(item_id=7), tmp_path / "two", ".parquet")
    with pytest.raises(InputError, match=r"All 400 interactions are of one item \('7'\)"):
        large(tmp_path / "second", one)


def test_spellings_are_warned_of_across_parts(tmp_path):
    table = random_table(np.random.default_rng(6)).cast(pl.String)
    table = table.with_columns(pl.col("user_id").replace({"4": "4.0", "9": " 9"}))
    table = pl.concat(
        [table, table[:30].with_columns(user_id=pl.lit("4")), table[:9].with_columns(user_id=pl.lit("9"))]
    )
    shards = write_shards(table.cast({"timestamp": pl.Int64}), tmp_path / "shards", ".parquet")
    with pytest.warns(UserWarning, match="2 of .* users seem to occur under more than one spelling"):
        large(tmp_path, shards)


def test_rows_that_are_dropped_are_counted(tmp_path, caplog):
    shards = write_shards(random_table(np.random.default_rng(8)), tmp_path / "shards", ".parquet")
    expected, _, written = prepare_both(tmp_path, shards, duplicates="first", min_item_interactions=8)
    told = written.counts.describe()
    counts = written.counts
    assert told.startswith(f"Read 400 rows: kept {expected.protocol['num_interactions']}, dropped ")
    assert counts.num_kept + counts.num_repeats + counts.num_rare == 400
    first, second = [record.message for record in caplog.records if record.message.startswith("Filters dropped")]
    assert first == second


def test_cut_offs_are_those_of_the_sorted_column():
    values = [pl.Series(np.random.default_rng(seed).integers(-(2**55), 2**55, 1000)) for seed in range(5)]
    for dtype in (pl.Int64, pl.Float64, pl.Datetime("us")):
        pieces = [one.cast(dtype) for one in values]
        in_order = pl.concat(pieces).sort()
        for place in (1, 2, 777, 4999, 5000):
            assert latest(lambda pieces=pieces: iter(pieces), (place,)) == [in_order[-place]]


KILLED = """
import os, signal, sys
from seqrec.interactions import large_preparation
from seqrec.interactions.data_arguments import DataArguments
from seqrec.interactions.large_sources import find_source

encode, calls = large_preparation.encode_shard, []

def killed(encoding, index, folder):
    if index == 2:
        encode(encoding, index, folder)  # all files of the shard are there, but nothing says so
        os.kill(os.getpid(), signal.SIGKILL)
    return encode(encoding, index, folder)

large_preparation.encode_shard = killed
source = find_source(sys.argv[1])
large_preparation.prepare_large(DataArguments(dataset=sys.argv[1]), source, sys.argv[2], rows_per_part=50)
"""


def test_what_was_killed_goes_on(tmp_path):
    shards = write_shards(random_table(np.random.default_rng(9)), tmp_path / "shards", ".parquet")
    process = subprocess.run([sys.executable, "-c", KILLED, shards, tmp_path / "large"], check=False)
    assert process.returncode == -signal.SIGKILL
    large(tmp_path, shards)
    prepare(DataArguments(dataset=str(shards))).save(tmp_path / "memory", name="set")
    assert_same(tmp_path, PreparedData.load(tmp_path / "memory"), PreparedData.load(tmp_path / "large"))
    assert {path.name for path in tmp_path.iterdir()} == {"shards", "memory", "large"}


@pytest.fixture
def public(monkeypatch, tmp_path):
    """Public data sets from generated files; see `fake_hub`."""
    monkeypatch.delenv("SEQREC_DATA_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    files = fake_hub(monkeypatch, tmp_path / "hub")
    for size in ("50m", "5b"):
        files[f"flat/{size}/listens.parquet"] = yambda_events(num_users=40)
    files["benchmark/5core/rating_only/Video_Games.csv"] = amazon_ratings(num_users=60)
    files["raw/meta_categories/meta_Video_Games.jsonl"] = amazon_meta()
    return files


@pytest.mark.parametrize("name", ["yambda-50m", "amazon-2023:Video_Games"])
@pytest.mark.parametrize(
    "options",
    [
        {"split_method": "official"},
        {"split_method": "official", "duplicates": "first", "min_item_interactions": 3, "min_user_interactions": 2},
        {"split_method": "leave_one_out"},
    ],
)
def test_public_sets_are_prepared_alike(public, tmp_path, name, options):
    expected, found, written = prepare_both(tmp_path, name, **options)
    assert_same(tmp_path, expected, found)
    assert found.protocol["dataset"] == name
    assert found.protocol["dataset_terms"]
    has_gaps = name == "yambda-50m" and options["split_method"] == "official"
    assert (written.counts.num_in_gaps > 0) == has_gaps
    assert ("in the gaps of the split" in written.counts.describe()) == has_gaps


def test_billions_of_rows_are_prepared_by_name(public, tmp_path, monkeypatch, capsys):
    """Never as one table: what `seqrec train` refuses, `seqrec prepare` divides."""
    monkeypatch.setattr(large_preparation, "ROWS_IN_MEMORY", 100)
    monkeypatch.setattr("seqrec.interactions.preparation.load_interactions", lambda *_, **__: pytest.fail("one table"))
    output = str(tmp_path / "set")
    train = ["train", "--dataset", "yambda-5b", "--output_dir", str(tmp_path / "model")]
    assert main(train) == 2
    assert "Run `seqrec prepare` first, which divides it" in capsys.readouterr().err
    assert public["asked"] == []
    assert main(["prepare", "--dataset", "yambda-5b", "--split_method", "official", "--output_dir", output]) == 0
    assert PreparedData.load(tmp_path / "set").protocol["dataset"] == "yambda-5b"
    assert "in the gaps of the split" in capsys.readouterr().out


def test_an_official_split_with_an_empty_part_is_refused_alike(public, tmp_path):
    early = yambda_events(num_users=40).filter(pl.col("timestamp") < 20_000_000)
    public["flat/50m/listens.parquet"] = early
    arguments = DataArguments(dataset="yambda-50m", split_method="official")
    with pytest.raises(InputError, match="leaves nothing for validation") as in_memory:
        prepare(arguments)
    with pytest.raises(InputError) as divided:
        prepare_large(arguments, find_source("yambda-50m"), tmp_path / "large", rows_per_part=50)
    assert str(divided.value) == str(in_memory.value)

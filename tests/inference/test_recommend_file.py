"""Recommending for the users of files that do not fit in memory."""

import json
from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from seqrec.errors import InputError
from seqrec.inference import recommend_file as module
from seqrec.interactions.user_partitions import partition_by_user, table_files

NUM_USERS = 60


@pytest.fixture
def model_type():
    return "sasrec"


@pytest.fixture
def log():
    random = np.random.default_rng(0)
    users = random.integers(0, NUM_USERS, 900)
    return pl.DataFrame(
        {
            "user_id": users * 7,
            "item_id": [f"item {item}" for item in random.integers(0, 40, 900)],
            "timestamp": random.integers(0, 50, 900),  # many ties, which keep the order of the rows
        }
    )


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(module, "ROWS_PER_PART", 200)
    monkeypatch.setattr("seqrec.interactions.user_partitions.BATCH_ROWS", 130)


def in_parts(recommender, source, output, **options):
    return recommender.recommend_file(source, output, 3, **options)


def read(path):
    readers = {".parquet": pl.read_parquet, ".csv": pl.read_csv, ".jsonl": pl.read_ndjson}
    return readers[path.suffix](path)


@pytest.mark.parametrize("kind", [".parquet", ".csv", ".jsonl"])
@pytest.mark.parametrize("source_kind", [".parquet", ".csv", "folder"])
def test_lists_are_those_of_the_whole_table(recommender, log, tmp_path, kind, source_kind):
    source, output = tmp_path / f"log{source_kind}", tmp_path / f"lists{kind}"
    if source_kind == "folder":
        source.mkdir()
        for place in range(3):
            log[place * 300 : (place + 1) * 300].write_parquet(source / f"part-{place}.parquet")
    else:
        log.write_parquet(source) if source_kind == ".parquet" else log.write_csv(source)
    found = in_parts(recommender, source, output)
    whole = recommender.recommend_frame(source, 3)
    assert read(output).rows() == read_back(whole, kind, tmp_path).rows()
    assert (found.num_rows, found.num_users) == (len(whole), NUM_USERS)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted({source.name, output.name, f"whole{kind}"})


def read_back(frame, kind, folder):
    path = folder / f"whole{kind}"
    {".parquet": frame.write_parquet, ".csv": frame.write_csv, ".jsonl": frame.write_ndjson}[kind](path)
    return read(path)


def test_parts_hold_whole_users_in_order(log, tmp_path):
    log.write_parquet(tmp_path / "log.parquet")
    paths = partition_by_user(table_files(tmp_path / "log.parquet"), tmp_path, 4)
    parts = [pl.read_parquet(path) for path in paths]
    assert len(parts) == 4
    assert max(len(part) for part in parts) < 2 * min(len(part) for part in parts)
    assert all(one["user_id"].max() < other["user_id"].min() for one, other in pairwise(parts))
    users = [user for part in parts for user in part["user_id"].unique()]
    for user in users:
        own = pl.concat(parts).filter(pl.col("user_id") == user)
        assert own.rows() == log.filter(pl.col("user_id") == user).rows()
    assert len(users) == NUM_USERS


def test_one_user_cannot_be_divided(tmp_path):
    pl.DataFrame({"user_id": ["u"] * 50, "item_id": ["i"] * 50}).write_parquet(tmp_path / "log.parquet")
    (path,) = partition_by_user(table_files(tmp_path / "log.parquet"), tmp_path, 5)
    assert len(pl.read_parquet(path)) == 50


@pytest.mark.parametrize("stop_at", [0, 1, 3])
def test_an_interrupted_run_goes_on_where_it_stopped(recommender, log, tmp_path, monkeypatch, stop_at):
    source, output = tmp_path / "log.parquet", tmp_path / "lists.parquet"
    log.write_parquet(source)
    whole = recommender.recommend_frame(source, 3)
    calls, plain = [], type(recommender).recommend_frame

    def interrupted(self, frame, k, **options):
        calls.append(frame)
        if len(calls) == stop_at + 2:  # the first call tries the options
            raise KeyboardInterrupt
        return plain(self, frame, k, **options)

    monkeypatch.setattr(type(recommender), "recommend_frame", interrupted)
    with pytest.raises(KeyboardInterrupt):
        in_parts(recommender, source, output)
    assert not output.exists()
    assert len(list((tmp_path / "lists.parquet.parts").glob("lists-*"))) == stop_at
    calls[:] = [None] * 10
    in_parts(recommender, source, output)
    assert len(calls) == 10 + 1 + 5 - stop_at
    assert pl.read_parquet(output).equals(whole)
    assert not (tmp_path / "lists.parquet.parts").exists()


def test_parts_of_another_run_are_left_alone(recommender, log, tmp_path):
    source, output = tmp_path / "log.parquet", tmp_path / "lists.parquet"
    log.write_parquet(source)
    (tmp_path / "lists.parquet.parts").mkdir()
    (tmp_path / "lists.parquet.parts" / "plan.json").write_text(json.dumps({"sha256": "other"}))
    with pytest.raises(InputError, match=r"holds parts of another run, with another table, model or options\."):
        in_parts(recommender, source, output)


def test_mistakes_show_before_the_work(recommender, log, tmp_path):
    source, output = tmp_path / "log.parquet", tmp_path / "lists.parquet"
    log.write_parquet(source)
    with pytest.raises(InputError, match="no column 'year'"):
        in_parts(recommender, source, output, where="year > 3")
    with pytest.raises(InputError, match="never holds them all"):
        in_parts(recommender, source, output, min_exposure=0.2)
    with pytest.raises(InputError, match=r"must end in one of .parquet, .csv, .jsonl"):
        in_parts(recommender, source, tmp_path / "lists.txt")
    with pytest.raises(InputError, match="The table has no column 'uid'"):
        in_parts(recommender, source, output, columns={"user_id": "uid"})
    assert [path.name for path in tmp_path.iterdir()] == ["log.parquet"]


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (pl.DataFrame({"user_id": ["a"], "item_id": ["item 1"], "timestamp": [1]}), "must be parts of one table"),
        (
            pl.DataFrame({"user_id": [None], "item_id": ["item 1"], "timestamp": [1]}).cast({"user_id": pl.Int64}),
            "no user_id",
        ),
    ],
)
def test_files_that_do_not_fit_are_named(recommender, log, tmp_path, second, message):
    (tmp_path / "log").mkdir()
    log.write_parquet(tmp_path / "log" / "a.parquet")
    second.write_parquet(tmp_path / "log" / "b.parquet")
    with pytest.raises(InputError, match=rf"b.parquet' ?.*{message}"):
        in_parts(recommender, tmp_path / "log", tmp_path / "lists.parquet")

"""Recommending for the users of files that do not fit in memory."""

import errno
import json
from itertools import pairwise

import polars as pl
import pyarrow.parquet as pq
import pytest

from seqrec.cli.command_line import main
from seqrec.errors import InputError
from seqrec.inference import recommend_file as module
from seqrec.interactions.user_partitions import UserTables, table_files

NUM_USERS = 60


@pytest.fixture
def model_type():
    return "sasrec"


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(module, "ROWS_PER_PART", 200)
    monkeypatch.setattr("seqrec.interactions.table_streams.BATCH_ROWS", 130)
    monkeypatch.setattr("seqrec.interactions.delimited_chunks.CHUNK_BYTES", 1700)


def in_parts(recommender, source, output, **options):
    return recommender.recommend_file(source, output, 3, **options)


def read(path):
    readers = {".parquet": pl.read_parquet, ".csv": pl.read_csv, ".jsonl": pl.read_ndjson}
    return readers[path.suffix](path)


@pytest.mark.parametrize("kind", [".parquet", ".csv", ".jsonl"])
@pytest.mark.parametrize("source_kind", [".parquet", ".csv", ".jsonl", "folder"])
def test_lists_are_those_of_the_whole_table(recommender, log, tmp_path, kind, source_kind):
    source, output = tmp_path / f"log{source_kind}", tmp_path / f"lists{kind}"
    if source_kind == "folder":
        source.mkdir()
        for place in range(3):
            log[place * 300 : (place + 1) * 300].write_parquet(source / f"part-{place}.parquet")
    else:
        {".parquet": log.write_parquet, ".csv": log.write_csv, ".jsonl": log.write_ndjson}[source_kind](source)
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
    found = UserTables(table_files(tmp_path / "log.parquet")).divide(tmp_path, 4)
    parts = [pl.read_parquet(part.path) for part in found]
    assert [part.num_users for part in found] == [part["user_id"].n_unique() for part in parts]
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
    (part,) = UserTables(table_files(tmp_path / "log.parquet")).divide(tmp_path, 5)
    assert len(pl.read_parquet(part.path)) == 50


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
    assert len(calls) == 10 + 5 - stop_at  # the options were tried before
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


def shards(folder):
    return [pl.read_parquet(path) for path in sorted(folder.iterdir())]


@pytest.mark.parametrize("exists", [True, False])
def test_a_folder_gets_the_lists_as_shards(recommender, log, tmp_path, exists):
    source, output = tmp_path / "log.parquet", tmp_path / "lists"
    log.write_parquet(source)
    if exists:
        output.mkdir()
    found = in_parts(recommender, source, output if exists else f"{output}/")
    assert sorted(path.name for path in output.iterdir()) == [f"part-{part:05d}.parquet" for part in range(5)]
    whole = recommender.recommend_frame(source, 3)
    assert pl.concat(shards(output)).equals(whole)
    assert (found.num_rows, found.num_users) == (len(whole), NUM_USERS)
    with pytest.raises(InputError, match=r"already holds 'part-00000.parquet', but nothing of an interrupted"):
        in_parts(recommender, source, output)


def test_a_small_table_gives_one_shard(recommender, log, tmp_path):
    log[:90].write_parquet(tmp_path / "log.parquet")
    in_parts(recommender, tmp_path / "log.parquet", f"{tmp_path}/lists/")
    (only,) = shards(tmp_path / "lists")
    assert only.equals(recommender.recommend_frame(log[:90], 3))
    with pytest.raises(InputError, match=r"already holds 'part-00000.parquet'"):
        in_parts(recommender, tmp_path / "log.parquet", tmp_path / "lists")


@pytest.mark.parametrize("kind", ["file", "folder"])
@pytest.mark.parametrize("full_at", range(8))
def test_a_full_disk_ends_it_with_a_sentence_and_keeps_what_is_done(
    recommender, log, tmp_path, monkeypatch, kind, full_at
):
    source = tmp_path / "log.csv"
    log.write_csv(source)
    output = tmp_path / "lists.parquet" if kind == "file" else f"{tmp_path}/lists/"
    work = tmp_path / "lists.parquet.parts" if kind == "file" else tmp_path / "lists" / ".parts"
    written, plain = [], pl.DataFrame.write_parquet
    divided, plain_writer = [], pq.ParquetWriter.write_table

    def write_parquet(self, path, *args, **options):
        written.append(path)
        if len(written) == full_at:
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        return plain(self, path, *args, **options)

    def write_rows(self, table, *args, **options):
        divided.append(table)
        if (full_at == 0 and len(divided) == 3) or (full_at == 7 and len(written) == 5):
            raise OSError(errno.ENOSPC, "No space left on device")
        return plain_writer(self, table, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(pl.DataFrame, "write_parquet", write_parquet)
        patch.setattr(pq.ParquetWriter, "write_table", write_rows)
        if full_at == 6 or (full_at == 7 and kind == "folder"):  # there are 5 parts, and shards are not put together
            in_parts(recommender, source, output)
            return
        with pytest.raises(InputError, match=r"could not be written: .*No space left on device.*\."):
            in_parts(recommender, source, output)
    done = sorted((work if kind == "file" else tmp_path / "lists").glob("[lp]*-0*.parquet"))
    assert len(done) == {0: 0, 7: 5}.get(full_at, full_at - 1)
    assert all(len(pl.read_parquet(path)) for path in done)
    assert not list(tmp_path.rglob(".part-*"))
    assert not (full_at == 0 and list(work.glob("users-*")))
    times = [path.stat().st_mtime_ns for path in done]
    in_parts(recommender, source, output)
    whole = recommender.recommend_frame(source, 3)
    if kind == "folder":
        assert [path.stat().st_mtime_ns for path in done] == times
    assert (pl.read_parquet(output) if kind == "file" else pl.concat(shards(tmp_path / "lists"))).equals(whole)


def test_what_a_killed_process_was_writing_is_removed(recommender, log, tmp_path, monkeypatch):
    source, output = tmp_path / "log.parquet", tmp_path / "lists"
    log.write_parquet(source)
    plain = type(recommender).recommend_frame

    def killed(self, frame, k, **options):
        if str(frame).endswith("users-00002.parquet"):
            raise KeyboardInterrupt
        return plain(self, frame, k, **options)

    with monkeypatch.context() as patch:
        patch.setattr(type(recommender), "recommend_frame", killed)
        with pytest.raises(KeyboardInterrupt):
            in_parts(recommender, source, f"{output}/")
    (output / ".part-0a-part-00002.parquet").write_bytes(b"half")
    assert sorted(path.name for path in (output / ".parts").glob("users-*")) == [
        f"users-{part:05d}.parquet" for part in (2, 3, 4)
    ]
    with pytest.raises(InputError, match="holds parts of another run"):
        recommender.recommend_file(source, output, 4)
    in_parts(recommender, source, output)
    assert pl.concat(shards(output)).equals(recommender.recommend_frame(source, 3))


def test_a_folder_of_another_name_is_left_alone(recommender, log, tmp_path):
    log.write_parquet(tmp_path / "log.parquet")
    (tmp_path / "lists.parquet.parts").mkdir()
    (tmp_path / "lists.parquet.parts" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="holds parts of another run"):
        in_parts(recommender, tmp_path / "log.parquet", tmp_path / "lists.parquet")
    assert (tmp_path / "lists.parquet.parts" / "mine.txt").read_text() == "mine"


def test_progress_shows_users_rate_and_time_left(recommender, log, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(module, "BAR_DELAY", 0)
    log.write_parquet(tmp_path / "log.parquet")
    in_parts(recommender, tmp_path / "log.parquet", tmp_path / "lists.parquet", progress=True)
    shown = capsys.readouterr().err
    assert "Reading: 100%" in shown
    assert "Dividing: 100%" in shown
    (last,) = [line for line in shown.replace("\r", "\n").split("\n") if line.startswith("Recommending: 100%")][-1:]
    assert "60.0/60.0 [" in last
    assert " users/s]" in last


def test_the_command_writes_shards(recommender, log, tmp_path, capsys):
    recommender.save_pretrained(tmp_path / "model")
    log.write_csv(tmp_path / "log.csv")
    command = ["recommend", "--model", str(tmp_path / "model"), "--input", str(tmp_path / "log.csv"), "--k", "3"]
    assert main([*command, "--output", f"{tmp_path}/lists/"]) == 0
    assert f"Wrote 180 recommendations for 60 users to {tmp_path}/lists/." in capsys.readouterr().out
    assert len(shards(tmp_path / "lists")) == 5
    for output, message in [
        (f"{tmp_path}/lists/", "already holds 'part-00000.parquet'"),
        (f"{tmp_path}/log.csv/", "is a file. Leave out the '/' to replace it."),
        (f"{tmp_path}/no/lists/", "is in a folder that does not exist"),
        (f"{tmp_path}/model", "would add to --model"),
        (f"{tmp_path}/lists.txt", "must end in one of .csv, .parquet, .jsonl, or in '/' for a folder."),
    ]:
        assert main([*command, "--output", output]) == 2
        assert message in capsys.readouterr().err

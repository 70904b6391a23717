"""Recommending on workers gives the lists of one process, and survives the death of a worker."""

import sys
from types import SimpleNamespace

import engines
import numpy as np
import polars as pl
import pytest
from engines import Dying, PickledWorkers, local_ray, local_spark

from seqrec.cli.command_line import main
from seqrec.errors import InputError
from seqrec.inference import recommend_file as module
from seqrec.inference import scoring_workers, table_recommender
from seqrec.interactions.user_partitions import UserTables
from seqrec.interactions.workers import run_steps

NUM_USERS = 60


@pytest.fixture(scope="module")
def ray():
    with local_ray() as ray:
        ray.cloudpickle.register_pickle_by_value(engines)
        yield ray


@pytest.fixture
def model_type():
    return "sasrec"


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(module, "ROWS_PER_TASK", 200)


def files_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture
def pickled(monkeypatch):
    """Let workers without an engine stand for those of Ray."""
    monkeypatch.setattr(table_recommender, "find_workers", lambda engine, num_workers: PickledWorkers())


@pytest.mark.parametrize("kind", [".csv", ".parquet", "address"])
def test_lists_of_all_parts_are_those_of_one_process(pickled, recommender, log, tmp_path, kind):
    source, output = tmp_path / f"log{'.csv' if kind == '.csv' else '.parquet'}", tmp_path / "lists.jsonl"
    log.write_csv(source) if kind == ".csv" else log.write_parquet(source)
    items = recommender.item_set(["item 1", "item 2", "item 9", "item 30", "item 31"])
    options = {"allow": items, "deny": ["item 9"], "exclude_seen": False}
    name = f"s3://{source}" if kind == "address" else source
    recommender.recommend_file(name, output, 3, engine="ray", **options)
    whole = recommender.recommend_frame(source, 3, **options)
    found = pl.read_ndjson(output)
    assert found.drop("score").rows() == whole.drop("score").rows()
    np.testing.assert_allclose(found["score"], whole["score"], rtol=1e-5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lists.jsonl", source.name]


def test_rows_that_are_lost_are_noticed(pickled, recommender, log, tmp_path, monkeypatch):
    log.write_parquet(tmp_path / "log.parquet")
    monkeypatch.setattr(UserTables, "batches", lambda tables: iter([log[:700]]))
    with pytest.raises(InputError, match=r"The table had 900 rows at first and 700 later\. Recommend when nothing"):
        recommender.recommend_file(tmp_path / "log.parquet", tmp_path / "lists.parquet", engine="ray")


def test_an_exported_graph_is_not_sent_to_workers(pickled, recommender, log, tmp_path):
    log.write_parquet(tmp_path / "log.parquet")
    recommender.exported = SimpleNamespace(backend="onnx")
    with pytest.raises(InputError, match=r"not a graph \(backend='onnx'\). Load it with backend='torch'"):
        recommender.recommend_file(tmp_path / "log.parquet", tmp_path / "lists.parquet", engine="ray")


def test_spark_finds_the_same_lists(recommender, log, tmp_path):
    log.write_parquet(tmp_path / "log.parquet")
    with local_spark() as session:
        table = session.read.parquet(str(tmp_path / "log.parquet"))
        recommender.recommend_file(table, tmp_path / "lists.parquet", 3, engine="spark")
    whole = recommender.recommend_frame(tmp_path / "log.parquet", 3)
    found = pl.read_parquet(tmp_path / "lists.parquet")
    assert found["user_id"].equals(whole["user_id"])
    assert (found["item_id"] == whole["item_id"]).mean() > 0.99  # ties in time keep the order of the copy


def test_lists_are_those_of_one_process(ray, recommender, folder, log, tmp_path, capsys):
    source, output = tmp_path / "log.csv", tmp_path / "lists"
    log.write_csv(source)
    flags = ["--input", str(source), "--output", f"{output}/", "--k", "3"]
    assert main(["recommend", "--model", str(folder), *flags, "--engine", "ray", "--num_workers", "2"]) == 0
    whole = recommender.recommend_frame(source, 3)
    assert pl.concat([pl.read_parquet(path) for path in sorted(output.iterdir())]).equals(whole)
    assert f"{len(whole)} recommendations for {NUM_USERS} users" in capsys.readouterr().out
    assert files_in(output) == [f"part-{part:05d}.parquet" for part in range(5)]


def test_hidden_items_and_options_hold_on_workers(ray, recommender, log, tmp_path):
    source = tmp_path / "log.parquet"
    log.rename({"user_id": "uid"}).write_parquet(source)
    recommender.hide_items(["item 3", "item 5"])
    options = {"deny": ["item 1"], "item_columns": ["title"], "columns": {"user_id": "uid"}}
    found = recommender.recommend_file(source, tmp_path / "lists.parquet", 4, engine="ray", num_workers=2, **options)
    whole = recommender.recommend_frame(source, 4, **options)
    assert pl.read_parquet(tmp_path / "lists.parquet").equals(whole)
    assert (found.num_rows, found.num_users) == (len(whole), NUM_USERS)
    assert files_in(tmp_path) == ["lists.parquet", "log.parquet"]


@pytest.mark.parametrize("always", [False, True])
def test_a_dead_worker_is_replaced_or_the_end_is_clear(ray, recommender, log, tmp_path, monkeypatch, always):
    source, output, calls = tmp_path / "log.parquet", tmp_path / "lists.parquet", tmp_path / "calls"
    log.write_parquet(source)
    calls.mkdir()
    whole = recommender.recommend_frame(source, 3)

    def run_dying(workers, step, *args, **options):
        return run_steps(workers, Dying(step, calls, always=always), *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(scoring_workers, "run_steps", run_dying)
        if not always:
            recommender.recommend_file(source, output, 3, engine="ray", num_workers=2)
            assert pl.read_parquet(output).equals(whole)
            assert len(list(calls.iterdir())) == 5 + 1
            return
        with pytest.raises(InputError, match=r"A worker of Ray died again and again \(.*\)\. .* Repeat the call"):
            recommender.recommend_file(source, output, 3, engine="ray", num_workers=1)
    assert not output.exists()
    done = list((tmp_path / "lists.parquet.parts").glob("lists-*"))
    assert len(done) == 2
    recommender.recommend_file(source, output, 3, engine="ray", num_workers=1)
    assert pl.read_parquet(output).equals(whole)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["calls", "lists.parquet", "log.parquet"]


def test_a_part_with_other_users_is_refused(ray, recommender, log, tmp_path, monkeypatch):
    log.write_parquet(tmp_path / "log.parquet")
    monkeypatch.setattr(UserTables, "num_users", lambda tables, part: 3)
    with pytest.raises(InputError, match=r"users-0000\d.parquet' had 3 users, and now has 1\d\. Remove its folder"):
        recommender.recommend_file(tmp_path / "log.parquet", tmp_path / "lists.parquet", engine="ray")


def test_warnings_of_workers_are_shown(ray, recommender, log, tmp_path):
    log.with_columns(pl.col("item_id").replace({"item 7": "gone"})).write_parquet(tmp_path / "log.parquet")
    with pytest.warns(UserWarning, match=r"of \d+ .* are not in the vocabulary \(first: 'gone'\)") as caught:
        recommender.recommend_file(tmp_path / "log.parquet", tmp_path / "lists.parquet", engine="ray", num_workers=1)
    assert len(caught) > 2  # not only of the first rows, by which the options are tried


def test_mistakes_are_refused(recommender, log, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="num_workers has no effect without an engine"):
        recommender.recommend_file("log.parquet", "lists.parquet", num_workers=2)
    with pytest.raises(InputError, match=r"The engine 'dask' is unknown\. Choose one of: ray, spark"):
        recommender.recommend_file("log.parquet", "lists.parquet", engine="dask")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"'ray' is not installed .*pip install \"seqrec\[ray\]\""):
        recommender.recommend_file("log.parquet", "lists.parquet", engine="ray")


def test_flags_that_do_not_fit_are_refused(capsys):
    common = ["recommend", "--model", "runs/none", "--k", "3"]
    assert main([*common, "--history", "1", "--engine", "ray"]) == 2
    assert "--engine has no effect without --input" in capsys.readouterr().err
    assert main([*common, "--input", "a.csv", "--output", "b.csv", "--num_workers", "2"]) == 2
    assert "--num_workers only applies to --engine ray" in capsys.readouterr().err

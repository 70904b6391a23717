"""What workers prepare together is, to the byte, what one process prepares."""

import shutil
import sys
from itertools import pairwise

import engines
import numpy as np
import polars as pl
import pytest
from engines import Dying, PickledWorkers, local_ray, local_spark

from seqrec.cli.command_line import main
from seqrec.errors import InputError
from seqrec.interactions import engine_tables, large_preparation
from seqrec.interactions import workers as workers_module
from seqrec.interactions.data_arguments import DataArguments
from seqrec.interactions.engine_tables import shared_table
from seqrec.interactions.label_columns import register_label_columns
from seqrec.interactions.large_preparation import prepare_large
from seqrec.interactions.large_sources import find_source
from seqrec.interactions.workers import find_workers, run_steps

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.data.context")  # of its own settings


@pytest.fixture(scope="module", params=["ray", "spark"])
def engine(request):
    """Each engine in turn, on this machine."""
    if request.param == "ray":
        with local_ray() as ray:
            ray.cloudpickle.register_pickle_by_value(engines)
            yield "ray"
    else:
        with local_spark():
            import pyspark

            pyspark.cloudpickle.register_pickle_by_value(engines)
            yield "spark"


@pytest.fixture
def log():
    random = np.random.default_rng(7)
    return pl.DataFrame(
        {
            "user_id": random.integers(0, 25, 600) ** 2,
            "item_id": (15 * random.random(600) ** 2).astype(np.int64),
            "timestamp": 1_600_000_000 + 86_400 * random.integers(0, 30, 600),  # with ties
            "stars": random.integers(1, 11, 600) / 2,
            "click": (random.random(600) < 0.7).astype(np.int8),
        }
    )


def write_files(table, folder, suffix=".parquet", num_files=4):
    """Write a table as files whose rows are in its order, one of them without rows."""
    folder.mkdir()
    bounds = [*(len(table) * file // (num_files - 1) for file in range(num_files)), len(table)]
    for file, (start, stop) in enumerate(pairwise(bounds)):
        rows, path = table[start:stop], folder / f"part-{file:03d}{suffix}"
        {".parquet": rows.write_parquet, ".csv": rows.write_csv, ".jsonl": rows.write_ndjson}[suffix](path)
    return folder


def prepared(output, dataset, workers, event_columns=(), rows_per_part=80, **options):
    """Prepare a data set in parts; return what was written."""
    arguments = DataArguments(dataset=str(dataset), **options)
    source = find_source(arguments.dataset)
    settings = {"event_columns": event_columns, "name": "set", "rows_per_part": rows_per_part}
    return prepare_large(arguments, source, output, workers=workers, **settings)


def content(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


OPTIONS = {
    "plain": {},
    "temporal": {"split_method": "temporal", "validation_fraction": 0.15, "test_fraction": 0.2},
    "k-core": {"min_user_interactions": 6, "min_item_interactions": 7, "duplicates": "last"},
}
KINDS, SUFFIXES = ("integers", "text", "labels"), (".parquet", ".csv", ".jsonl")
COMBINED = [  # each two values of these together once
    (suffix, kind, [*OPTIONS][(place + other) % 3])
    for place, suffix in enumerate(SUFFIXES)
    for other, kind in enumerate(KINDS)
]
LABELS = {"event_columns": ["rating", "click", "like"], "rating_column": "stars", "derive": ["like=rating>=4"]}


@pytest.mark.parametrize(("suffix", "kind", "options"), COMBINED)
def test_files_are_those_of_one_process(log, tmp_path, suffix, options, kind):
    if kind == "text":
        log = log.with_columns(pl.format("u{}", "user_id"), pl.format("item {}, ü", "item_id"))
    if kind == "labels":
        register_label_columns(["rating", "click", "like"])
    files = write_files(log, tmp_path / "files", suffix)
    more = LABELS if kind == "labels" else {}
    expected = prepared(tmp_path / "one", files, None, **OPTIONS[options], **more)
    found = prepared(tmp_path / "many", files, PickledWorkers(), **OPTIONS[options], **more)
    assert found == expected
    assert content(tmp_path / "many") == content(tmp_path / "one")
    assert len(list((tmp_path / "many").glob("histories-*"))) > 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["files", "many", "one"]


@pytest.mark.parametrize("step", ["FileDivision", "Sorting", "Encoder"])
def test_what_was_interrupted_goes_on(log, tmp_path, monkeypatch, step):
    files = write_files(log, tmp_path / "files")
    prepared(tmp_path / "one", files, None)
    done = []

    class Stopped(PickledWorkers):
        def run(self, called, tasks, *, gpus=False):
            for outcome in super().run(called, tasks, gpus=gpus):
                if type(called.function).__name__ == step and done.count(step) == 2:
                    raise KeyboardInterrupt
                done.append(type(called.function).__name__)
                yield outcome

    with pytest.raises(KeyboardInterrupt):
        prepared(tmp_path / "many", files, Stopped())
    with pytest.raises(InputError, match=r"many.parts' holds the work of a call with other data or options"):
        prepared(tmp_path / "many", files, None)
    prepared(tmp_path / "many", files, PickledWorkers())
    assert content(tmp_path / "many") == content(tmp_path / "one")


def test_errors_of_workers_are_ours(log, tmp_path):
    files = write_files(log.cast(pl.String), tmp_path / "files")
    log[:200].cast(pl.String).with_columns(item_id=pl.lit("")).write_parquet(files / "part-001.parquet")
    with pytest.raises(InputError, match=r"In '.*part-001.parquet': 200 of 200 rows have an empty item_id"):
        prepared(tmp_path / "many", files, PickledWorkers())


def test_results_that_are_missing_are_noticed(log, tmp_path):
    class Losing(PickledWorkers):
        def run(self, step, tasks, *, gpus=False):
            return super().run(step, tasks[1:])

    with pytest.raises(InputError, match=r"Only 2 of 3 parts came back from the workers\. Repeat the call to go on\."):
        prepared(tmp_path / "many", write_files(log, tmp_path / "files"), Losing())


def test_workers_without_the_folder_say_so(log, tmp_path):
    class Elsewhere(PickledWorkers):
        def run(self, step, tasks, *, gpus=False):
            step.folder = tmp_path / "elsewhere"
            return super().run(step, tasks)

    with pytest.raises(InputError, match=r"The worker on .* has no folder '.*elsewhere'. Choose an output in a folder"):
        prepared(tmp_path / "many", write_files(log, tmp_path / "files"), Elsewhere())


def test_a_table_elsewhere_is_copied_for_the_workers(log, tmp_path, monkeypatch, capsys):
    log.write_parquet(tmp_path / "log.parquet")
    monkeypatch.setattr(workers_module, "find_workers", lambda engine, num_workers: PickledWorkers())
    monkeypatch.setattr(large_preparation, "ROWS_PER_PART", 80)
    flags = ["--dataset", f"s3://{tmp_path}/log.parquet", "--output_dir", str(tmp_path / "many"), "--engine", "ray"]
    assert main(["prepare", *flags]) == 0
    assert capsys.readouterr().out.startswith("Read 600 rows: kept 600.\nWrote the histories (")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.parquet", "many"]
    prepared(tmp_path / "one", tmp_path / "log.parquet", None)
    monkeypatch.setattr(PickledWorkers, "copy_table", lambda *args: log.write_parquet(args[2] / "a.parquet") or 601)
    shutil.rmtree(tmp_path / "many")
    assert main(["prepare", *flags]) == 2
    assert "The table has 601 rows, but 600 were copied to" in capsys.readouterr().err


def test_flags_that_do_not_fit_are_refused(tmp_path, capsys):
    common = ["prepare", "--output_dir", str(tmp_path / "set")]
    assert main([*common, "--dataset", "ml-100k", "--num_workers", "2"]) == 2
    assert "--num_workers only applies to --engine ray" in capsys.readouterr().err
    assert main([*common, "--dataset", "s3://bucket/table"]) == 2
    assert "'s3://bucket/table' is an address (s3), but seqrec reads files" in capsys.readouterr().err


def test_an_engine_prepares_files_only(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(workers_module, "find_workers", lambda engine, num_workers: PickledWorkers())
    assert main(["prepare", "--dataset", "ml-100k", "--output_dir", str(tmp_path / "set"), "--engine", "ray"]) == 2
    assert "An engine prepares tables in files, but 'ml-100k' is none" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["ray", "pyspark.sql"])
def test_an_engine_that_is_not_installed_is_named(monkeypatch, name):
    engine = {"ray": "ray"}.get(name, "spark")
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match=rf"'{engine}' is not installed .*pip install \"seqrec\[{engine}\]\""):
        find_workers(engine)


def test_an_engine_prepares_the_same(engine, log, tmp_path):
    register_label_columns(["rating", "click", "like"])
    files = write_files(log, tmp_path / "files", ".csv")
    options = LABELS | OPTIONS["k-core"]
    prepared(tmp_path / "one", files, None, **options)
    prepared(tmp_path / "many", files, find_workers(engine), **options)
    assert content(tmp_path / "many") == content(tmp_path / "one")


@pytest.mark.parametrize("always", [False, True])
def test_an_engine_replaces_a_dead_worker_or_the_end_is_clear(engine, log, tmp_path, monkeypatch, always):
    files, calls = write_files(log, tmp_path / "files"), tmp_path / "calls"
    prepared(tmp_path / "one", files, None)
    calls.mkdir()

    def run_dying(workers, step, *args, **options):
        return run_steps(workers, Dying(step, calls, nth=4, always=always), *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(large_preparation, "run_steps", run_dying)
        if always:
            with pytest.raises(InputError, match=r"(died|failed) again and again.* Repeat the call to go on\."):
                prepared(tmp_path / "many", files, find_workers(engine))
            assert not (tmp_path / "many").exists()
        else:
            prepared(tmp_path / "many", files, find_workers(engine))
            assert content(tmp_path / "many") == content(tmp_path / "one")
    if always:
        prepared(tmp_path / "many", files, find_workers(engine))
        assert content(tmp_path / "many") == content(tmp_path / "one")


def test_an_engine_copies_all_rows(engine, log, tmp_path, monkeypatch):
    files, workers = write_files(log, tmp_path / "files"), find_workers(engine)
    monkeypatch.setattr(engine_tables, "is_address", lambda source: True)
    if engine == "spark":
        table = workers.session.read.parquet(str(files))
    else:
        import ray.data

        table = ray.data.read_parquet(str(files))
    for source in (str(files), table):
        with shared_table(source, workers, tmp_path / "copy") as folder:
            copy = pl.concat([pl.read_parquet(path) for path in folder.glob("*.parquet")])
        assert copy.sort(log.columns).select(log.columns).equals(log.sort(log.columns))
        assert not folder.exists()

import hashlib
import http.server
import io
import os
import threading
import zipfile
from pathlib import Path

import polars as pl
import pytest
from datasets import Dataset
from polars.testing import assert_frame_equal

from seqrec.interactions import movielens, sources
from seqrec.interactions.interactions import read_interactions
from seqrec.interactions.item_tables import read_items
from seqrec.interactions.sources import load_hub_table, load_interactions

LOG = pl.DataFrame({"user_id": ["1", "1", "2"], "item_id": ["7", "8", "7"], "timestamp": [1, 2, 3]})
ITEMS = pl.DataFrame({"item_id": ["7", "8"], "title": ["Seven", "Eight"]})
REAL = Path(os.environ.get("SEQREC_DATA_DIR") or "absent") / "ml-100k"
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason="SEQREC_DATA_DIR holds no ml-100k")

U_DATA = b"1\t2\t3\t881250949\n2\t1\t5\t881250950\n1\t1\t4\t881250950\n"
U_ITEM = (
    '1|Les Miserables: caf\u00e9 "noir" (1995)|01-Jan-1995||http://x|' + "0|0|0|1|1|1" + "|0" * 13 + "\n"
    "2|unknown||||" + "1" + "|0" * 18 + "\n"
).encode("latin-1")
INTER = b"user_id:token\titem_id:token\trating:float\ttimestamp:float\n" + U_DATA
ITEM = (
    "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    '1\tLes Miserables: caf\u00e9 "noir"\t1995\tAnimation Children\'s Comedy\n'
    "2\tunkonwn\tunkonwn\tunknown\n"
).encode()


def zipped(files):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return content.getvalue()


ARCHIVE = zipped({"ml-100k/u.data": U_DATA, "ml-100k/u.item": U_ITEM})
WHEEL = zipped(
    {
        "recbole/dataset_example/ml-100k/ml-100k.inter": INTER,
        "recbole/dataset_example/ml-100k/ml-100k.item": ITEM,
        "recbole-1.2.1.dist-info/METADATA": "Metadata-Version: 2.1\nName: recbole\nVersion: 1.2.1\n",
        "recbole-1.2.1.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "recbole-1.2.1.dist-info/RECORD": "",
    }
)


@pytest.fixture
def fresh_machine(monkeypatch, tmp_path):
    """No data and no network: GroupLens refuses the connection and pip has an empty folder to look in."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    monkeypatch.delenv("SEQREC_DATA_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    monkeypatch.setattr(movielens, "ZIP_URL", "http://127.0.0.1:9/ml-100k.zip")
    contents = {"ml-100k.zip": ARCHIVE, "ml-100k.inter": INTER, "ml-100k.item": ITEM}
    for name, content in contents.items():
        monkeypatch.setitem(movielens.SHA256, name, hashlib.sha256(content).hexdigest())
    return wheels


@pytest.fixture
def serve(monkeypatch):
    """Serve given bytes as GroupLens's archive; returns the list of requests made."""
    servers = []

    def start(content):
        requests = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                requests.append(self.path)
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *arguments):
                pass

        server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(movielens, "ZIP_URL", f"http://127.0.0.1:{server.server_port}/ml-100k.zip")
        return requests

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def check_ml_100k(data):
    assert data.name == "ml-100k"
    assert data.interactions.columns == ["user_id", "item_id", "timestamp", "rating"]
    assert data.interactions.rows() == [
        ("1", "2", 881250949, 3),
        ("1", "1", 881250950, 4),
        ("2", "1", 881250950, 5),
    ]
    assert data.items.rows() == [
        ("1", 'Les Miserables: café "noir"', 1995, "Animation|Children's|Comedy"),
        ("2", "unknown", None, "unknown"),
    ]


def test_ml_100k_is_downloaded_once(fresh_machine, serve, tmp_path, capsys):
    requests = serve(ARCHIVE)
    check_ml_100k(load_interactions("ml-100k"))
    assert "Downloading ml-100k: 100%" in capsys.readouterr().err
    check_ml_100k(load_interactions("ml-100k"))
    assert requests == ["/ml-100k.zip"]
    kept = sorted(path.name for path in (tmp_path / "cache/seqrec/ml-100k").iterdir())
    assert kept == ["interactions.parquet", "items.parquet"]


def test_a_changed_archive_is_refused_and_the_wheel_taken(fresh_machine, serve, caplog):
    serve(ARCHIVE[:-1])
    (fresh_machine / "recbole-1.2.1-py3-none-any.whl").write_bytes(WHEEL)
    check_ml_100k(load_interactions("ml-100k"))
    assert "ml-100k.zip has the SHA-256" in caplog.text


def test_neither_source_within_reach_is_said_with_a_mend(fresh_machine, tmp_path):
    with pytest.raises(ValueError, match=r"could not be downloaded \(GroupLens: .*recbole==1.2.1: .*SEQREC_DATA_DIR"):
        load_interactions("ml-100k")
    assert not (tmp_path / "cache").exists()


def test_a_changed_wheel_is_refused(fresh_machine, monkeypatch):
    (fresh_machine / "recbole-1.2.1-py3-none-any.whl").write_bytes(WHEEL)
    monkeypatch.setitem(movielens.SHA256, "ml-100k.item", "0" * 64)
    with pytest.raises(ValueError, match=r"ml-100k.item has the SHA-256 .*expected 000"):
        load_interactions("ml-100k")


def test_the_data_folder_goes_before_the_cache(fresh_machine, monkeypatch, tmp_path):
    (tmp_path / "own/ml-100k").mkdir(parents=True)
    LOG.write_csv(tmp_path / "own/ml-100k/interactions.csv")
    monkeypatch.setenv("SEQREC_DATA_DIR", str(tmp_path / "own"))
    data = load_interactions("ml-100k")
    assert_frame_equal(data.interactions, LOG)
    assert data.items is None


@needs_real
def test_real_ml_100k():
    data = load_interactions("ml-100k")
    counts = data.interactions.select(pl.all().n_unique()).row(0, named=True)
    assert (data.interactions.height, counts["user_id"], counts["item_id"]) == (100_000, 943, 1682)
    assert data.items.filter(item_id="50")["title"].item().startswith("Star Wars")


@pytest.mark.skipif(not REAL.with_name("ml-1m").is_dir(), reason="SEQREC_DATA_DIR holds no ml-1m")
def test_ml_1m_ties_keep_the_order_of_the_file():
    folder = REAL.with_name("ml-1m")
    raw = pl.read_csv(folder / "interactions.csv.gz", infer_schema=False)
    rows = raw.with_columns(pl.lit(0).alias("timestamp"))  # nothing but ties
    assert_frame_equal(
        load_interactions(rows).interactions["item_id"].to_frame(),
        raw.with_row_index().sort("user_id", "index").select("item_id"),
    )


def test_synthetic_needs_nothing():
    data = load_interactions("synthetic")
    assert data.name == "synthetic"
    assert set(data.interactions["item_id"]) <= set(data.items["item_id"])


def test_files_folders_and_frames(tmp_path):
    folder = tmp_path / "shop"
    folder.mkdir()
    LOG.write_parquet(folder / "interactions.parquet")
    ITEMS.write_csv(folder / "items.csv")
    for dataset, name, items in [
        (folder, "shop", ITEMS),
        (str(folder), "shop", ITEMS),
        (folder / "interactions.parquet", "shop", None),
        (LOG, None, None),
    ]:
        data = load_interactions(dataset)
        assert data.name == name
        assert_frame_equal(data.interactions, LOG)
        assert data.items is None if items is None else data.items.equals(items)
    LOG.write_csv(tmp_path / "log.csv")
    data = load_interactions(tmp_path / "log.csv", items=folder / "items.csv")
    assert (data.name, data.items.equals(ITEMS)) == ("log", True)


def test_columns_are_mapped_in_interactions_and_items(tmp_path):
    log = LOG.rename({"user_id": "uid", "item_id": "sku"})
    items = ITEMS.rename({"item_id": "sku"})
    data = load_interactions(log, columns={"user_id": "uid", "item_id": "sku"}, items=items)
    assert_frame_equal(data.interactions, LOG)
    assert_frame_equal(data.items, ITEMS)


def test_a_folder_of_parts_has_splits_like_a_data_set_of_the_hub(tmp_path, monkeypatch):
    repository = tmp_path / "org" / "log"
    repository.mkdir(parents=True)
    LOG.write_parquet(repository / "train.parquet")
    monkeypatch.chdir(tmp_path)
    data = load_interactions("org/log")
    assert data.name == "log"  # no path of this machine is published
    assert_frame_equal(data.interactions, LOG)
    LOG.write_parquet(repository / "test.parquet")
    with pytest.raises(ValueError, match=r"has the splits train, test. .*'org/log:train\+test'"):
        load_interactions("org/log")
    both = load_interactions("org/log:train+test")
    assert (both.name, both.interactions.height) == ("log", 6)
    assert not both.is_on_hub  # it is a folder after all


def test_a_data_set_that_is_no_folder_is_on_the_hub(monkeypatch):
    monkeypatch.setattr(sources, "load_hub_table", lambda dataset, **options: Dataset.from_polars(LOG))
    data = load_interactions("org/log:train")
    assert (data.name, data.is_on_hub, data.terms) == ("org/log", True, None)


def test_a_streamed_data_set_is_the_same(tmp_path, monkeypatch):
    repository = tmp_path / "org" / "log"
    repository.mkdir(parents=True)
    log = pl.concat([LOG.with_columns(pl.col("user_id") + f"-{number}") for number in range(50)])
    log.write_parquet(repository / "train.parquet")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "seqrec.interactions.table_frames.STREAMED_ROWS", 7
    )  # `datasets` takes the folder for the repository
    streamed, whole = (load_hub_table("org/log", streaming=streaming) for streaming in (True, False))
    assert_frame_equal(read_interactions(streamed), read_interactions(whole))
    log.write_parquet(repository / "test.parquet")
    with pytest.raises(ValueError, match=r"has the splits train, test"):
        load_hub_table("org/log", streaming=True)
    assert read_interactions(load_hub_table("org/log:train+test", streaming=True)).height == 2 * len(log)


def test_ids_of_a_csv_on_the_hub_stay_text(tmp_path, monkeypatch):
    repository = tmp_path / "org" / "zeros"
    repository.mkdir(parents=True)
    (repository / "train.csv").write_text("uid,item_id,timestamp\n01,007,1\n1,7,2\n2,8,3\n")
    monkeypatch.chdir(tmp_path)
    table = load_hub_table("org/zeros", text_columns=["uid", "item_id"])
    rows = read_interactions(table, columns={"user_id": "uid"}).rows()
    assert load_interactions("org/zeros", columns={"user_id": "uid"}).interactions.rows() == rows
    assert rows == [("01", "007", 1), ("1", "7", 2), ("2", "8", 3)]


def test_a_data_folder_without_interactions_is_named(fresh_machine, monkeypatch, tmp_path):
    (tmp_path / "own/ml-100k").mkdir(parents=True)
    monkeypatch.setenv("SEQREC_DATA_DIR", str(tmp_path / "own"))
    with pytest.raises(ValueError, match=r"own/ml-100k' holds no interactions \(interactions.csv, .*remove the folder"):
        load_interactions("ml-100k")


def test_names_that_lead_nowhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match=r"There is no file 'log.csv'"):
        load_interactions("log.csv")
    with pytest.raises(ValueError, match=r"'nobody/nothing' is neither a named set \(ml-100k, synthetic\)"):
        load_interactions("nobody/nothing")


def test_items_that_cannot_be_used_are_refused():
    with pytest.raises(ValueError, match=r"no column 'item_id'. They have: title"):
        read_items(ITEMS.drop("item_id"))
    with pytest.raises(ValueError, match=r"1 items have more than one row .*\(first: '7'\)"):
        read_items(pl.concat([ITEMS, ITEMS[:1]]))
    with pytest.raises(ValueError, match="1 of 1 rows have no item_id"):
        read_items(pl.DataFrame({"item_id": [None], "title": ["x"]}))

"""Public data sets from generated files of the same form: naive conversions must give the same rows."""

import errno
import hashlib
import http.server
import threading

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from public_files import (
    DAY,
    LAST,
    ORIGIN,
    RATINGS,
    amazon_meta,
    amazon_ratings,
    amazon_reviews,
    fake_hub,
    movielens_zip,
    yambda_events,
    zipped,
)

from seqrec.errors import InputError
from seqrec.interactions import cached_sets, grouplens
from seqrec.interactions.data_arguments import DataArguments
from seqrec.interactions.interactions import read_interactions
from seqrec.interactions.official_splits import AMAZON_CUT_OFFS, YAMBDA_CUT_OFFS, official_split
from seqrec.interactions.preparation import filter_interactions, prepare
from seqrec.interactions.public_sets import find_public_set
from seqrec.interactions.sources import load_interactions


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    """An empty cache folder, and no data on this machine."""
    monkeypatch.delenv("SEQREC_DATA_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "seqrec"


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """The files of the Hub; see `fake_hub`."""
    return fake_hub(monkeypatch, tmp_path / "hub")


class Range(http.server.BaseHTTPRequestHandler):
    """Serves `content` of the server in parts if asked to; `drops` connections end halfway."""

    protocol_version = "HTTP/1.0"

    def do_GET(self):
        content, asked = self.server.content, self.headers.get("Range")
        self.server.requests.append((self.path, asked))
        if content is None:
            self.send_error(404)
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.server.knows_ranges else 0
        if start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        sent = content[start:]
        if self.server.drops:
            self.server.drops -= 1
            sent = sent[: len(sent) // 2]
        self.wfile.write(sent)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def grouplens_server(monkeypatch):
    """GroupLens on loopback."""
    server = http.server.HTTPServer(("127.0.0.1", 0), Range)
    server.requests, server.drops, server.knows_ranges = [], 0, True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(grouplens, "ADDRESS", f"http://127.0.0.1:{server.server_port}")

    def serve(name, content=None):
        server.content = movielens_zip(name) if content is None else content
        monkeypatch.setitem(grouplens.MD5, name, hashlib.md5(server.content).hexdigest())
        return server

    yield serve
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("name", ["ml-1m", "ml-20m", "ml-25m", "ml-32m"])
def test_movielens_is_downloaded_once(grouplens_server, home, capsys, name):
    server = grouplens_server(name)
    for _ in range(2):
        data = load_interactions(name)
        assert data.name == name
        ids = RATINGS.with_columns(pl.col("userId", "movieId").cast(pl.String))
        if name == "ml-1m":
            ids = ids.with_columns(pl.col("rating").cast(pl.Int64).cast(pl.Float64))
        expected = ids.rename({"userId": "user_id", "movieId": "item_id"}).sort(
            "user_id", "timestamp", maintain_order=True
        )
        assert_frame_equal(data.interactions, expected, check_column_order=False)
        assert "GroupLens" in data.terms
        assert not data.is_on_hub
    assert server.requests == [(f"/{name}.zip", None)]
    assert f"Downloading {name}.zip" in capsys.readouterr().err
    assert sorted(path.name for path in home.iterdir()) == [name, f"{name}.lock", f"{name}.zip"]


def test_movies(grouplens_server):
    grouplens_server("ml-32m")
    assert load_interactions("ml-32m").items.rows() == [
        ("2", "Jumanji", 1995, "Adventure|Children"),
        ("29", "City of Lost Children, The (Cité, La)", 1995, "Drama"),
        ("32", "Untitled", None, None),
        ("99", "Nixon", 1995, "Drama"),
    ]


def test_movies_of_1m(grouplens_server):
    grouplens_server("ml-1m")
    assert load_interactions("ml-1m").items.rows() == [
        ("2", "Jumanji", 1995, "Adventure|Children's"),
        ("29", "Cité: La", 1995, "Drama"),
        ("32", "Twelve Monkeys (a.k.a. 12 Monkeys)", 1995, "Drama|Sci-Fi"),
        ("99", "Nixon", 1995, "Drama"),
    ]


@pytest.mark.parametrize("knows_ranges", [True, False])
def test_an_interrupted_download_is_resumed(grouplens_server, home, knows_ranges):
    server = grouplens_server("ml-20m")
    server.drops, server.knows_ranges = 1, knows_ranges
    with pytest.raises(InputError, match=r"downloaded: the connection ended after .*Try again, which resumes"):
        load_interactions("ml-20m")
    half = len(server.content) // 2
    assert (home / ".part-ml-20m.zip").stat().st_size == half
    assert len(load_interactions("ml-20m").interactions) == len(RATINGS)
    assert server.requests[1] == ("/ml-20m.zip", f"bytes={half}-")
    assert not (home / ".part-ml-20m.zip").exists()


def test_a_complete_part_is_used(grouplens_server, home):
    server = grouplens_server("ml-20m")
    home.mkdir(parents=True)
    (home / ".part-ml-20m.zip").write_bytes(server.content)
    assert len(load_interactions("ml-20m").interactions) == len(RATINGS)


def test_an_archive_put_there_by_hand_is_used(grouplens_server, home):
    server = grouplens_server("ml-32m")
    home.mkdir(parents=True)
    (home / "ml-32m.zip").write_bytes(server.content)
    assert len(load_interactions("ml-32m").interactions) == len(RATINGS)
    assert server.requests == []


def test_a_changed_archive_is_refused(grouplens_server, home, monkeypatch):
    grouplens_server("ml-20m")
    monkeypatch.setitem(grouplens.MD5, "ml-20m", "0" * 32)
    with pytest.raises(InputError, match=r"ml-20m.zip has the MD5 \w+, expected 0000"):
        load_interactions("ml-20m")
    assert [path.name for path in home.iterdir()] == ["ml-20m.lock"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"ml-20m/ratings.csv": "user,movieId,rating,timestamp\n1,2,3,4\n"},
            "has no column userId, but: user, mo",
        ),
        ({"ml-20m/ratings.csv": "userId,movieId,rating,timestamp\n1,2,good,4\n"}, "cannot be used as ml-20m: .*good"),
        ({"ml-20m/movies.csv": "x"}, "cannot be used as ml-20m: .*ratings.csv"),
    ],
)
def test_other_content_is_refused(grouplens_server, home, files, message):
    grouplens_server("ml-20m", zipped(files))
    with pytest.raises(InputError, match=message) as caught:
        load_interactions("ml-20m")
    assert "\n" not in str(caught.value)
    assert not (home / "ml-20m").exists()


def test_no_network(monkeypatch, home):
    monkeypatch.setattr(grouplens, "ADDRESS", "http://127.0.0.1:9")
    with pytest.raises(InputError, match=r"ml-20m.zip could not be downloaded: Connection refused.*put the file into"):
        load_interactions("ml-20m")


def test_a_missing_file_of_grouplens(grouplens_server):
    grouplens_server("ml-20m").content = None
    with pytest.raises(InputError, match="could not be downloaded: Not Found"):
        load_interactions("ml-20m")


def test_a_full_disk(monkeypatch, grouplens_server):
    grouplens_server("ml-20m")
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(grouplens, "receive", lambda *_: (_ for _ in ()).throw(full))
    with pytest.raises(InputError, match=r"'ml-20m.zip' does not fit on the disk of .*set XDG_CACHE_HOME"):
        load_interactions("ml-20m")


def test_too_little_room_is_found_before_converting(monkeypatch, hub, home):
    hub["flat/50m/likes.parquet"] = yambda_events("likes")
    monkeypatch.setattr(cached_sets.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 10}))
    with pytest.raises(InputError, match=r"yambda-50m:likes needs about .*but .* has only 0.0 GB left"):
        load_interactions("yambda-50m:likes")
    assert not (home / "yambda-50m-likes").exists()


@pytest.mark.parametrize("events", ["listen_plus", "listens", "likes", "unlikes", "multi_event"])
@pytest.mark.parametrize("size", ["50m", "500m"])
def test_yambda(hub, events, size):
    file = "listens" if events == "listen_plus" else events
    table = hub[f"flat/{size}/{file}.parquet"] = yambda_events(file)
    expected = table.filter(pl.col("played_ratio_pct") >= 50) if events == "listen_plus" else table
    for _ in range(2):
        data = load_interactions(f"yambda-{size}:{events}")
        assert data.interactions["user_id"].to_list() == expected["uid"].to_list()
        assert data.interactions["item_id"].to_list() == expected["item_id"].cast(pl.String).to_list()
        assert data.interactions["timestamp"].to_list() == [time + ORIGIN for time in expected["timestamp"].to_list()]
        others = set(table.columns) - {"uid", "item_id", "timestamp"}
        assert set(data.interactions.columns) == {"user_id", "item_id", "timestamp"} | others
        assert data.name == (f"yambda-{size}" if events == "listen_plus" else f"yambda-{size}:{events}")
        assert data.terms.startswith("Apache 2.0")
        assert data.items is None
    assert hub["asked"] == [("yandex/yambda", f"flat/{size}/{file}.parquet", None)]


def test_yambda_is_written_in_parts(hub, home, monkeypatch):
    table = hub["flat/5b/listens.parquet"] = yambda_events()
    monkeypatch.setattr("seqrec.interactions.yambda.BATCH_ROWS", 70)
    monkeypatch.setattr(cached_sets.write_parts, "__kwdefaults__", {"rows_per_part": 100})
    folder = find_public_set("yambda-5b:listens").folder()
    assert folder == home / "yambda-5b-listens"
    parts = sorted((folder / "interactions.parquet").iterdir())
    assert [len(pl.read_parquet(part)) for part in parts] == [140, 140, 140, 60]
    whole = read_interactions(folder / "interactions.parquet")
    assert whole["user_id"].to_list() == table["uid"].to_list()


@pytest.mark.parametrize("name", ["yambda-5b", "yambda-5b:listens", "yambda-5b:multi_event"])
def test_billions_of_events_are_never_one_table(hub, name):
    with pytest.raises(InputError, match="Run `seqrec prepare` first, which divides it"):
        load_interactions(name)
    assert hub["asked"] == []


def test_likes_of_the_largest_size_are_one_table(hub):
    hub["flat/5b/likes.parquet"] = yambda_events("likes")
    assert load_interactions("yambda-5b:likes").interactions.height == 480


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.rename({"uid": "user"}), r"has no column uid of integers, but: user \(uint32"),
        (lambda table: table.cast({"timestamp": pl.Float64}), "has no column timestamp of integers"),
        (lambda table: table.drop("played_ratio_pct"), "have no column played_ratio_pct.*Give yambda-50m:listens"),
        (lambda table: table.clear(), "has no such events"),
    ],
)
def test_a_changed_schema_of_yambda(hub, home, change, message):
    hub["flat/50m/listens.parquet"] = change(yambda_events())
    with pytest.raises(InputError, match=message):
        load_interactions("yambda-50m")
    assert not (home / "yambda-50m").exists()


def test_a_damaged_file_of_yambda(hub):
    hub["flat/50m/likes.parquet"] = b"PAR1 nothing"
    with pytest.raises(InputError, match=r"could not be read: .*Remove it to download it again"):
        load_interactions("yambda-50m:likes")


def test_own_folders_come_first(monkeypatch, tmp_path, hub):
    (tmp_path / "own" / "yambda-50m-likes").mkdir(parents=True)
    log = pl.DataFrame({"user_id": [1, 1, 2], "item_id": [3, 4, 3], "timestamp": [5, 6, 7]})
    log.write_csv(tmp_path / "own" / "yambda-50m-likes" / "interactions.csv")
    monkeypatch.setenv("SEQREC_DATA_DIR", str(tmp_path / "own"))
    assert load_interactions("yambda-50m:likes").interactions.height == 3
    assert hub["asked"] == []


RATINGS_CSV = "benchmark/5core/rating_only/Video_Games.csv"
META = "raw/meta_categories/meta_Video_Games.jsonl"


def amazon_files(hub, category="Video_Games"):
    ratings = amazon_ratings()
    hub[f"benchmark/5core/rating_only/{category}.csv"] = ratings
    hub[f"benchmark/0core/rating_only/{category}.csv"] = ratings
    hub[f"raw/review_categories/{category}.jsonl"] = amazon_reviews(ratings)
    hub[f"raw/meta_categories/meta_{category}.jsonl"] = amazon_meta()
    return ratings


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("amazon-2023:Video_Games", RATINGS_CSV),
        ("amazon-2023:0core_rating_only_Video_Games", "benchmark/0core/rating_only/Video_Games.csv"),
        ("amazon-2023:raw_review_Video_Games@abc", "raw/review_categories/Video_Games.jsonl"),
        (
            "McAuley-Lab/Amazon-Reviews-2023:5core_rating_only_Video_Games",
            RATINGS_CSV,
        ),
    ],
)
def test_amazon_reviews(hub, name, file):
    ratings = amazon_files(hub)
    data = load_interactions(name)
    columns = ["user_id", "item_id", "rating", "timestamp"]
    assert_frame_equal(data.interactions.select(columns), ratings.rename({"parent_asin": "item_id"}))
    assert ("verified_purchase" in data.interactions.columns) == ("raw" in name)
    assert "assigns no licence" in data.terms
    repo, revision = "McAuley-Lab/Amazon-Reviews-2023", "abc" if "abc" in name else None
    assert hub["asked"] == [(repo, file, revision), (repo, META, revision)]


def test_items_of_amazon(hub):
    amazon_files(hub)
    items = load_interactions("amazon-2023:Video_Games").items
    assert items["item_id"].to_list() == [f"{item:010d}" for item in range(12)]  # without those that nobody rated
    assert items.columns == ["item_id", "title", "store", "main_category", "categories", "price"]
    assert items.row(1) == ("0000000001", "Game 1", "Store", "Video Games", "Video Games|PC", None)
    assert items["categories"][:2].to_list() == [None, "Video Games|PC"]
    assert items["price"][:4].to_list() == [9.99, None, None, None]


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        (RATINGS_CSV, b"user,parent_asin\na,b\n", "no column user_id, but user, par"),
        (
            RATINGS_CSV,
            b"user_id,parent_asin,rating,timestamp\na,b,5.0,2020-01-01\n",
            "cannot be used .*2020-01-01",
        ),
        (RATINGS_CSV, b"user_id,parent_asin,rating,timestamp\n", "no rows"),
        (
            "raw/meta_categories/meta_Video_Games.jsonl",
            b'{"parent_asin": "x", "title": "y"}\n',
            "no titles of the items",
        ),
        (META, b"<html>\n", "cannot be used"),
    ],
)
def test_changed_files_of_amazon(hub, home, file, content, message):
    amazon_files(hub)
    hub[file] = content
    with pytest.raises(InputError, match=message) as caught:
        load_interactions("amazon-2023:Video_Games")
    assert "\n" not in str(caught.value)
    assert not (home / "amazon-2023-Video_Games").exists()


def test_changed_reviews_of_amazon(hub):
    amazon_files(hub)
    hub["raw/review_categories/Video_Games.jsonl"] = b'{"user": "a", "parent_asin": "b", "timestamp": 1}\n' * 2
    with pytest.raises(InputError, match="2 of 2 rows without user_id"):
        load_interactions("amazon-2023:raw_review_Video_Games")


def test_yambdas_official_split(hub):
    """Days and gaps as in `flat_split_train_val_test` of Yambda's benchmark, written out naively."""
    table = hub["flat/50m/likes.parquet"] = yambda_events("likes")
    arguments = DataArguments(dataset="yambda-50m:likes", split_method="official")
    kept = filter_interactions(load_interactions("yambda-50m:likes").interactions, arguments)
    split = official_split(kept, "yambda-50m:likes")
    expected = {"train": [], "validation": [], "test": []}
    for user, time in table.select("uid", "timestamp").rows():
        if time < LAST - 2 * DAY - 2 * 1800:
            expected["train"].append((user, time + ORIGIN))
        elif LAST - 2 * DAY - 1800 <= time < LAST - DAY - 1800:
            expected["validation"].append((user, time + ORIGIN))
        elif time >= LAST - DAY:
            expected["test"].append((user, time + ORIGIN))
    assert 0 < sum(map(len, expected.values())) < len(table)
    for part, rows in expected.items():
        assert getattr(split, part).select("user_id", "timestamp").rows() == rows
    assert YAMBDA_CUT_OFFS.test_start - ORIGIN == 25_913_600
    assert YAMBDA_CUT_OFFS.validation_start - YAMBDA_CUT_OFFS.gap - ORIGIN == 25_823_600


def test_amazons_official_split(hub):
    amazon_files(hub)
    data = prepare(DataArguments(dataset="amazon-2023:Video_Games", split_method="official"))
    times = {part: rows.rows["target_timestamp"] * 1000 for part, rows in data.sequences.items() if part != "train"}
    assert times["validation"].min() >= AMAZON_CUT_OFFS.validation_start
    assert times["validation"].max() < AMAZON_CUT_OFFS.test_start <= times["test"].min()
    assert data.sequences["train"].held("timestamps").max() * 1000 < AMAZON_CUT_OFFS.validation_start
    assert data.protocol["split_method"] == "official"
    assert data.protocol["dataset"] == "amazon-2023:Video_Games"
    assert "McAuley" in data.protocol["dataset_terms"]


@pytest.mark.parametrize("dataset", ["ml-20m", "shop.csv", None])
def test_other_sets_have_no_official_split(dataset):
    log = pl.DataFrame({"user_id": [1, 1, 2], "item_id": [3, 4, 3], "timestamp": [5, 6, 7]})
    with pytest.raises(InputError, match=r"split_method='official' needs one of yambda-50m, .*Choose leave_one_out"):
        official_split(log, dataset)


def test_an_official_split_without_test_rows_is_refused():
    log = pl.DataFrame({"user_id": [1, 1, 2], "item_id": ["3", "4", "3"], "timestamp": [5, 6, 7]})
    with pytest.raises(InputError, match="leaves nothing for validation, of 3 interactions"):
        official_split(log, "yambda-50m")

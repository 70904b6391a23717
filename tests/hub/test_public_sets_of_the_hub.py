"""Public data sets on the Hub, by the real client over HTTP."""

import io
import json

import pytest
from hub_store import Account, File
from public_files import amazon_meta, amazon_ratings, yambda_events

YAMBDA, AMAZON = "yandex/yambda", "McAuley-Lab/Amazon-Reviews-2023"
PRELUDE = """
import os
os.environ["XDG_CACHE_HOME"] = cache
os.environ.pop("SEQREC_DATA_DIR", None)
from seqrec.interactions.sources import load_interactions

def number_of(name):
    try:
        return load_interactions(name).interactions.height
    except ValueError as error:
        return f"{type(error).__name__}: {error}"
"""


def parquet(table):
    """Content of a Parquet file."""
    content = io.BytesIO()
    table.write_parquet(content)
    return File(content.getvalue(), is_large=True)


@pytest.fixture(scope="module")
def sets(hub):
    """The repositories, with an earlier revision `old` of Yambda that has fewer likes."""
    store = hub.store
    for repo_id in (YAMBDA, AMAZON):
        store.create("dataset", repo_id, Account(repo_id.partition("/")[0]), private=False)
    yambda = store.repositories["dataset", YAMBDA]
    likes = "flat/50m/likes.parquet"
    yambda.commit("refs/heads/old", {likes: parquet(yambda_events("likes", num_users=3))}, "old")
    yambda.commit("refs/heads/main", {likes: parquet(yambda_events("likes"))}, "new")
    files = {
        "benchmark/5core/rating_only/Video_Games.csv": amazon_ratings().write_csv().encode(),
        "raw/meta_categories/meta_Video_Games.jsonl": amazon_meta(),
    }
    of_amazon = {path: File(content, is_large=False) for path, content in files.items()}
    store.repositories["dataset", AMAZON].commit("refs/heads/main", of_amazon, "all")


@pytest.fixture
def number_of(sets, client, tmp_path):
    """Return the number of interactions of a set, or the error, with an empty cache of seqrec."""
    return lambda name: client.run(PRELUDE + "result = number_of(name)", None, name=name, cache=str(tmp_path))


def test_files_are_downloaded_once(hub, number_of):
    before = len(hub.requests)
    assert number_of("yambda-50m:likes") == 480
    assert any(request.startswith("GET") and request.endswith("likes.parquet") for request in hub.requests[before:])
    before = len(hub.requests)
    assert number_of("yambda-50m:likes") == 480
    assert len(hub.requests) == before


def test_revisions(number_of):
    assert number_of("yambda-50m:likes@old") == 120
    assert number_of("yambda-50m:likes") == 480
    assert "HubError: 'yandex/yambda' could not be downloaded: the revision" in number_of("yambda-50m:likes@no")


def test_amazon(number_of):
    assert number_of("amazon-2023:Video_Games") == 120


def test_missing_files_are_named(number_of):
    message = number_of("yambda-50m:dislikes")
    assert message.startswith("InputError: The data set 'yandex/yambda' has no file 'flat/50m/dislikes.parquet' (rev")
    assert "\n" not in message


def test_offline(client, number_of, tmp_path):
    """What the Hub's cache holds is used; what it lacks is told."""
    assert number_of("yambda-50m:likes") == 480
    offline = "from huggingface_hub import constants; constants.HF_HUB_OFFLINE = True\n"
    online = "\nconstants.HF_HUB_OFFLINE = False"
    for name, expected in (("yambda-50m:likes", 480), ("yambda-500m:likes", "HF_HUB_OFFLINE=1 forbids access")):
        snippet = PRELUDE + offline + "result = str(number_of(name))" + online
        assert str(expected) in client.run(snippet, None, name=name, cache=str(tmp_path / "other"))


def test_a_full_disk_is_told(client, sets, tmp_path):
    full = """
import errno
from seqrec.interactions import hub_files
kept = hub_files.hf_hub_download
def hf_hub_download(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")
hub_files.hf_hub_download = hf_hub_download
result = number_of("yambda-50m:likes")
hub_files.hf_hub_download = kept
"""
    message = client.run(PRELUDE + full, None, cache=str(tmp_path))
    assert message.startswith("InputError: 'flat/50m/likes.parquet' of 'yandex/yambda' does not fit on the disk of")


def test_an_interrupted_download_is_told(hub, number_of):
    hub.store.repositories["dataset", YAMBDA].commit(
        "refs/heads/other", {"flat/50m/likes.parquet": parquet(yambda_events("likes", seed=1))}, "other"
    )
    hub.faults += [("HEAD .*/resolve/other/", "drop")] * 10
    message = number_of("yambda-50m:likes@other")
    hub.faults.clear()
    assert message.startswith("HubConnectionError: 'yandex/yambda' could not be downloaded: the connection to http")
    assert number_of("yambda-50m:likes@other") == 480


def test_trained_prepared_and_evaluated_by_name(client, sets, tmp_path):
    flags = ["--num_train_epochs", "1", "--hidden_size", "16", "--disable_tqdm", "true", "--quiet"]
    named = ["--dataset", "yambda-50m:likes", "--split_method", "official"]
    found = {}
    for name, data in (("direct", named), ("prepared", ["--dataset", f"{tmp_path}/set"])):
        if name == "prepared":
            prepare = ["prepare", *named, "--output_dir", f"{tmp_path}/set"]
            status, said = client.run(PRELUDE + "result = command(line)", None, line=prepare, cache=str(tmp_path))
            assert status == 0, said
        train = ["train", *data, "--output_dir", f"{tmp_path}/{name}", *flags]
        status, said = client.run(PRELUDE + "result = command(line)", None, line=train, cache=str(tmp_path))
        assert status == 0, said
        found[name] = json.loads((tmp_path / name / "metrics.json").read_text())
    assert found["direct"]["model"] == found["prepared"]["model"]
    protocol = found["direct"]["protocol"]
    assert (protocol["dataset"], protocol["split_method"]) == ("yambda-50m:likes", "official")
    assert protocol["dataset_terms"].startswith("Apache 2.0")
    assert protocol["num_interactions_read"] == 480
    assert protocol["num_interactions"] < 480  # without the gaps
    evaluate = ["evaluate", "--model", f"{tmp_path}/direct", *named[:2], "--per_user", "--include_seen", "--quiet"]
    printed = """
import contextlib, io
from seqrec.cli.command_line import main
caught = io.StringIO()
with contextlib.redirect_stdout(caught):
    main(line)
result = caught.getvalue()
"""
    table, content = (
        client.run(PRELUDE + printed, None, line=[*evaluate, *flags], cache=str(tmp_path)) for flags in ([], ["--json"])
    )
    per_user = json.loads(content)["per_user"]
    assert "once per user" in table
    assert f"{per_user['yambda_ndcg@100']:.4f}" in table
    assert per_user["recall@100"] == 1  # of a catalogue of 29 items

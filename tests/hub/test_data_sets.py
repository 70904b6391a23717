"""Data sets of the Hub, over HTTP: interactions, streamed or not, and prepared sets."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "fixtures"))
from hub_client import HubClient
from hub_server import OWNER, READER, HubServer

PRELUDE = """
import json
import polars as pl
from huggingface_hub import HfApi
from seqrec.cli import main
from seqrec.data.sources import load_interactions
from seqrec.data.synthetic import synthetic_interactions
log = synthetic_interactions()
"""


@pytest.fixture(scope="module")
def hub():
    with HubServer() as server:
        yield server


@pytest.fixture(scope="module")
def client(hub, tmp_path_factory):
    client = HubClient(hub.endpoint, tmp_path_factory.mktemp("home"))
    yield client
    client.close()


def run(client, snippet, token=OWNER, **values):
    return client.run(PRELUDE + snippet, token, **values)


def test_interactions_come_back_streamed_or_not(client, tmp_path):
    run(
        client,
        """
api = HfApi()
api.create_repo("maker/log", repo_type="dataset")
log.write_parquet(f"{folder}/train.parquet")
api.upload_folder(repo_id="maker/log", repo_type="dataset", folder_path=folder)
for streaming in (False, True):
    found = load_interactions("maker/log:train", streaming=streaming)
    assert found.name == "maker/log"
    assert found.is_on_hub
    assert found.interactions.equals(log.select(found.interactions.columns)), streaming
""",
        folder=str(tmp_path),
    )


def test_a_prepared_set_is_pushed_and_trained_on(hub, client, tmp_path):
    flags = ["--num_train_epochs", "1", "--hidden_size", "16", "--disable_tqdm", "true"]
    run(
        client,
        """
prepare = ["prepare", "--dataset", "synthetic", "--output_dir", f"{folder}/set", "--repo_id", "maker/set", "--private"]
assert main(prepare) == 0
""",
        folder=str(tmp_path),
    )
    pushed = hub.store.repositories["dataset", "maker/set"]
    assert pushed.private
    for name, token in (("pushed", READER), ("local", None)):
        run(
            client,
            """
assert main(["train", "--dataset", dataset, "--output_dir", output, *flags]) == 0
""",
            token,
            dataset="maker/set" if name == "pushed" else str(tmp_path / "set"),
            output=str(tmp_path / name),
            flags=flags,
        )
    one, other = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("pushed", "local"))
    assert one["model"] == other["model"]
    assert one["protocol"] == other["protocol"]
    card = pushed.commits[pushed.refs["refs/heads/main"]]["README.md"].content.decode()
    assert "seqrec train --dataset maker/set" in card


def test_who_may_not_see_a_data_set_is_told(client, tmp_path):
    run(client, 'HfApi().create_repo("maker/hidden", repo_type="dataset", private=True)')
    refusal = run(
        client,
        """
import contextlib, io
said = io.StringIO()
with contextlib.redirect_stderr(said):
    assert main(["train", "--dataset", "maker/hidden", "--output_dir", folder]) == 2
result = said.getvalue()
""",
        None,
        folder=str(tmp_path),
    )
    assert "'maker/hidden' is neither a named set" in refusal
    assert "could not be loaded as a data set of the Hub" in refusal

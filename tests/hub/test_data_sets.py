"""Data sets of the Hub, over HTTP: interactions, streamed or not, and prepared sets."""

import json

from hub_server import READER

PRELUDE = """
from huggingface_hub import HfApi
from seqrec.interactions.sources import load_interactions
from seqrec.interactions.synthetic import synthetic_interactions
"""


def test_interactions_come_back_streamed_or_not(client, tmp_path):
    client.run(
        PRELUDE
        + """
log = synthetic_interactions()
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
    prepare = ["prepare", "--dataset", "synthetic", "--output_dir", f"{tmp_path}/set"]
    status, _ = client.run("result = command(line)", line=[*prepare, "--repo_id", "maker/set", "--private"])
    assert status == 0
    pushed = hub.store.repositories["dataset", "maker/set"]
    assert pushed.private
    flags = ["--num_train_epochs", "1", "--hidden_size", "16", "--disable_tqdm", "true"]
    metrics = []
    for number, (dataset, token) in enumerate([("maker/set", READER), (f"{tmp_path}/set", None)]):
        output = tmp_path / f"model-{number}"
        train = ["train", "--dataset", dataset, "--output_dir", str(output), *flags]
        status, _ = client.run("result = command(line)", token, line=train)
        assert status == 0
        metrics.append(json.loads((output / "metrics.json").read_text()))
    from_hub, from_folder = metrics
    assert from_hub["model"] == from_folder["model"]
    assert from_hub["protocol"] == from_folder["protocol"]
    card = pushed.commits[pushed.refs["refs/heads/main"]]["README.md"].content.decode()
    assert "seqrec train --dataset maker/set" in card


def test_who_may_not_see_a_data_set_is_told(client, tmp_path):
    client.run(PRELUDE + 'HfApi().create_repo("maker/hidden", repo_type="dataset", private=True)')
    line = ["train", "--dataset", "maker/hidden", "--output_dir", str(tmp_path)]
    status, said = client.run("result = command(line)", None, line=line)
    assert status == 2
    assert "'maker/hidden' is neither a named set" in said
    assert "could not be loaded as a data set on the Hub" in said

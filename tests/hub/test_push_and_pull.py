"""Pushing and pulling over HTTP, with the real client and a small Hub on loopback."""

import json

import pytest
from hub_client import HubClient
from hub_server import OWNER, READER, STRANGER, HubServer

PARTS = {
    *("config.json", "model.safetensors", "tokenizer.json", "items.parquet", "items.json", "README.md", "backbone.py")
}


def files(hub, repo_id, ref="refs/heads/main", repo_type="model"):
    repository = hub.store.repositories[repo_type, repo_id]
    return repository.commits[repository.refs[ref]]


def test_every_model_type_comes_back_the_same(hub, client):
    urls = client.run(
        """
result = []
for model_type in MODEL_TYPES:
    recommender = make_recommender(model_type)
    result.append(recommender.push_to_hub(f"maker/{model_type}"))
    assert top(Recommender.from_pretrained(f"maker/{model_type}")) == top(recommender)
""",
    )
    for url in urls:
        repo_id = url.removeprefix(f"{hub.endpoint}/")
        found = files(hub, repo_id)
        assert set(found) > PARTS
        assert {path for path, file in found.items() if file.is_large} == {"model.safetensors", "items.parquet"}
        card = found["README.md"].content.decode()
        assert f'Recommender.from_pretrained("{repo_id}")' in card
        assert f'AutoModel.from_pretrained("{repo_id}", trust_remote_code=True)' in card


def test_main_branch_and_pull_request_hold_each_its_own(hub, client):
    client.run(
        """
one, two, three = (make_recommender(seed=seed) for seed in (1, 2, 3))
assert one.push_to_hub("maker/three") == ENDPOINT + "/maker/three"
assert two.push_to_hub("maker/three", revision="v2") == ENDPOINT + "/maker/three/tree/v2"
assert three.push_to_hub("maker/three", create_pr=True) == ENDPOINT + "/maker/three/discussions/1"
for pushed, revision in ((one, None), (one, "main"), (two, "v2"), (three, "refs/pr/1")):
    assert top(Recommender.from_pretrained("maker/three", revision=revision)) == top(pushed), revision
assert top(one) != top(two) != top(three)
""",
        ENDPOINT=hub.endpoint,
    )
    repository = hub.store.repositories["model", "maker/three"]
    assert set(repository.refs) == {"refs/heads/main", "refs/heads/v2", "refs/pr/1"}


def test_a_stranger_can_propose_but_not_push(hub, client):
    client.run("make_recommender(seed=1).push_to_hub('maker/open')")
    url = client.run("result = make_recommender(seed=2).push_to_hub('maker/open', create_pr=True)", STRANGER)
    assert url == f"{hub.endpoint}/maker/open/discussions/1"
    refusal = client.run("result = refused(lambda: make_recommender().push_to_hub('maker/open'))", STRANGER)
    assert "does not permit this" in refusal


def test_a_private_repository_needs_a_token(hub, client):
    client.run("make_recommender().push_to_hub('maker/secret', private=True)")
    assert hub.store.repositories["model", "maker/secret"].private
    load = (
        "result = refused(lambda: Recommender.from_pretrained('maker/secret', token={token!r}, revision={revision!r}))"
    )
    for given, revision in ((None, None), (STRANGER, None)):
        refusal = client.run(load.format(token=given, revision=revision), None)
        expected = "it is private and needs a token" if given is None else "the token has no access to it"
        assert f"the repository does not exist, or {expected}" in refusal
        assert ("Log in" in refusal) == (given is None)
    snippet = "assert top(Recommender.from_pretrained('maker/secret', token=given)) == top(make_recommender())"
    client.run(snippet, None, given=READER)
    client.run(snippet, READER, given=None)


def test_models_and_tokenizers_push_themselves(hub, client, tmp_path):
    client.run(
        """
from transformers import AutoModel, AutoTokenizer
recommender = make_recommender("bert4rec")
recommender.model.push_to_hub("maker/pieces")
recommender.tokenizer.push_to_hub("maker/pieces")
found = AutoModelForNextItem.from_pretrained("maker/pieces")
tokenizer = ItemTokenizer.from_pretrained("maker/pieces")
assert top(Recommender(found, tokenizer, recommender.items)) == top(recommender)
# The other door of transformers: it saves, and pushes in passing.
recommender.model.save_pretrained(folder, push_to_hub=True, repo_id="maker/by-the-way", commit_message="hello")
""",
        folder=str(tmp_path),
    )
    for repo_id in ("maker/pieces", "maker/by-the-way"):
        assert {"modeling_bert4rec.py", "backbone.py", "model.safetensors"} <= set(files(hub, repo_id))
        assert b"auto_map" in files(hub, repo_id)["config.json"].content
    assert "tokenizer.json" in files(hub, "maker/pieces")
    assert hub.store.repositories["model", "maker/by-the-way"].messages[-1] == "hello"


def test_remote_code_runs_from_the_hub_without_seqrec_s_classes(hub, client):
    client.run(
        """
import torch
from transformers.dynamic_module_utils import get_class_from_dynamic_module
recommender = make_recommender()
recommender.push_to_hub("maker/remote")
class_ = get_class_from_dynamic_module("modeling_sasrec.SasRecForNextItem", "maker/remote")
assert class_.__module__.startswith("transformers_modules") and class_.write_code is None
model = class_.from_pretrained("maker/remote").eval()
input_ids = torch.tensor([[5, 3, 9]])
with torch.no_grad():
    assert torch.equal(model(input_ids).logits, recommender.model(input_ids).logits)
""",
    )


def test_push_shares_a_folder_as_it_is_and_nothing_else(hub, client, tmp_path):
    client.run("make_recommender().save_pretrained(folder)", folder=str(tmp_path))
    (tmp_path / "checkpoint-9").mkdir(parents=True)
    (tmp_path / "checkpoint-9" / "optimizer.pt").touch()
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "metrics.json").write_text("{}")
    card = f'words of my own\n`from_pretrained("{tmp_path.name}")`, as `from_pretrained("another/one")`'
    (tmp_path / "README.md").write_text(card)
    status = client.run(
        """
result = command(["push", "--model", folder, "--repo_id", "maker/folder", "--private"])
assert top(Recommender.from_pretrained("maker/folder")) == top(make_recommender())
""",
        folder=str(tmp_path),
    )
    assert status == [0, ""]
    found = files(hub, "maker/folder")
    assert {path for path in found if not path.endswith(".py")} == PARTS - {"backbone.py"} | {
        *("metrics.json", "tokenizer_config.json")
    }
    assert found["README.md"].content.decode() == card.replace(f'"{tmp_path.name}"', '"maker/folder"')
    assert (tmp_path / "README.md").read_text() == card
    for path in set(found) - {"README.md"}:
        assert found[path].content == (tmp_path / path).read_bytes()
    assert hub.store.repositories["model", "maker/folder"].private


def test_a_push_cut_off_at_its_commit_is_completed_without_sending_twice(hub, client):
    hub.faults.append((r"POST .*/maker/cut/commit/", "drop"))
    push = "make_recommender(seed=5).push_to_hub('maker/cut')"
    refusal = client.run(f"result = refused(lambda: {push})")
    assert "the connection to" in refusal
    assert "try again" in refusal
    assert files(hub, "maker/cut") == {}
    sent = hub.count("^PUT /lfs/")
    client.run(push + "\nassert top(Recommender.from_pretrained('maker/cut')) == top(make_recommender(seed=5))")
    assert hub.count("^PUT /lfs/") == sent


def test_a_dropped_upload_is_sent_again_by_the_client_itself(hub, client, tmp_path):
    client.run("make_recommender(seed=6).save_pretrained(folder)", folder=str(tmp_path))
    hub.faults.append((r"PUT /lfs/", "drop"))
    push = "result = command(['push', '--model', folder, '--repo_id', 'maker/dropped'])"
    assert client.run(push, folder=str(tmp_path)) == [0, ""]
    assert set(files(hub, "maker/dropped")) >= PARTS


def test_a_push_whose_process_dies_in_the_middle_of_a_large_file_is_completed_by_another(hub, client, tmp_path):
    client.run("make_recommender(seed=7).save_pretrained(folder)", folder=str(tmp_path / "model"))
    snippet = "result = command(['push', '--model', folder, '--repo_id', 'maker/killed'])"
    killed = HubClient(hub.endpoint, tmp_path / "home")
    hub.faults.append((r"PUT /lfs/", "stall"))
    killed.start(snippet, OWNER, folder=str(tmp_path / "model"))
    assert hub.is_stalled.wait(timeout=120)
    killed.process.kill()
    killed.close()
    assert files(hub, "maker/killed") == {}
    assert client.run(snippet, OWNER, folder=str(tmp_path / "model")) == [0, ""]
    client.run("assert top(Recommender.from_pretrained('maker/killed')) == top(make_recommender(seed=7))")


@pytest.mark.parametrize(
    ("token", "flags", "told"),
    [
        (None, ["--repo_id", "maker/x"], r"no token was found. Log in with `hf auth login`, set HF_TOKEN"),
        ("hf_typo", ["--repo_id", "maker/x"], "does not accept the token"),
        (OWNER, ["--repo_id", "maker/x", "--token", "hf_typo"], "does not accept the token"),
        (READER, ["--repo_id", "maker/x"], "the token does not permit this"),
        (OWNER, ["--repo_id", "stranger/x"], "the token does not permit this"),
        (
            OWNER,
            ["--repo_id", "maker/none", "--create_pr"],
            "the repository does not exist, or the token has no access to it",
        ),
        (OWNER, ["--repo_id", "maker/no blanks"], "this is not a valid repository name. Give ORG/NAME"),
        (OWNER, ["--repo_id", "a/b/c"], "this is not a valid repository name. Give ORG/NAME"),
        (OWNER, ["--repo_id", "maker/x", "--create_pr", "--revision", "v2"], "Leave one out"),
    ],
)
def test_what_cannot_be_pushed_is_told_in_one_line(hub, client, tmp_path, token, flags, told):
    snippet = "make_recommender().save_pretrained(folder)\nresult = command(['push', '--model', folder, *flags])"
    status, line = client.run(snippet, token, folder=str(tmp_path), flags=flags)
    assert status == 2
    assert told in line
    assert line.startswith("seqrec push: ")
    assert line.count("\n") == 1


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--model", "maker/nowhere"], "is not a folder here, and could not be loaded from the Hub: the repository"),
        (["--model", "not a name"], "'not a name' is not a folder here, and is not looked up on the Hub"),
        (["--model", "maker/no--name"], "this is not a valid repository name"),
        (["--model", "maker/data"], "config.json was not found there"),
    ],
)
def test_what_cannot_be_pulled_is_told_in_one_line(hub, client, flags, told):
    snippet = """
from huggingface_hub import create_repo
create_repo("maker/data", exist_ok=True)
result = command(["recommend", "--history", "1", *flags])"""
    status, line = client.run(snippet, flags=flags)
    assert status == 2
    assert told in line
    assert "Traceback" not in line


def test_an_unknown_revision_and_a_wrong_token_are_told(hub, client):
    client.run("make_recommender().push_to_hub('maker/known')")
    load = "result = refused(lambda: Recommender.from_pretrained('maker/known', **options))"
    assert "the revision does not exist" in client.run(load, options={"revision": "v9"})
    assert "does not accept the token" in client.run(load, "hf_typo", options={"force_download": True})


def test_a_data_set_of_the_hub_is_trained_on(hub, client, tmp_path):
    client.run(
        """
from huggingface_hub import HfApi
from seqrec.interactions.synthetic import synthetic_interactions
api = HfApi()
api.create_repo("maker/logs", repo_type="dataset", private=True)
table = Path(folder) / "interactions.csv"
synthetic_interactions(num_users=30, num_items=20, num_tastes=2, mean_length=8).write_csv(table)
api.upload_file(path_or_fileobj=table, path_in_repo=table.name, repo_id="maker/logs", repo_type="dataset")
from seqrec.interactions.sources import load_interactions
assert load_interactions("maker/logs").interactions["user_id"].n_unique() == 30
""",
        folder=str(tmp_path),
    )
    assert set(files(hub, "maker/logs", repo_type="dataset")) == {"interactions.csv"}


def test_nobody_there_is_told(tmp_path_factory):
    with HubServer() as server:
        endpoint = server.endpoint
    lonely = HubClient(endpoint, tmp_path_factory.mktemp("lonely"))
    refusal = lonely.run("result = refused(lambda: make_recommender().push_to_hub('maker/x'))", OWNER)
    lonely.close()
    assert f"the connection to {endpoint} failed" in refusal


TRAINING = """
result = command([
    *("train", "--dataset", "synthetic", "--output_dir", folder, "--num_train_epochs", "2", "--disable_tqdm", "true"),
    *("--hidden_size", "16", "--intermediate_size", "32", "--max_position_embeddings", "20"),
    *("--push_to_hub", "true", *flags),
])
"""


def test_training_pushes_a_whole_product(hub, client, tmp_path):
    folder = tmp_path / "films"
    flags = ["--hub_model_id", "maker/trained", "--hub_private_repo", "true", "--hub_strategy", "end"]
    status, errors = client.run(TRAINING, folder=str(folder), flags=flags)
    assert status == 0, errors
    found, repository = files(hub, "maker/trained"), hub.store.repositories["model", "maker/trained"]
    assert repository.private
    assert len(repository.messages) == 2  # the repository's beginning, and the model
    at_home = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    assert {path: file.content for path, file in found.items()} == at_home
    assert set(found) > PARTS | {
        "metrics.json",
        "training_curve.png",
        "slices.png",
        "item_map.png",
        "items.json",
        "tokenizer_config.json",
    }
    card = found["README.md"].content.decode()
    assert "## Results" in card
    assert 'Recommender.from_pretrained("maker/trained")' in card
    ndcg = json.loads(found["metrics.json"].content)["model"]["test"]["ndcg@10"]
    assert f"value: {ndcg}" in card
    pulled, saved = client.run(
        """
history = Recommender.from_pretrained(folder).item_ids[:3]
result = [str(Recommender.from_pretrained(name).recommend(history)) for name in ("maker/trained", folder)]
""",
        folder=str(folder),
    )
    assert pulled == saved


@pytest.mark.parametrize(
    ("strategy", "folders"),
    [("every_save", set()), ("checkpoint", {"last-checkpoint"})],
    ids=["every_save", "checkpoint"],
)
def test_training_pushes_checkpoints_only_if_asked(hub, client, tmp_path, strategy, folders):
    repo_id = f"maker/{strategy.replace('_', '-')}"
    flags = ["--hub_model_id", repo_id, "--hub_strategy", strategy, "--hub_always_push", "true"]
    status, errors = client.run(TRAINING, folder=str(tmp_path / "model"), flags=flags)
    assert status == 0, errors
    found = files(hub, repo_id)
    assert {path.split("/")[0] for path in found if "/" in path} == folders
    assert not [path for path in found if "/" not in path and path.endswith((".bin", ".pt", ".pth"))]
    assert {"metrics.json", "README.md"} <= set(found)
    messages = hub.store.repositories["model", repo_id].messages
    assert [message for message in messages if message.startswith("Training in progress")]


def test_training_that_may_not_push_says_so_before_it_starts(hub, client, tmp_path):
    status, line = client.run(TRAINING, READER, folder=str(tmp_path / "model"), flags=["--hub_model_id", "maker/no"])
    assert status == 2
    assert "could not be created: the token does not permit this" in line
    assert not (tmp_path / "model" / "config.json").exists()

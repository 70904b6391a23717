"""A new model takes the place of the one in use, unless it is broken."""

import asyncio
import json
import logging
import shutil

import pytest
from fastapi.testclient import TestClient
from service_models import app_of, save_model

from seqrec.inference.service.api_keys import ApiKeys
from seqrec.inference.service.folder_state import state_of, version_of
from seqrec.inference.service.json_log import JsonFormatter
from seqrec.inference.service.loaded_model import load_model_to_serve
from seqrec.inference.service.model_slot import ModelSlot

KEY = {"X-API-Key": "a-key-of-enough-length"}


@pytest.fixture
def folder(plain_folder, tmp_path):
    """A model that may be replaced."""
    return shutil.copytree(plain_folder, tmp_path / "model")


@pytest.fixture
def client(folder):
    """A client of a service with keys."""
    with TestClient(app_of(folder, keys=ApiKeys(list(KEY.values())))) as found:
        yield found


def number_of_reloads(client, result):
    """Read how many reloads had this result."""
    start = f'seqrec_reloads_total{{result="{result}"}} '
    lines = client.get("/metrics", headers=KEY).text.splitlines()
    return next(float(line.removeprefix(start)) for line in lines if line.startswith(start))


def test_a_new_model_is_used_when_told(client, folder):
    before = client.get("/model", headers=KEY).json()
    assert client.post("/reload", headers=KEY).json() == {"changed": False, "model_version": before["version"]}
    new = save_model(folder, seed=1)
    answer = client.post("/reload", headers=KEY).json()
    after = client.get("/model", headers=KEY).json()
    assert answer == {"changed": True, "model_version": after["version"]}
    assert after["version"] != before["version"]
    assert after["weights_sha256"] != before["weights_sha256"]
    found = client.post("/recommend", json={"history": ["item 3"], "k": 4}, headers=KEY).json()
    assert found["model_version"] == after["version"]
    assert [one["item_id"] for one in found["results"][0]["items"]] == [
        one.item_id for one in new.recommend(["item 3"], 4)
    ]
    assert (number_of_reloads(client, "replaced"), number_of_reloads(client, "failed")) == (1, 0)


def test_a_broken_model_changes_nothing_but_is_told(client, folder, caplog):
    body = {"history": ["item 3"], "k": 4}
    before = client.post("/recommend", json=body, headers=KEY).json()
    tokenizer = (folder / "tokenizer.json").read_text()
    (folder / "tokenizer.json").write_text("{")
    for _ in range(2):
        answer = client.post("/reload", headers=KEY)
        assert answer.status_code == 422
        assert "tokenizer.json" in answer.json()["error"]
    assert client.post("/recommend", json=body, headers=KEY).json() == before
    assert client.get("/model", headers=KEY).json()["last_reload"]["result"] == "failed"
    assert number_of_reloads(client, "failed") == 1  # an unchanged folder is not tried again
    (line,) = [json.loads(JsonFormatter().format(one)) for one in caplog.records if one.levelno == logging.ERROR]
    assert (line["event"], line["result"]) == ("reload", "failed")
    (folder / "tokenizer.json").write_text(tokenizer)
    assert client.post("/reload", headers=KEY).status_code == 200
    assert client.get("/model", headers=KEY).json()["last_reload"]["result"] == "replaced"


def test_hidden_items_make_a_new_version(folder):
    before = version_of(str(folder))
    assert before == version_of(str(folder))
    recommender = load_model_to_serve(str(folder), device="cpu").recommender
    recommender.hide_items(["item 3"])
    recommender.save_pretrained(folder)
    assert version_of(str(folder)) != before


def test_answers_survive_files_that_are_overwritten_in_place(folder):
    loaded = load_model_to_serve(str(folder), device="cpu")
    before = loaded.recommender.recommend(["item 3"], 5)
    weights = folder / "model.safetensors"
    size = weights.stat().st_size
    with weights.open("r+b") as stream:
        stream.write(b"\xff" * size)
    assert loaded.recommender.recommend(["item 3"], 5) == before
    assert loaded.recommender.similar_items("item 3", 5)


def test_nobody_reloads_without_keys(plain_folder):
    with TestClient(app_of(plain_folder)) as client:
        answer = client.post("/reload")
    assert answer.status_code == 403
    assert "--api_keys" in answer.json()["error"]


def test_a_folder_is_read_once_it_is_complete(folder):
    loads = []
    slot = ModelSlot(str(folder), lambda: loads.append(state_of(folder)))

    async def watch(*changes):
        task = asyncio.create_task(slot.watch(0.03))
        for change in changes:
            change()
            await asyncio.sleep(0.3)
        task.cancel()

    config = (folder / "config.json").read_text()
    assert state_of(folder / "nowhere") is None
    asyncio.run(watch((folder / "config.json").unlink))
    assert state_of(folder) is None
    assert len(loads) == 1
    slot.replace = lambda state: loads.append(state)
    asyncio.run(watch(lambda: (folder / "config.json").write_text(config)))
    assert loads[1:] == [state_of(folder)] * len(loads[1:])
    assert loads[1:]


def test_logs_quote_nothing(folder, caplog):
    caplog.set_level(logging.INFO, "seqrec.service")
    with TestClient(app_of(folder)) as client:
        client.post("/recommend", json={"histories": [["item 3"], ["secret"]]}, headers={"X-Request-ID": "r-1"})
        client.post("/recommend?key=secret", content=b"secret")
        answer = client.get("/secret", headers={"X-Request-ID": "not\u00a0plain".encode()})
    lines = [JsonFormatter().format(one) for one in caplog.records if one.name == "seqrec.service"]
    assert len(lines) == 3
    assert "secret" not in "".join(lines)
    first = json.loads(lines[0])
    assert (first["event"], first["path"], first["status"], first["histories"]) == ("request", "/recommend", 200, 2)
    assert first["request_id"] == "r-1"
    assert [json.loads(line)["path"] for line in lines] == ["/recommend", "/recommend", "other"]
    assert len(answer.headers["x-request-id"]) == 16


def test_logs_of_errors_say_where_but_not_what():
    try:
        raise RuntimeError("item 3")
    except RuntimeError as error:
        record = logging.LogRecord(
            "seqrec", logging.ERROR, "", 0, "failed", None, (type(error), error, error.__traceback__)
        )
    line = JsonFormatter().format(record)
    assert "item 3" not in json.dumps({**json.loads(line), "traceback": ""})
    assert json.loads(line)["exception"] == "RuntimeError"
    assert "test_reloading.py" in json.loads(line)["traceback"]

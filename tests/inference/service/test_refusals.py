"""Mistakes get the right status and one sentence to act on."""

import pytest
from fastapi.testclient import TestClient
from service_models import app_of

from seqrec.errors import InputError
from seqrec.inference.service.api_keys import ApiKeys
from seqrec.inference.service.limits import Limits
from seqrec.inference.service.request_schemas import PredictRequest

KEY = "a-key-of-enough-length"
SMALL = Limits(body_bytes=2000, histories=3, history_length=5, k=20, items=50)


def refusal(answer, status):
    """Return the sentence of an error."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert list(answer.json()) == ["error"]
    sentence = answer.json()["error"]
    assert "\n" not in sentence
    assert sentence.endswith((".", "?"))
    return sentence


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "Give either history"),
        ({"history": ["1"], "histories": [["1"]]}, "Give either history"),
        ({"histories": []}, "histories is [], but it must be lists of item ids"),
        ({"history": "item 1"}, "history is 'item 1', but it must be item ids"),
        ({"history": [1.5]}, "history[0] is 1.5, but history must be item ids"),
        ({"history": ["item 1", None]}, "history[1] is None"),
        ({"history": [True]}, "history[0] is True"),
        ({"histories": [["item 1"], "item 2"]}, "histories[1] is 'item 2'"),
        ({"history": [], "k": 0}, "k is 0, but it must be an integer of at least 1"),
        ({"history": [], "k": "ten"}, "k is 'ten'"),
        ({"history": [], "k": 2.5}, "k is 2.5"),
        ({"history": [], "k": 10**6}, "k=1000000 is more than 1000"),
        ({"history": [], "k": 41}, "k=41 is not an integer from 1 to 40, the size of the catalogue"),
        ({"history": [], "k": 10**30}, "k="),
        ({"history": [], "kk": 3}, "There is no option 'kk'. Did you mean k?"),
        ({"history": [], "exclude_seen": "yes"}, "exclude_seen is 'yes', but it must be true or false"),
        ({"history": ["new"], "unknown": "error"}, "1 of 1 items in this history are not in the vocabulary"),
        ({"history": [], "unknown": "keep"}, "unknown is 'keep', but it must be one of 'skip' or 'error'"),
        ({"history": ["item 1"], "columns": {"k": [1]}}, "does not read the column 'k'; it reads none"),
        ({"history": ["item 1"], "at": "now"}, "has no effect"),
        ({"histories": [[], []], "allow": [["item 1"]]}, "allow has 1 entries for 2 histories"),
        ({"histories": [[], []], "at": ["now"]}, "at has 1 entries for 2 histories"),
        ({"history": [], "deny": "item 1"}, "deny is 'item 1'"),
        ({"history": [], "rank_by": {"next_item": "high"}}, "rank_by['next_item'] is 'high'"),
        ({"history": ["item 1"], "rank_by": {"rating": 1}}, "rating"),
        ({"history": [], "where": "count >"}, "where"),
        ({"history": [], "where": "count >> 3 ("}, "where"),
        ({"history": [], "where": ""}, "where"),
        ({"history": [], "where": 3}, "where is 3, but it must be a text"),
        ({"history": [], "where": "colour == 'red'"}, "colour"),
        ({"history": [], "where": "__import__('os').system('true')"}, "where"),
        ({"history": [], "where": "title.__class__"}, "where"),
        ({"history": [], "where": "count == " + "(" * 5000}, "where"),
        (["item 1"], "The body must be a JSON object with history"),
    ],
)
def test_bodies_that_cannot_be_answered(client, body, words):
    assert words in refusal(client.post("/recommend", json=body), 422)


@pytest.mark.parametrize("content", [b"", b"{", b"history=50", b"\xff", b'{"history": ["\\ud800"]}', b"[" * 10000])
def test_bodies_that_are_not_json(client, content):
    sentence = refusal(client.post("/recommend", content=content), 400)
    assert "not valid JSON" in sentence
    assert "history" in sentence


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"history": ["item 1"]}, "`timestamps`"),
        ({"history": ["item 1"], "timestamps": []}, "`timestamps` has 0 values for a history of 1 items"),
        ({"history": ["item 1"], "timestamps": ["noon"]}, "noon"),
        ({"history": ["item 1"], "timestamps": [True]}, "timestamps[0] is True"),
        ({"history": ["item 1"], "timestamps": ["2025-01-02"], "at": "2025-01-01"}, "before the last event"),
        ({"history": ["item 1"], "timestamps": ["2025-01-02"], "columns": {"rating": [[]]}}, "rating"),
        ({"history": ["item 1"], "timestamps": ["2025-01-02"], "columns": {"rating": ["x"]}}, "rating"),
        ({"history": ["item 1"], "timestamps": ["2025-01-02"], "columns": {"rating": [1, 2]}}, "rating has 2 values"),
        ({"history": ["item 1"], "timestamps": ["2025-01-02"], "columns": {"rating": 1}}, "columns['rating'] is 1"),
    ],
)
def test_what_a_model_reads_is_checked(task_client, body, words):
    assert words in refusal(task_client.post("/recommend", json=body), 422)


def test_other_operations(client, task_client):
    body = {"history": [], "candidates": ["item 1"]}
    assert "predicts only the next item" in refusal(client.post("/predict", json=body), 422)
    assert "candidates is missing" in refusal(client.post("/predict", json={"history": []}), 422)
    body["candidates"] = ["new"]
    assert "1 of 1 candidates" in refusal(task_client.post("/predict", json=body), 422)
    assert "does not know the item 'new'" in refusal(client.post("/similar", json={"item_id": "new"}), 422)
    assert "item_id is missing. Give an item id" in refusal(client.post("/similar", json={}), 422)


def test_wrong_paths_and_methods(client):
    assert "The paths are /recommend, /predict" in refusal(client.get("/recommendations"), 404)
    answer = client.get("/recommend")
    assert refusal(answer, 405) == "/recommend has the method POST, not GET."
    assert answer.headers["allow"] == "POST"
    assert "/health has the method GET" in refusal(client.delete("/health"), 405)


def test_limits(plain_folder):
    with TestClient(app_of(plain_folder, limits=SMALL)) as client:

        def ask(**body):
            return refusal(client.post("/recommend", json=body), 422)

        assert "4 histories, more than 3" in ask(histories=[[]] * 4)
        assert "more than 5 items. Give only the newest" in ask(histories=[[], ["item 1"] * 6])
        assert "deny has more than 5 items" in ask(history=[], deny=["item 1"] * 6)
        assert "k=21 is more than 20" in ask(history=[], k=21)
        assert "would list 60 items, more than 50" in ask(histories=[[]] * 3, k=20)
        assert "more than 2,000 bytes" in refusal(client.post("/recommend", content=b" " * 2001), 413)
        parts = (b" " * 500 for _ in range(5))  # without a length
        assert "more than 2,000 bytes" in refusal(client.post("/recommend", content=parts), 413)
        assert client.post("/recommend", json={"history": [], "k": 20}).status_code == 200


def test_predictions_are_limited():
    request = PredictRequest(histories=[[], []], candidates=["1", "2", "3"])
    request.check(Limits(items=6))
    with pytest.raises(InputError, match="would list 6 items, more than 5"):
        request.check(Limits(items=5))


def test_limits_that_contradict_each_other_are_refused():
    with pytest.raises(InputError, match="max_waiting=5 is less than max_histories=10"):
        Limits(histories=10, waiting=5)


@pytest.fixture
def keys(tmp_path):
    """A file of keys."""
    file = tmp_path / "keys.txt"
    file.write_text(f"# of the shop\n\n{KEY}\nanother-key-of-the-app\n")
    return ApiKeys.read(file)


def test_keys(plain_folder, keys):
    with TestClient(app_of(plain_folder, keys=keys)) as client:
        for headers in ({}, {"X-API-Key": "wrong"}, {"Authorization": f"Basic {KEY}"}, {"Authorization": "Bearer é"}):
            encoded = {name: value.encode() for name, value in headers.items()}
            answer = client.post("/recommend", json={"history": []}, headers=encoded)
            assert "API key is missing or wrong" in refusal(answer, 401)
            assert answer.headers["www-authenticate"] == "Bearer"
        for headers in ({"X-API-Key": KEY}, {"Authorization": f"Bearer {KEY}"}, {"authorization": f"bearer {KEY}"}):
            assert client.post("/recommend", json={"history": []}, headers=headers).status_code == 200
        assert client.get("/health").status_code == client.get("/ready").status_code == 200
        assert {client.get(path).status_code for path in ("/model", "/metrics", "/docs", "/nowhere")} == {401}


@pytest.mark.parametrize(
    ("content", "words"), [("# none\n", "holds no API key"), ("short\n", "less than 16 characters")]
)
def test_files_of_keys_that_cannot_be_used(tmp_path, content, words):
    (tmp_path / "keys").write_text(content)
    with pytest.raises(InputError, match=words):
        ApiKeys.read(tmp_path / "keys")


def test_bugs_tell_nothing_of_the_machine(plain_folder, monkeypatch, caplog):
    app = app_of(plain_folder)
    recommender = app.state.service.slot.model.recommender
    monkeypatch.setattr(recommender, "recommend", lambda *args, **options: 1 / 0)
    with TestClient(app, raise_server_exceptions=False) as client:
        sentence = refusal(client.post("/recommend", json={"history": ["item 1"]}), 500)
    assert sentence == "The request failed by a ZeroDivisionError: an error of the service. Its log says more."
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [ZeroDivisionError]

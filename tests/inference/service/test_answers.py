"""Answers equal those of the recommender."""

import pytest

HISTORY = ["item 3", "item 9"]
TIMES = ["2025-11-24T08:00:00Z", "2025-11-24T09:00:00Z"]
AT = "2025-11-25T08:00:00Z"


def results(answer):
    """Return the results of an answer without error."""
    assert answer.status_code == 200, answer.text
    return answer.json()["results"]


def items_of(found):
    """Describe recommendations as answers do."""
    return [one.to_dict() for one in found]


def assert_items(found, expected):
    """Compare lists of items; scores of batches may be rounded differently."""
    assert [(one["item_id"], one["title"]) for one in found] == [(one.item_id, one.title) for one in expected]
    assert [one["score"] for one in found] == pytest.approx([one.score for one in expected], abs=1e-5)


def test_one_history(client, plain):
    (found,) = results(client.post("/recommend", json={"history": HISTORY, "k": 5}))
    assert found["items"] == items_of(plain.recommend(HISTORY, 5))
    assert (found["unknown_items"], found["answered_by"]) == ([], "model")


@pytest.mark.parametrize(
    "options",
    [
        {"exclude_seen": False},
        {"allow": ["item 1", "item 2", "item 3"]},
        {"allow": []},
        {"deny": ["item 1", "item 2"]},
        {"allow": [["item 1"], ["item 2", "item 5"]]},
        {"deny": [[], ["item 7"]]},
        {"unknown": "error"},
        {"where": "count > 20"},
        {"diversity": 0.5, "method": "dpp", "rerank_from": 20},
        {"popularity_penalty": 0.5, "exploration": 0.5, "seed": 3},
    ],
)
def test_options(client, plain, options):
    histories = [HISTORY, ["item 4"]]
    found = results(client.post("/recommend", json={"histories": histories, "k": 5, **options}))
    for one, expected in zip(found, plain.recommend(histories, 5, **options), strict=True):
        assert_items(one["items"], expected)


def test_ids_may_be_numbers(client):
    (found,) = results(client.post("/recommend", json={"history": [7]}))
    assert found["unknown_items"] == ["7"]


def test_empty_histories_are_answered_by_popularity(client):
    found = results(client.post("/recommend", json={"histories": [[], ["new"], HISTORY], "k": 2}))
    assert [one["answered_by"] for one in found] == ["popularity", "popularity", "model"]
    assert [one["unknown_items"] for one in found] == [[], ["new"], []]
    assert [one["item_id"] for one in found[0]["items"]] == ["item 0", "item 1"]


def test_times_and_labels(task_client, with_tasks):
    body = {"history": HISTORY, "timestamps": TIMES, "at": AT, "columns": {"rating": [5, None]}, "k": 4}
    rank_by = {"next_item": 1, "rating": 0.5}
    (found,) = results(task_client.post("/recommend", json={**body, "rank_by": rank_by, "rerank_from": 20}))
    options = {"timestamps": TIMES, "at": AT, "rating": [5, None]}
    assert_items(found["items"], with_tasks.recommend(HISTORY, 4, rank_by=rank_by, rerank_from=20, **options))


def test_predictions(task_client, with_tasks):
    histories, times = [HISTORY, ["item 1"], []], [TIMES, TIMES[:1], []]
    candidates = [["item 5", "item 6"], ["item 5"], []]
    body = {"histories": histories, "timestamps": times, "at": AT, "candidates": candidates}
    found = results(task_client.post("/predict", json=body))
    with pytest.warns(UserWarning, match="no known item"):
        expected = with_tasks.predict(histories, candidates, timestamps=times, at=AT)
    flat = [item for one in found for item in one["items"]]
    assert [item["item_id"] for item in flat] == expected["item_id"].to_list()
    assert [item["rating"] for item in flat] == pytest.approx(expected["rating"].to_list(), abs=1e-5)
    assert [len(one["items"]) for one in found] == [2, 1, 0]
    assert [one["answered_by"] for one in found] == ["model", "model", "popularity"]


def test_reasons(task_client, with_tasks):
    body = {"history": ["new", *HISTORY], "timestamps": [TIMES[0], *TIMES], "at": AT, "item_ids": ["item 5", "item 1"]}
    answer = task_client.post("/explain", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["unknown_items"] == ["new"]
    for found in answer.json()["results"]:
        expected = with_tasks.explain(HISTORY, found["item_id"], timestamps=TIMES, at=AT).rows(named=True)
        assert [one["item_id"] for one in found["reasons"]] == [one["item_id"] for one in expected]
        assert [one["contribution"] for one in found["reasons"]] == pytest.approx(
            [one["contribution"] for one in expected], abs=1e-5
        )
    assert [found["item_id"] for found in answer.json()["results"]] == ["item 5", "item 1"]


def test_similar_items(client, plain):
    answer = client.post("/similar", json={"item_id": "item 3", "k": 4})
    assert answer.json()["items"] == items_of(plain.similar_items("item 3", 4))


def test_the_model_is_described(client, task_client, plain_folder):
    plain, tasks = client.get("/model").json(), task_client.get("/model").json()
    assert plain["name"] == plain_folder.name
    assert plain["num_items"] == 40
    assert plain["reads"] == {"timestamps": False, "at": False, "columns": [], "max_history_length": 12}
    assert len(plain["weights_sha256"]) == 64
    assert plain["version"] != tasks["version"]
    assert tasks["tasks"] == ["rating"]
    assert tasks["reads"] == {"timestamps": True, "at": True, "columns": ["rating"], "max_history_length": 12}
    assert plain["last_reload"] is None


def test_the_service_tells_its_state(client):
    assert client.get("/health").json() == {"status": "ok"}
    assert client.get("/ready").json() == {"status": "ready"}


def test_examples_of_the_documentation_work(client, task_client):
    for one in (client, task_client):
        document = one.get("/openapi.json").json()
        for path in ("/recommend", "/predict", "/explain", "/similar"):
            if path == "/predict" and one is client:  # it has no tasks
                continue
            body = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["example"]
            assert one.post(path, json=body).status_code == 200


def test_metrics_count_what_happened(client):
    def value(name):
        lines = client.get("/metrics").text.splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))

    names = ('seqrec_requests_total{path="/similar",status="200"}', "seqrec_request_seconds_count", "seqrec_batch")
    before = [value(name) for name in names]
    client.post("/similar", json={"item_id": "item 1"})
    assert all(value(name) > old for name, old in zip(names, before, strict=True))
    assert value("seqrec_queue_histories") == 0
    assert value("seqrec_reloads_total") == 0
    assert value(f'seqrec_model{{version="{client.get("/model").json()["version"]}"}}') == 1

"""Requests that wait are answered together, and none suffers from another."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from fastapi.testclient import TestClient
from service_models import app_of

from seqrec.inference.service.batcher import Batcher
from seqrec.inference.service.limits import Limits
from seqrec.inference.service.operations import OPERATIONS, group_of
from seqrec.inference.service.request_schemas import RecommendRequest
from seqrec.inference.service.service_errors import ServiceError

RECOMMEND = OPERATIONS[0]


class Held:
    """Answers requests by their double once it is released, and remembers what came together."""

    def __init__(self):
        self.batches, self.may_go, self.began = [], threading.Event(), threading.Event()

    def answer(self, requests):
        self.batches.append(list(requests))
        self.began.set()
        self.may_go.wait(10)
        return [ValueError(request) if request < 0 else 2 * request for request in requests]


def run(limits, scenario):
    """Run a scenario with a batcher whose worker waits for its release."""
    held = Held()

    async def main():
        batcher = Batcher(held.answer, limits)
        batcher.start()
        try:
            return await scenario(batcher, held)
        finally:
            held.may_go.set()
            await asyncio.to_thread(batcher.stop)

    return asyncio.run(main()), held.batches


async def first_is_running(batcher, held):
    """Ask once, and wait until the worker computes."""
    task = asyncio.create_task(batcher.ask("first", 100, 1))
    await asyncio.to_thread(held.began.wait, 10)
    return task


def test_those_that_wait_are_answered_together_by_group():
    async def scenario(batcher, held):
        first = await first_is_running(batcher, held)
        asked = [("a", 1), ("b", 2), ("a", 3), (None, 4), ("a", 5), (None, 6)]
        tasks = [asyncio.create_task(batcher.ask(group, request, 1)) for group, request in asked]
        await asyncio.sleep(0)
        held.may_go.set()
        return await asyncio.gather(first, *tasks)

    answers, batches = run(Limits(), scenario)
    assert answers == [200, 2, 4, 6, 8, 10, 12]
    assert batches == [[100], [1, 3, 5], [2], [4], [6]]


def test_batches_have_a_greatest_size():
    async def scenario(batcher, held):
        first = await first_is_running(batcher, held)
        tasks = [asyncio.create_task(batcher.ask("a", size, size)) for size in (2, 3, 1, 9, 1)]
        await asyncio.sleep(0)
        held.may_go.set()
        return await asyncio.gather(first, *tasks)

    _, batches = run(Limits(batch=4), scenario)
    assert batches == [[100], [2, 1, 1], [3], [9]]


def test_errors_reach_their_own_request():
    async def scenario(batcher, held):
        held.may_go.set()
        return await asyncio.gather(*(batcher.ask("a", one, 1) for one in (1, -1, 2)), return_exceptions=True)

    (one, error, two), _ = run(Limits(), scenario)
    assert (one, two) == (2, 4)
    assert isinstance(error, ValueError)


def test_too_many_are_refused():
    async def scenario(batcher, held):
        first = await first_is_running(batcher, held)
        second = asyncio.create_task(batcher.ask("a", 1, 3))
        await asyncio.sleep(0)
        with pytest.raises(ServiceError, match="3 histories are waiting already") as caught:
            await batcher.ask("a", 2, 2)
        held.may_go.set()
        await asyncio.gather(first, second)
        assert await batcher.ask("a", 2, 4) == 4  # there is room again
        return caught.value

    error, _ = run(Limits(histories=4, waiting=4), scenario)
    assert error.status == 429
    assert error.headers == {"Retry-After": "1"}


def test_late_answers_are_told_apart_from_late_beginnings():
    async def scenario(batcher, held):
        first = await first_is_running(batcher, held)
        second = asyncio.create_task(batcher.ask("a", 1, 1))
        errors = await asyncio.gather(first, second, return_exceptions=True)
        held.may_go.set()
        await asyncio.sleep(0.05)
        return errors

    errors, batches = run(Limits(seconds=0.05), scenario)
    assert [error.status for error in errors] == [504, 503]
    assert batches == [[100]]  # nobody waits for the second any longer


def test_the_end_answers_what_waits_and_refuses_what_comes():
    async def scenario(batcher, held):
        first = await first_is_running(batcher, held)
        second = asyncio.create_task(batcher.ask("a", 1, 1))
        await asyncio.sleep(0)
        stopping = asyncio.create_task(asyncio.to_thread(batcher.stop))
        while batcher.is_alive:
            await asyncio.sleep(0.001)
        with pytest.raises(ServiceError, match="stopping"):
            await batcher.ask("a", 2, 1)
        held.may_go.set()
        answers = await asyncio.gather(first, second)
        await stopping
        return answers

    answers, _ = run(Limits(), scenario)
    assert answers == [200, 2]


@pytest.mark.parametrize(
    ("one", "other", "is_equal"),
    [
        ({}, {"k": 10}, True),
        ({}, {"k": 5}, False),
        ({}, {"exclude_seen": False}, False),
        ({"deny": ["1"]}, {"deny": ["2"]}, True),
        ({"deny": ["1"]}, {}, False),
        ({"rank_by": {"a": 1, "b": 2}}, {"rank_by": {"b": 2, "a": 1}}, True),
        ({"rank_by": {"a": 1}}, {"rank_by": {"a": 2}}, False),
        ({"columns": {"rating": [1]}}, {"columns": {"rating": [2]}}, True),
        ({"columns": {"rating": [1]}}, {}, False),
        ({"at": "now"}, {"at": "2025-01-01"}, False),
    ],
)
def test_groups_agree_in_their_options(one, other, is_equal):
    groups = [group_of(RECOMMEND, RecommendRequest(history=["1"], **options)) for options in (one, other)]
    assert (groups[0] == groups[1]) is is_equal


def test_one_list_for_many_histories_is_answered_alone():
    assert group_of(RECOMMEND, RecommendRequest(histories=[[], []], deny=["1"])) is None
    assert group_of(RECOMMEND, RecommendRequest(histories=[[], []], deny=[["1"], ["1"]])) is not None


def test_one_bad_request_does_not_fail_its_neighbours(plain_folder, plain):
    app = app_of(plain_folder)
    service, sizes = app.state.service, []
    compute = service.batcher.answer

    def slowly(requests):
        sizes.append(len(requests))
        time.sleep(0.1 if len(sizes) == 1 else 0)
        return compute(requests)

    service.batcher.answer = slowly
    bodies = [{"history": [f"item {index}"], "k": 3, "unknown": "error"} for index in range(12)]
    bodies[5]["history"] = ["new"]
    bodies[8]["histories"] = [["item 30"], ["item 31", "item 32"]]
    del bodies[8]["history"]
    with TestClient(app) as client, ThreadPoolExecutor(len(bodies)) as pool:
        answers = list(pool.map(lambda body: client.post("/recommend", json=body), bodies))
    assert max(sizes) > 1
    assert [answer.status_code for answer in answers] == [422 if index == 5 else 200 for index in range(12)]
    for body, answer in zip(bodies, answers, strict=True):
        if answer.status_code == 200:
            histories = body.get("histories") or [body["history"]]
            for found, expected in zip(answer.json()["results"], plain.recommend(histories, 3), strict=True):
                assert [one["item_id"] for one in found["items"]] == [one.item_id for one in expected]
                assert [one["score"] for one in found["items"]] == pytest.approx(
                    [one.score for one in expected], abs=1e-5
                )

"""Answer requests in one worker thread; those that wait are answered together.

While the worker computes, further requests wait. It then takes the first of them, with all others that can be answered
in the same call. No request waits for others to arrive: a lone one is answered at once.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

from seqrec.inference.service.limits import Limits
from seqrec.inference.service.service_errors import ServiceError

__all__ = ["Batcher"]

RETRY_AFTER = {"Retry-After": "1"}


@dataclass
class Job:
    """A request that waits.

    Attributes:
        group: Requests of equal groups can be answered in one call; those of group None are answered alone.
        request: The request.
        size: Number of its histories.
        future: Receives the answer.
        is_running: Whether the worker took it.
    """

    group: Hashable
    request: Any
    size: int
    future: asyncio.Future[Any] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    is_running: bool = False


class Batcher:
    """Hands requests to a worker thread, and its answers back.

    Args:
        answer: Answers requests of one group in the worker thread: an answer or an exception for each.
        limits: How many histories may wait, and be answered together.
        observe: Receives the number of histories of each call.
    """

    def __init__(
        self,
        answer: Callable[[Sequence[Any]], Sequence[Any]],
        limits: Limits,
        observe: Callable[[int], object] = lambda size: None,
    ) -> None:
        self.answer, self.limits, self.observe = answer, limits, observe
        self.jobs: deque[Job] = deque()
        self.num_waiting = 0
        self.is_stopping = False
        self.changed = threading.Condition()
        self.worker = threading.Thread(target=self.work, name="seqrec-worker", daemon=True)

    def start(self) -> None:
        """Start the worker."""
        self.worker.start()

    def stop(self) -> None:
        """Stop the worker once it has answered everything that waits; give up when nobody waits any longer."""
        with self.changed:
            self.is_stopping = True
            self.changed.notify()
        self.worker.join(self.limits.seconds)

    @property
    def is_alive(self) -> bool:
        """Whether requests are answered."""
        return self.worker.is_alive() and not self.is_stopping

    async def ask(self, group: Hashable, request: Any, size: int) -> Any:
        """Wait for the answer to a request.

        Raises:
            ServiceError: If too many requests wait (429), this one was not taken in time (503) or not answered in time
                (504), or the service is stopping (503).
            Exception: What answering it raised.
        """
        job = Job(group, request, size)
        self.put(job)
        try:
            async with asyncio.timeout(self.limits.seconds):
                return await job.future
        except TimeoutError:
            seconds = f"{self.limits.seconds:g} seconds"
            if job.is_running:
                raise ServiceError(504, f"The answer took more than {seconds}. Ask for less at once.") from None
            sentence = f"The request waited for more than {seconds}. Try again later, or run more services."
            raise ServiceError(503, sentence, RETRY_AFTER) from None

    def put(self, job: Job) -> None:
        """Let a request wait; refuse it if too many do."""
        with self.changed:
            if not self.is_alive:
                raise ServiceError(503, "The service is stopping. Try again.", RETRY_AFTER)
            if self.num_waiting + job.size > self.limits.waiting:
                raise ServiceError(
                    429, f"{self.num_waiting:,} histories are waiting already. Try again in a second.", RETRY_AFTER
                )
            self.jobs.append(job)
            self.num_waiting += job.size
            self.changed.notify()

    def work(self) -> None:
        """Answer requests until the service stops."""
        while batch := self.take():
            live = [job for job in batch if not job.future.done()]
            if not live:
                continue
            self.observe(sum(job.size for job in live))
            answers = self.answer([job.request for job in live])
            loop = live[0].future.get_loop()
            if not loop.is_closed():
                loop.call_soon_threadsafe(deliver, live, answers)

    def take(self) -> list[Job]:
        """Wait for a request, and take it with those that can be answered in the same call; empty at the end."""
        with self.changed:
            while not self.jobs and not self.is_stopping:
                self.changed.wait()
            if not self.jobs:
                return []
            batch = [self.jobs.popleft()]
            size = batch[0].size
            if batch[0].group is not None and size < self.limits.batch:
                size += self.take_others(batch, self.limits.batch - size)
            self.num_waiting -= size
            for job in batch:
                job.is_running = True
            return batch

    def take_others(self, batch: list[Job], room: int) -> int:
        """Move requests of the same group to a batch, and return the number of their histories."""
        group, taken, left = batch[0].group, 0, []
        while self.jobs and taken < room:
            job = self.jobs.popleft()
            if job.group == group and taken + job.size <= room:
                batch.append(job)
                taken += job.size
            else:
                left.append(job)
        self.jobs.extendleft(reversed(left))
        return taken


def deliver(jobs: Sequence[Job], answers: Sequence[Any]) -> None:
    """Hand answers to the requests that still wait for them."""
    for job, answer in zip(jobs, answers, strict=True):
        if job.future.done():
            continue
        if isinstance(answer, BaseException):
            job.future.set_exception(answer)
        else:
            job.future.set_result(answer)

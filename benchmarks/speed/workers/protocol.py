"""Shared by all workers: messages to and from the harness, turns, and memory measurements.

Uses only the standard library, since it runs in every environment. A message is one line of JSON. The harness sends the
request, then `{"count": n}` for each turn; a worker reports when it is ready, and answers each turn with its
measurements. Workers idle between turns, so that turns of several workers never overlap.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Message = dict[str, Any]


class Channel:
    """A worker's connection to the harness. Once created, output printed by libraries goes to stderr."""

    def __init__(self) -> None:
        self.output = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        self.resident_at_start = 0.0

    def send(self, message: Message) -> None:
        """Send one message."""
        self.output.write(json.dumps(message) + "\n")
        self.output.flush()

    def receive(self) -> Message:
        """Wait for a message; exit if the harness has closed the connection."""
        line = sys.stdin.readline()
        if not line:
            sys.exit(0)
        return json.loads(line)

    def ready(self) -> None:
        """Report that everything is loaded; memory growth is measured from here."""
        self.resident_at_start = memory_mib("VmRSS")
        self.send({"ready": True})

    def answer(self, *, seconds: float, units: float, **more: Any) -> None:
        """Answer a turn: its duration, its number of tokens, users or requests, and memory so far."""
        peak = memory_mib("VmHWM")
        memory = {"peak_mib": peak, "growth_mib": peak - self.resident_at_start}
        self.send({"seconds": seconds, "units": units, **memory, **more})


class Gate:
    """Lets a library's own training loop run the steps of a turn, and pauses it between turns.

    The loop calls `open` before its first step and `pass_step` after each.
    """

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.steps_left = 0
        self.units = 0
        self.start = self.cpu_start = 0.0

    def __deepcopy__(self, memo: dict) -> "Gate":
        return self  # keeps the connection if a library copies its callbacks

    def open(self) -> None:
        """Report ready, and wait for the first turn."""
        self.channel.ready()
        self.wait()

    def wait(self) -> None:
        """Wait for the next turn, and start its clock."""
        self.steps_left = self.channel.receive()["count"]
        self.units = 0
        self.start, self.cpu_start = time.perf_counter(), time.process_time()

    def pass_step(self, units: int) -> None:
        """Count a step, and end the turn if it was its last."""
        self.units += units
        self.steps_left -= 1
        if self.steps_left == 0:
            seconds, cpu_seconds = time.perf_counter() - self.start, time.process_time() - self.cpu_start
            self.channel.answer(seconds=seconds, units=self.units, cpu_seconds=cpu_seconds)
            self.wait()


def serve_turns(channel: Channel, run: Callable[[int], Message]) -> None:
    """Serve turns of a task without a training loop; `run(count)` returns at least `units`."""
    channel.ready()
    while True:
        count = channel.receive()["count"]
        start = time.perf_counter()
        measured = run(count)
        channel.answer(seconds=time.perf_counter() - start, **measured)


def timed_requests(answer: Callable[[Any], Any], requests: list) -> Callable[[int], Message]:
    """Return a `run` that answers `count` requests, cycling through them, and reports the milliseconds of each."""
    position = 0

    def run(count: int) -> Message:
        nonlocal position
        times = []
        for _ in range(count):
            request = requests[position % len(requests)]
            position += 1
            start = time.perf_counter()
            answer(request)
            times.append((time.perf_counter() - start) * 1000)
        return {"units": count, "times_ms": times}

    return run


def serve(tasks: dict[str, Callable[[Message, Channel], None]]) -> None:
    """Receive the request and run its task."""
    channel = Channel()
    request = channel.receive()
    tasks[request["task"]](request, channel)


def memory_mib(field: str) -> float:
    """Read `VmRSS` (resident now) or `VmHWM` (its peak) of this process.

    `getrusage` will not do: its peak includes the memory of the parent when it started the process.
    """
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"/proc/self/status has no line {field}.")

"""Start workers and communicate with them."""

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Self

from specs import Contender

WORKERS = Path(__file__).parent / "workers"
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS")
LAST_LINES = 12


class WorkerError(RuntimeError):
    """A worker exited early; the message ends with its last output."""


class Worker:
    """A running contender. Leaving its `with` block kills it.

    Args:
        contender: The contender to run.
        python: The interpreter of its environment.
        data: Its interactions, if it reads any.
        threads: Number of threads, unless the contender sets its own.
    """

    def __init__(self, contender: Contender, *, python: str, data: Path | None, threads: int) -> None:
        self.contender = contender
        self.log = tempfile.TemporaryFile(mode="w+", encoding="utf-8", errors="replace")  # noqa: SIM115, __exit__ closes it
        threads_used = contender.threads or threads
        variables = dict.fromkeys(THREAD_VARIABLES, str(threads_used)) | {"TOKENIZERS_PARALLELISM": "false"}
        self.process = subprocess.Popen(
            [python, WORKERS / f"{contender.worker}_worker.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env=os.environ | variables | contender.variables,
            start_new_session=True,  # Ctrl-C only reaches the harness, which kills its workers
        )
        self.send({"task": contender.task, "data": data and str(data), "settings": contender.settings})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.process.kill()
        self.process.communicate()
        self.log.close()

    def wait_until_ready(self) -> None:
        """Wait until it has loaded everything."""
        self.receive()

    def turn(self, count: int) -> dict[str, Any]:
        """Let it run `count` steps and return its measurements; messages sent meanwhile are under `progress`."""
        self.send({"count": count})
        progress = []
        while "seconds" not in (message := self.receive()):
            progress.append(message)
        return {"count": count, **message, **({"progress": progress} if progress else {})}

    def send(self, message: dict[str, Any]) -> None:
        """Send one message."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise self.error() from None

    def receive(self) -> dict[str, Any]:
        """Wait for one message."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise self.error()
        return json.loads(line)

    def error(self) -> WorkerError:
        """Describe how it exited."""
        status = self.process.wait()
        self.log.seek(0)
        last = "".join(self.log.readlines()[-LAST_LINES:])
        return WorkerError(f"{self.contender.name} ended with status {status}. Its last lines were:\n{last}")

"""Several processes that share a search, each with its share of the threads."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from typing import Any

from seqrec.errors import InputError
from seqrec.interactions.one_line import one_line
from seqrec.training.tuning_bench import Bench, Request
from seqrec.training.tuning_origin import FineTuned

__all__ = ["PREPARED", "search_in_processes"]

WORKER = "seqrec.training.tuning_worker"
PREPARED = "prepared"  # the data, for the processes
BETWEEN = 0.2  # seconds between two looks at the processes
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")


def search_in_processes(
    bench: Bench,
    request: Request,
    *,
    processes: int,
    trials: int | None,
    seed: int,
    threads: int,
    modules: Sequence[str] = (),
    between: Callable[[], None],
) -> None:
    """Search in several processes on this machine, and wait for them.

    Args:
        bench: What the trials share. The data are written to a prepared set, which the processes load.
        request: What is searched.
        processes: How many processes.
        trials: Number of trials of all processes and commands; None for no limit.
        seed: Seed of the first process's sampler; the others take the next ones.
        threads: Threads of each process.
        modules: Modules to import first, which register architectures or parts.
        between: Called a few times a second.

    Raises:
        InputError: If a process fails.
    """
    fine_tuned = bench.origin if isinstance(bench.origin, FineTuned) else None
    # The features of a model to fine-tune are saved with it.
    data = bench.data if fine_tuned is None else replace(bench.data, features=None, feature_values={})
    data.save(bench.folder / PREPARED)
    if fine_tuned is not None and fine_tuned.place is not None:
        request = replace(request, model_name_or_path=str(fine_tuned.place), model_revision=None)
    clock = {name: getattr(bench.clock, name) for name in ("began", "used", "seconds", "relative_size")}
    common: dict[str, Any] = {"folder": str(bench.folder), "request": asdict(request), "clock": clock, "trials": trials}
    common |= {"modules": list(modules), "threads": threads, "parent": os.getpid()}
    with ExitStack() as stack:
        workers = []
        for number in range(processes):
            task = json.dumps({**common, "seed": seed + number}, default=str)
            log = stack.enter_context(open(bench.folder / f"process-{number}.log", "w+", encoding="utf-8"))
            workers.append((start(task, threads, log), log))
            stack.callback(stop, workers[-1][0])
        while any(worker.poll() is None for worker, _ in workers):
            for worker, log in workers:
                if worker.poll():
                    raise InputError(f"A process of the search failed: {last_line(log)}")
            between()
            time.sleep(BETWEEN)
        for worker, log in workers:
            if worker.returncode:
                raise InputError(f"A process of the search failed: {last_line(log)}")


def start(task: str, threads: int, log: Any) -> subprocess.Popen:
    """Start a process; Ctrl-C reaches only this one, which then stops the others."""
    environment = {**os.environ, **dict.fromkeys(THREADS, str(threads))}
    return subprocess.Popen(
        [sys.executable, "-m", WORKER, task],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env=environment,
        start_new_session=True,
    )


def stop(worker: subprocess.Popen) -> None:
    """End a process, if it has not ended."""
    if worker.poll() is None:
        worker.kill()
    worker.wait()


def last_line(log: Any) -> str:
    """Return the last line that a process wrote, which says how it failed."""
    log.seek(0)
    lines = [line for line in log.read().splitlines() if line.strip()]
    return one_line(lines[-1], 500) if lines else "it was killed."

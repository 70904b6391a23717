"""Workers of a Ray cluster, or of Ray on this machine."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from seqrec.errors import InputError
from seqrec.interactions.one_line import one_line
from seqrec.interactions.workers import engine_missing

__all__ = ["RayWorkers", "start_ray"]

RETRIES = 3  # restarts of a worker, and of the task during which it died


def start_ray(num_workers: int | None = None) -> Any:
    """Return the package `ray`, connected to a cluster; see `connect`.

    Raises:
        InputError: If it is not installed, or cannot be reached.
    """
    try:
        import ray
    except ImportError as error:
        raise engine_missing("ray", error) from error
    if not ray.is_initialized():
        try:
            connect(ray, num_workers)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise InputError(f"Ray does not start: {one_line(error)}.") from error
    return ray


def connect(ray: Any, num_workers: int | None) -> None:
    """Connect to the cluster of `RAY_ADDRESS`, to one that runs on this machine, or to a new one here."""
    quiet = {"log_to_driver": False, "logging_level": "warning"}
    if os.environ.get("RAY_ADDRESS"):
        ray.init(**quiet)
        return
    try:
        ray.init("auto", **quiet)
    except ConnectionError:
        ray.init("local", num_cpus=num_workers, include_dashboard=False, **quiet)


class RayWorkers:
    """Actors, each of which keeps the function that it runs.

    Args:
        num_workers: Their number; by default, one for each core (or GPU) of the cluster.

    Raises:
        InputError: See `start_ray`.
    """

    def __init__(self, num_workers: int | None = None) -> None:
        self.ray, self.num_workers = start_ray(num_workers), num_workers

    def run(self, step: Callable[[Any], Any], tasks: Sequence[Any], *, gpus: bool = False) -> Iterator[Any]:
        """See `Workers.run`."""
        from ray.util import ActorPool

        found = self.ray.cluster_resources()
        per_worker = {"num_gpus": 1} if gpus and found.get("GPU") else {}
        available = int(found["GPU" if per_worker else "CPU"])
        actor = self.ray.remote(num_cpus=1, max_restarts=RETRIES, max_task_retries=RETRIES, **per_worker)(Worker)
        shared = self.ray.put(step)
        actors = [actor.remote(shared) for _ in range(min(self.num_workers or available, len(tasks)))]
        try:
            yield from ActorPool(actors).map_unordered(lambda one, task: one.run.remote(task), tasks)
        except self.ray.exceptions.RayTaskError:  # a mistake of the function's
            raise
        except self.ray.exceptions.RayError as error:
            raise InputError(
                f"A worker of Ray died again and again ({one_line(str(error).splitlines()[0])}). Parts that are done "
                "are kept. Repeat the call to go on."
            ) from error
        finally:
            for one in actors:
                self.ray.kill(one)

    def copy_table(self, source: Any, folder: Path) -> int:
        """See `Workers.copy_table`; reads a folder as Parquet."""
        import ray.data

        table = source
        if isinstance(source, str):
            readers = {".csv": ray.data.read_csv, ".json": ray.data.read_json, ".jsonl": ray.data.read_json}
            table = readers.get(Path(source).suffix, ray.data.read_parquet)(source)
        table.write_parquet(str(folder))
        return table.count()


class Worker:
    """Calls a function in a process of its own."""

    def __init__(self, step: Callable[[Any], Any]) -> None:
        self.step = step

    def run(self, task: Any) -> Any:
        """Call the function."""
        return self.step(task)

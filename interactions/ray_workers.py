"""Workers of a Ray cluster, or of Ray on this machine."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from seqrec.errors import InputError
from seqrec.interactions.one_line import one_line
from seqrec.interactions.workers import engine_missing

__all__ = ["RayWorkers"]

RETRIES = 3  # restarts of a worker, and of the task during which it died


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
        num_workers: Their number; by default, and at most, one for each core (or GPU) of the cluster.

    Raises:
        InputError: If Ray is not installed.
    """

    def __init__(self, num_workers: int | None = None) -> None:
        try:
            import ray  # noqa: F401
        except ImportError as error:
            raise engine_missing("ray", error) from error
        self.num_workers = num_workers

    def connected(self) -> Any:
        """Return the package, connected to a cluster.

        Raises:
            InputError: If it cannot be reached.
        """
        import ray

        if not ray.is_initialized():
            try:
                connect(ray, self.num_workers)
            except (ConnectionError, RuntimeError, ValueError) as error:
                raise InputError(f"Ray does not start: {one_line(error)}.") from error
        return ray

    def run(self, step: Callable[[Any], Any], tasks: Sequence[Any], *, gpus: bool = False) -> Iterator[Any]:
        """See `Workers.run`."""
        ray = self.connected()
        from ray.util import ActorPool

        found = ray.cluster_resources()
        per_worker = {"num_gpus": 1} if gpus and found.get("GPU") else {}
        available = max(1, int(found.get("GPU" if per_worker else "CPU", 1)))
        actor = ray.remote(num_cpus=1, max_restarts=RETRIES, max_task_retries=RETRIES, **per_worker)(Worker)
        shared = ray.put(step)
        num_actors = min(self.num_workers or available, available, len(tasks))  # others would wait for cores
        actors = [actor.remote(shared) for _ in range(num_actors)]
        try:
            yield from ActorPool(actors).map_unordered(lambda one, task: one.run.remote(task), tasks)
        except ray.exceptions.RayTaskError:  # a mistake of the function's
            raise
        except ray.exceptions.RayError as error:
            raise InputError(
                f"A worker of Ray died again and again ({one_line(str(error).splitlines()[0])}). Parts that are done "
                "are kept. Repeat the call to go on."
            ) from error
        finally:
            for one in actors:
                ray.kill(one)

    def copy_table(self, source: Any, folder: Path) -> int:
        """See `Workers.copy_table`; reads a folder as Parquet."""
        table = source
        if isinstance(source, str):
            self.connected()
            from ray import data

            readers = {".csv": data.read_csv, ".json": data.read_json, ".jsonl": data.read_json}
            table = readers.get(Path(source).suffix, data.read_parquet)(source)
        table.write_parquet(str(folder))
        return table.count()


class Worker:
    """Calls a function in a process of its own."""

    def __init__(self, step: Callable[[Any], Any]) -> None:
        self.step = step

    def run(self, task: Any) -> Any:
        """Call the function."""
        return self.step(task)

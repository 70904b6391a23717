"""Run a long job's steps on many workers: what all engines have in common.

Workers and the process that asks them share a folder. A step writes its files there atomically, so that an engine may
run it again after a worker has died.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from socket import gethostname
from typing import Any, Literal, Protocol

from seqrec.errors import InputError, SeqrecError
from seqrec.interactions.events import EVENT_COLUMNS, EventColumn

__all__ = ["ENGINES", "Engine", "Step", "Workers", "engine_missing", "find_workers", "run_steps"]

Engine = Literal["ray", "spark"]
ENGINES: tuple[Engine, ...] = ("ray", "spark")


class Workers(Protocol):
    """Workers of an engine."""

    def run(self, step: Callable[[Any], Any], tasks: Sequence[Any], *, gpus: bool = False) -> Iterator[Any]:
        """Call a function with each task on some worker, and yield the results in any order.

        What dies with a worker is run again, a few times. The function and what it holds stay with a worker, so that
        it can load a model once.

        Args:
            step: The function; it and the tasks are pickled.
            tasks: Its arguments.
            gpus: Whether a worker uses a GPU, if the engine has any.

        Raises:
            InputError: If a worker dies again and again.
        """
        ...

    def copy_table(self, source: Any, folder: Path) -> int:
        """Write a table of the engine, or one at an address that it reads, as Parquet files; return its rows."""
        ...


@dataclass(frozen=True)
class Outcome:
    """What a worker sends back.

    Attributes:
        result: What the function returned.
        error: The error of unusable data, which running the function again cannot help.
        warned: The texts and classes of warnings.
    """

    result: Any
    error: SeqrecError | None = None
    warned: tuple[tuple[str, type[Warning]], ...] = ()


@dataclass
class Step:
    """A function as workers call it: in a process of their own, with the columns that are registered here.

    Attributes:
        function: The function.
        folder: The folder that the workers share.
        columns: The registered event columns.
    """

    function: Callable[[Any], Any]
    folder: Path
    columns: dict[str, EventColumn] = field(default_factory=lambda: dict(EVENT_COLUMNS))

    def __call__(self, task: Any) -> Outcome:
        """Call the function."""
        for name, column in self.columns.items():
            EVENT_COLUMNS.setdefault(name, column)
        if not self.folder.is_dir():
            problem = f"The worker on {gethostname()} has no folder '{self.folder}'."
            return Outcome(None, InputError(f"{problem} Choose an output in a folder that all workers share."))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            try:
                result, error = self.function(task), None
            except SeqrecError as found:
                result, error = None, found
        return Outcome(result, error, tuple((str(one.message), one.category) for one in caught))


def run_steps(
    workers: Workers | None,
    function: Callable[[Any], Any],
    tasks: Sequence[Any],
    folder: Path,
    *,
    gpus: bool = False,
) -> Iterator[Any]:
    """Call a function with each task, on workers or, without any, here and in order; yield the results.

    Args:
        workers: The workers.
        function: The function. Workers need a module with it.
        tasks: Its arguments.
        folder: The folder that the workers share.
        gpus: See `Workers.run`.

    Raises:
        InputError: If the function does, a worker dies again and again, or results are missing.
    """
    if workers is None:
        yield from map(function, tasks)
        return
    num_done = 0
    for outcome in workers.run(Step(function, folder), tasks, gpus=gpus) if tasks else ():
        for text, category in outcome.warned:
            warnings.warn(text, category, stacklevel=2)
        if outcome.error is not None:
            raise outcome.error
        num_done += 1
        yield outcome.result
    if num_done != len(tasks):
        raise InputError(f"Only {num_done} of {len(tasks)} parts came back from the workers. Repeat the call to go on.")


def find_workers(engine: Engine | None, num_workers: int | None = None) -> Workers | None:
    """Return the workers of an engine; None for no engine, which is this process.

    Args:
        engine: "ray" or "spark". Either uses the cluster that its own settings name, such as `RAY_ADDRESS` or
            `PYSPARK_SUBMIT_ARGS`, or else the cores of this machine.
        num_workers: The number of workers of Ray; by default, and at most, as many as there are cores. Spark has its
            settings for it.

    Raises:
        InputError: If the engine is not installed.
    """
    if engine is None:
        if num_workers is not None:
            raise InputError("num_workers has no effect without an engine. Leave it out, or choose engine='ray'.")
        return None
    if engine == "ray":
        from seqrec.interactions.ray_workers import RayWorkers

        return RayWorkers(num_workers)
    if engine == "spark":
        from seqrec.interactions.spark_workers import SparkWorkers

        if num_workers is not None:
            raise InputError("Spark decides on the number of workers by its own settings. Leave num_workers out.")
        return SparkWorkers()
    raise InputError(f"The engine {engine!r} is unknown. Choose one of: {', '.join(ENGINES)}.")


def engine_missing(engine: Engine, error: ImportError) -> InputError:
    """Return the error for an engine that is not installed."""
    return InputError(f'The engine {engine!r} is not installed ({error}). Run: pip install "seqrec[{engine}]"')

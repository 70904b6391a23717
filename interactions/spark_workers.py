"""Workers of a Spark cluster, or of Spark on this machine."""

import os
import pickle
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from seqrec.errors import InputError
from seqrec.interactions.one_line import one_line
from seqrec.interactions.workers import engine_missing

__all__ = ["SparkWorkers"]

LOCAL = "local[*,4]"  # all cores; a task may fail three times
CONFIGURED = {"MASTER", "SPARK_REMOTE", "PYSPARK_SUBMIT_ARGS", "SPARK_CONF_DIR", "PYSPARK_GATEWAY_PORT"}  # variables


class SparkWorkers:
    """Tasks of Spark, in its running session or one that is started here.

    Raises:
        InputError: If Spark is not installed.
    """

    def __init__(self) -> None:
        try:
            import pyspark.sql  # noqa: F401
        except ImportError as error:
            raise engine_missing("spark", error) from error

    @cached_property
    def session(self) -> Any:
        """The session.

        Raises:
            InputError: If Spark does not start.
        """
        from pyspark.sql import SparkSession

        try:
            return SparkSession.getActiveSession() or started(SparkSession.builder)
        except Exception as error:  # such as a missing Java
            raise InputError(f"Spark does not start: {one_line(error):.300}. It needs Java 17 or later.") from error

    def run(self, step: Callable[[Any], Any], tasks: Sequence[Any], *, gpus: bool = False) -> Iterator[Any]:
        """See `Workers.run`; a worker's GPU is up to the settings of Spark."""
        from pyspark.errors import PythonException

        def run_batches(batches: Iterator[Any]) -> Iterator[Any]:
            import pyarrow as pa

            for batch in batches:
                for number in batch["id"].to_pylist():
                    yield pa.RecordBatch.from_pydict({"result": [pickle.dumps(step(tasks[number]))]})

        numbers = self.session.range(0, len(tasks), 1, len(tasks))  # a task of Spark for each of ours
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)  # unused
                rows = numbers.mapInArrow(run_batches, "result binary").collect()
        except PythonException:  # a mistake of the function's
            raise
        except Exception as error:  # of Java or of Spark
            raise InputError(
                f"A task of Spark failed again and again ({one_line(error):.300}). Parts that are done are kept. "
                "Repeat the call to go on."
            ) from error
        return (pickle.loads(row["result"]) for row in rows)

    def copy_table(self, source: Any, folder: Path) -> int:
        """See `Workers.copy_table`; reads a folder as Parquet."""
        table = source
        if isinstance(source, str):
            read, kind = self.session.read, Path(source).suffix
            if kind == ".csv":
                table = read.csv(source, header=True)
            else:
                table = read.json(source) if kind in (".json", ".jsonl") else read.parquet(source)
        table.write.mode("overwrite").parquet(folder.as_uri())
        return table.count()


def started(builder: Any) -> Any:
    """Start a session: on the cluster that is configured, or on all cores of this machine."""
    builder = builder.appName("seqrec")
    if os.environ.keys() & CONFIGURED:
        return builder.getOrCreate()
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    return builder.master(LOCAL).config("spark.ui.showConsoleProgress", "false").getOrCreate()

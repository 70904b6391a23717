"""Check whether polars works in this process: if a fork lost its threads, it hangs."""

import os
import threading
from functools import cache

import polars as pl

__all__ = ["require_polars"]

PATIENCE = 10.0  # seconds to wait for a task that takes a millisecond


def require_polars() -> None:
    """Check, once per process, that polars can compute.

    Raises:
        RuntimeError: If this process was forked from one that had already used polars.
    """
    if not polars_answers(os.getpid()):
        raise RuntimeError(
            "polars, which reads and joins tables, cannot work in this forked process, because the parent process had "
            "used it before. Start workers with 'spawn', or use polars and recommend_frame in the workers only."
        )


@cache
def polars_answers(process_id: int) -> bool:
    """Give polars' threads a small task and return whether they finish it."""
    trial = threading.Thread(target=pl.concat, args=([pl.DataFrame({"number": [1]})] * 2,), daemon=True)
    trial.start()
    trial.join(PATIENCE)
    return not trial.is_alive()

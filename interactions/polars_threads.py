"""Find out whether polars works in this process: it waits for ever where its threads were lost in a fork."""

import os
import threading
from functools import cache

import polars as pl

PATIENCE = 10.0  # seconds for what takes a millisecond


def require_polars() -> None:
    """Make sure, once a process, that polars can compute.

    Raises:
        RuntimeError: If this process was forked from one in which polars had computed already.
    """
    if not polars_answers(os.getpid()):
        raise RuntimeError(
            "polars, which reads and joins tables, cannot work in this forked process, because it had worked in the "
            "parent process before. Start workers by 'spawn', or use polars and recommend_frame in workers only."
        )


@cache
def polars_answers(process_id: int) -> bool:
    """Have all of polars' threads do something small, and see whether they do."""
    trial = threading.Thread(target=pl.concat, args=([pl.DataFrame({"number": [1]})] * 2,), daemon=True)
    trial.start()
    trial.join(PATIENCE)
    return not trial.is_alive()

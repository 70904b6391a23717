"""Keep forked workers from hanging: the OpenMP threads of torch and faiss do not survive a fork."""

import os
import sys
from functools import cache

import torch

__all__ = ["use_one_thread_after_forks"]


@cache
def use_one_thread_after_forks() -> None:
    """Limit every process forked from this one to one thread.

    gunicorn with `--preload`, celery and `multiprocessing` with "fork" load a model once and share it with forked
    workers. A worker using more threads would wait forever for the threads of its parent.
    """
    if hasattr(os, "register_at_fork"):  # Windows cannot fork
        os.register_at_fork(after_in_child=use_one_thread)


def use_one_thread() -> None:
    """Compute with one thread in this process."""
    torch.set_num_threads(1)
    if "faiss" in sys.modules:
        sys.modules["faiss"].omp_set_num_threads(1)

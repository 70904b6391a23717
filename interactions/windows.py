"""Windows of sequences that are longer than a model can read. Sequences lie end to end; `lengths` are theirs."""

import numpy as np


def cut_windows(lengths: np.ndarray, max_length: int, *, overlap: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut sequences that lie end to end into windows of up to `max_length` items, and `overlap` that the next repeats.

    The oldest window of a sequence is the one that may be shorter. What is no longer than the overlap is no window.

    Args:
        lengths: Items of each sequence.
        max_length: Items by which a window goes on.
        overlap: Items that follow in a window, and begin the next.

    Returns:
        Where each window starts, and how many items it has, the overlap included.
    """
    num_own = np.maximum(lengths - overlap, 0)
    num_windows = -(-num_own // max_length)
    number = count_within(num_windows)  # 0 is the oldest window
    shortened = np.repeat(num_windows * max_length - num_own, num_windows)  # of the oldest
    starts = np.repeat(lengths.cumsum() - lengths, num_windows) + np.maximum(number * max_length - shortened, 0)
    return starts, np.where(number == 0, max_length - shortened, max_length) + overlap


def count_within(lengths: np.ndarray) -> np.ndarray:
    """Count 0, 1, … within each of several runs that lie end to end."""
    return np.arange(lengths.sum()) - np.repeat(lengths.cumsum() - lengths, lengths)

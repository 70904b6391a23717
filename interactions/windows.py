"""Cut sequences longer than a model can read into windows.

Sequences are concatenated; `lengths` holds the length of each.
"""

import numpy as np

__all__ = ["count_within", "cut_windows"]


def cut_windows(lengths: np.ndarray, max_length: int, *, overlap: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut concatenated sequences into windows of up to `max_length` items plus `overlap` items shared with the next.

    Only the oldest window of a sequence may be shorter. Sequences no longer than the overlap yield no window.

    Args:
        lengths: Number of items of each sequence.
        max_length: Stride between windows.
        overlap: Items shared by consecutive windows.

    Returns:
        The start of each window, and its number of items, including the overlap.
    """
    num_own = np.maximum(lengths - overlap, 0)
    num_windows = -(-num_own // max_length)
    number = count_within(num_windows)  # 0 is the oldest window
    shortened = np.repeat(num_windows * max_length - num_own, num_windows)  # items that the oldest window lacks
    starts = np.repeat(lengths.cumsum() - lengths, num_windows) + np.maximum(number * max_length - shortened, 0)
    return starts, np.where(number == 0, max_length - shortened, max_length) + overlap


def count_within(lengths: np.ndarray) -> np.ndarray:
    """Count 0, 1, … within each of several consecutive runs of the given lengths."""
    return np.arange(lengths.sum()) - np.repeat(lengths.cumsum() - lengths, lengths)

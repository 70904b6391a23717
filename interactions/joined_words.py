"""Lists of words in messages."""

from collections.abc import Sequence

__all__ = ["joined"]


def joined(words: Sequence[str], last: str = "and") -> str:
    """Join words by commas and, before the last one, by another word.

    >>> joined(["a", "b", "c"])
    'a, b and c'
    >>> joined(["a"])
    'a'
    """
    *others, end = words
    return f"{', '.join(others)} {last} {end}" if others else end

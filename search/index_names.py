"""Names of the ways to search the catalogue."""

from typing import Literal

__all__ = ["IndexName"]

IndexName = Literal["exact", "ivf", "hnsw"]

"""All metrics of the quality of lists, for reports.

Shape suffixes: U users, K list length, V vocabulary, D dimensions.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from seqrec.evaluation.list_categories import category_metrics
from seqrec.evaluation.list_quality import intra_list_distance, mean_known, popularity_lift
from seqrec.interactions.catalogue import Catalogue
from seqrec.interactions.category_features import find_separator
from seqrec.interactions.histories import Histories
from seqrec.interactions.item_categories import ItemCategories

__all__ = ["category_columns", "known", "list_quality"]

MOST_CATEGORIES = 1000  # more are tags or names, of which lists cannot hold a share


def list_quality(
    top_UK: np.ndarray,
    rows: Histories,
    item_counts_V: np.ndarray,
    k: int,
    *,
    vectors_VD: np.ndarray | None = None,
    categories: Mapping[str, ItemCategories] | None = None,
) -> dict[str, Any]:
    """Compute the metrics of lists that `list_metrics` does not, as far as vectors and categories are given.

    Args:
        top_UK: Token ids, best first, 0 in empty places.
        rows: The users' histories.
        item_counts_V: Training interactions of each token id.
        k: Length at which lists are cut off.
        vectors_VD: A vector of each token id.
        categories: Categories of the items by column.

    Returns:
        `popularity_lift@k`, `intra_list_distance@k` (by vectors), and `"categories"`, the metrics of
        `category_metrics` by column; None if undefined.

    Raises:
        InputError: If k is less than 1 or more than K, or if lists hold ids that are not items.
    """
    found: dict[str, Any] = {f"popularity_lift@{k}": popularity_lift(top_UK, rows, item_counts_V, k)}
    if vectors_VD is not None:
        found[f"intra_list_distance@{k}"] = mean_known(intra_list_distance(top_UK, vectors_VD, k))
    by_column = {name: known(category_metrics(top_UK, rows, of, k)) for name, of in (categories or {}).items()}
    return {**known(found), **({"categories": by_column} if by_column else {})}


def known(metrics: Mapping[str, float]) -> dict[str, float | None]:
    """Replace values that are not finite by None, as JSON has no NaN."""
    return {name: value if math.isfinite(value) else None for name, value in metrics.items()}


def category_columns(items: Catalogue) -> dict[str, ItemCategories]:
    """Return the categories of the columns in which items have several values, such as genres, by name.

    Columns with one value per item, or more than 1,000 different ones, are left out.
    """
    found = {}
    for name in items.descriptions:
        column = items.frame[name]
        if is_text_or_lists(column) and find_separator(column) is not None and column.null_count() < len(column):
            categories = items.categories(name)
            if len(categories.names) <= MOST_CATEGORIES:
                found[name] = categories
    return found


def is_text_or_lists(column: pl.Series) -> bool:
    """Return whether a column holds text, or lists of text or integers."""
    inner = column.dtype.inner if isinstance(column.dtype, pl.List) else column.dtype
    is_text = isinstance(inner, pl.String | pl.Categorical | pl.Enum)
    return is_text or (inner is not column.dtype and inner.is_integer())

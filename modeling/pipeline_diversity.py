"""Diverse lists of a pipeline, and the columns of items that they need.

Shape suffix: V vocabulary.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from seqrec.errors import InputError
from seqrec.interactions.item_categories import ItemCategories
from seqrec.interactions.item_rows import rows_of
from seqrec.interactions.plain_categories import plain_categories
from seqrec.modeling.pipeline_items import NewItems
from seqrec.modeling.saved_items import ITEMS, find_items
from seqrec.search.diversity import Diversifier, make_diversifier
from seqrec.search.diversity_options import DiversityOptions

__all__ = ["DiverseLists"]

OTHER_COLUMNS = ("item_id", "count", "title", "hidden")


class DiverseLists:
    """Makes what chooses diverse lists; categories of items are read when a request first needs them.

    Args:
        model: The model.
        counts_V: Training interactions of each token id.
        added: Items added to those saved next to the model, in the order of their token ids.
    """

    def __init__(self, model: Any, counts_V: np.ndarray, added: Sequence[NewItems] = ()) -> None:
        self.model, self.counts_V, self.added = model, counts_V, list(added)
        self.known: dict[str, ItemCategories] = {}

    def with_items(self, model: Any, counts_V: np.ndarray, items: NewItems) -> "DiverseLists":
        """Return the same with further items."""
        return DiverseLists(model, counts_V, [*self.added, items])

    def diversifier(self, options: DiversityOptions, *, k: int, rerank_from: int) -> Diversifier:
        """Return what chooses lists of k items from the best `rerank_from`; for errors, see `make_diversifier`."""
        return make_diversifier(
            options,
            k=k,
            rerank_from=rerank_from,
            item_vectors=self.model.item_vectors,
            counts_V=self.counts_V,
            categories=self.categories,
        )

    def categories(self, column: str) -> ItemCategories:
        """Return the categories of a column of `items.parquet` and of added items.

        Raises:
            InputError: If pyarrow is not installed, there is no such file or column, or its values are no categories.
        """
        if column not in self.known:
            num_saved = rows_of(len(self.counts_V)) - sum(len(items.item_ids) for items in self.added)
            values = self.saved_column(column, num_saved)
            for items in self.added:
                values += items.columns.get(column, [None] * len(items.item_ids))
            self.known[column] = plain_categories(column, values)
        return self.known[column]

    def saved_column(self, column: str, num_saved: int) -> list[Any]:
        """Read a column of the items saved next to the model."""
        try:
            import pyarrow as pa
            import pyarrow.parquet as pq
        except ImportError as error:
            raise InputError(
                f"The column {column!r} of the items is in {ITEMS}, which needs pyarrow. Install it, or diversify by "
                "'vectors'."
            ) from error
        path = find_items(self.model, ITEMS)
        if path is None:
            raise InputError(
                f"The column {column!r} was asked for, but there is no {ITEMS} where the model was loaded from. "
                "Diversify by 'vectors'."
            )
        try:
            file = pq.ParquetFile(path)
            names = [name for name in file.schema_arrow.names if name not in OTHER_COLUMNS]
            if column not in names:
                have = ", ".join(names) or "none but ids and titles"
                raise InputError(f"The items have no column {column!r}. They have: {have}.")
            values: list[Any] = file.read(columns=[column], use_threads=False)[column].to_pylist()
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{ITEMS} of the model cannot be read. Load the model from another copy.") from error
        if len(values) != num_saved:
            raise InputError(f"{ITEMS} is of {len(values)} items, but the model of {num_saved}. Take both together.")
        return values

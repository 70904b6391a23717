"""Tables of vectors, for search engines, clustering and other models: the part of `Recommender` for them.

Shape suffixes: R histories, V vocabulary, D size of a vector.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from seqrec.errors import InputError
from seqrec.inference.label_predictor import LabelPredictor
from seqrec.inference.user_tables import read_user_table
from seqrec.interactions.catalogue import Catalogue
from seqrec.interactions.histories import Histories
from seqrec.interactions.item_rows import by_row
from seqrec.interactions.polars_threads import require_polars
from seqrec.interactions.raw_ids import ItemIds, Unknown
from seqrec.interactions.request_reading import read_requests, warn_of_empty
from seqrec.interactions.timed_requests import Unsorted
from seqrec.search.finite import require_finite

__all__ = ["VectorTables"]


class VectorTables(LabelPredictor):
    """Returns the vectors of users and items, whose products are the scores; `Recommender` is one."""

    items: Catalogue

    @torch.no_grad()
    def item_embeddings(self) -> pl.DataFrame:
        """Return the vector of each item, hidden ones included, as a search engine needs them.

        The product of an item's vector and a user's (`user_embeddings`) is the score by which `recommend` ranks. If the
        model reads recent popularity, the vectors hold its latest counts: export them again after `update_popularity`.

        Returns:
            `item_id` (text), `title` if the catalogue has titles, and `vector` (an array of D float32 numbers), in the
            order of the catalogue.

        Raises:
            NonFiniteError: If a vector is infinite or NaN.
            RuntimeError: In a process forked from one that had already used polars.

        Example:
            >>> recommender.item_embeddings().write_parquet("items.parquet")  # doctest: +SKIP
        """
        require_polars()
        vectors_VD = require_finite(self.model.encode_items().float(), what="Item vectors")
        names = self.items.frame.select([name for name in ("item_id", "title") if name in self.items.frame.columns])
        return names.with_columns(vector_column(by_row(vectors_VD)))

    def user_embeddings(
        self,
        source: Any,
        *,
        timestamps: Any = None,
        at: Any = None,
        unsorted: Unsorted = "sort",
        unknown: Unknown = "skip",
        columns: Mapping[str, str] | None = None,
        **event_columns: Any,
    ) -> pl.DataFrame:
        """Return the vectors of users.

        Args:
            source: Histories, as for `recommend`; or a file or frame of interactions, as for `recommend_frame`.
            timestamps: See `recommend`; only with histories.
            at: See `recommend`, or `recommend_frame`.
            unsorted: See `recommend`; only with histories.
            unknown: See `recommend`.
            columns: Other names of the columns of a file or frame, such as `{"user_id": "uid"}`.
            **event_columns: See `recommend`; only with histories.

        Returns:
            `user_id` of a table, or `history` (the index) of several histories, and `vector` (an array of D float32
            numbers), null for users without a known item. The product with an item's vector (`item_embeddings`) is the
            score by which `recommend` ranks.

        Raises:
            InputError: If the histories or the table cannot be read; see `recommend` and `recommend_frame`.
            NonFiniteError: If a vector is infinite or NaN.
            RuntimeError: In a process forked from one that had already used polars.

        Example:
            >>> recommender.user_embeddings("today.csv").write_parquet("users.parquet")  # doctest: +SKIP
            >>> recommender.user_embeddings([["50"], ["1", "2"]])  # doctest: +SKIP
        """
        require_polars()
        if is_table(source):
            if timestamps is not None or event_columns:
                name = "timestamps" if timestamps is not None else next(iter(event_columns))
                raise InputError(f"{name} goes with histories, but a table was given. Add a column to it instead.")
            return self.embed_table(source, at=at, unknown=unknown, columns=columns)
        if columns is not None:
            raise InputError("`columns` names the columns of a table, but histories were given. Leave it out.")
        return self.embed_histories(
            source, timestamps=timestamps, at=at, unsorted=unsorted, unknown=unknown, columns=event_columns
        )

    def embed_table(self, frame: Any, **options: Any) -> pl.DataFrame:
        """Return the vectors of a table's users."""
        table = read_user_table(
            frame,
            self.tokenizer,
            event_columns=self.retriever.columns,
            label_tasks=self.model.config.label_tasks,
            remembered=self.columns,
            protocol=self.protocol,
            **options,
        )
        return pl.DataFrame([table.user_ids.alias("user_id"), self.embed(table.histories)])

    def embed_histories(self, histories: ItemIds | Iterable[ItemIds], **options: Any) -> pl.DataFrame:
        """Return the vectors of one history or several."""
        requests = read_requests(histories, self.tokenizer.look_up, wanted_columns=self.retriever.columns, **options)
        index = [] if requests.is_single else [pl.Series("history", np.arange(len(requests.histories)))]
        return pl.DataFrame([*index, self.embed(requests.histories)])

    def embed(self, histories: Histories) -> pl.Series:
        """Return a column of vectors, null for empty histories."""
        warn_of_empty(histories, "their vectors are null")
        self.warn_of_old_counts(histories)
        users_RD = require_finite(self.retriever.encode(histories).float(), what="User vectors")
        return vector_column(users_RD, histories.lengths_R > 0)


def is_table(source: Any) -> bool:
    """Return whether this is a path or a frame, rather than histories."""
    return isinstance(source, str | Path) or any(hasattr(type(source), name) for name in ("columns", "column_names"))


def vector_column(vectors_RD: Tensor, is_known_R: np.ndarray | None = None) -> pl.Series:
    """Return vectors as a column `vector`, null where nothing is known."""
    vectors = vectors_RD.numpy(force=True)
    column = pl.Series("vector", vectors, dtype=pl.Array(pl.Float32, vectors.shape[1]))
    if is_known_R is None or is_known_R.all():
        return column
    return pl.select(pl.when(pl.Series(is_known_R)).then(column).alias("vector")).to_series()

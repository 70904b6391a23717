"""Bring a table of items into the form that item features are read from.

Shape suffix: I items of a catalogue.
"""

import logging
from collections.abc import Sequence

import numpy as np
import polars as pl

from seqrec.interactions.item_feature_requests import read_requests, require_columns
from seqrec.interactions.item_features import ItemFeatures
from seqrec.interactions.item_matrices import add_matrix

__all__ = ["fit_features", "rows_of_items", "with_matrices"]

logger = logging.getLogger(__name__)


def with_matrices(table: pl.DataFrame, wanted: str | Sequence[str]) -> pl.DataFrame:
    """Add the matrices among the wanted features (`name=FILE`) to a table of items, as columns of vectors.

    Args:
        table: The items, in the order of the matrices' rows.
        wanted: See `ItemFeatures.fit`.

    Raises:
        InputError: If a matrix cannot be read or does not fit the table, or a feature is no column.
    """
    requests = read_requests(wanted, table.columns)
    for request in requests:
        if request.file is not None:
            table = add_matrix(table, request.name, request.file)
    require_columns(requests, table)
    return table


def rows_of_items(table: pl.DataFrame, item_ids: pl.Series, columns: Sequence[str]) -> pl.DataFrame:
    """Return the rows of items in their order, with missing values for items that the table lacks.

    Args:
        table: A table of items with one row per `item_id`, from `read_items`.
        item_ids: The ids of I items, in the order wanted.
        columns: The columns to keep in addition to `item_id`.
    """
    missing = item_ids.filter(~item_ids.is_in(table["item_id"].implode()))
    if len(missing):
        logger.warning(  # as a warning, so that it is always shown
            "%s of %s items have no row in the table of items (first: '%s'). Their features are missing.",
            f"{len(missing):,}",
            f"{len(item_ids):,}",
            missing[0],
        )
    wanted = item_ids.rename("item_id").to_frame()
    return wanted.join(table.select("item_id", *columns), on="item_id", how="left", maintain_order="left")


def fit_features(
    table: pl.DataFrame,
    wanted: str | Sequence[str],
    item_ids: pl.Series,
    *,
    is_trained: np.ndarray,
    text_model: str | None = None,
    earlier: ItemFeatures | None = None,
) -> tuple[ItemFeatures, dict[str, np.ndarray]]:
    """Fit the features of a catalogue, log a line on each, and return them with their values.

    Args:
        table: The table of items, from `read_items`.
        wanted: See `ItemFeatures.fit`.
        item_ids: The ids of the catalogue's I items, in the order of their token ids.
        is_trained: Which of them have training interactions, bool (I,).
        text_model: See `ItemFeatures.fit`.
        earlier: See `ItemFeatures.fit`.

    Raises:
        InputError: See `with_matrices` and `ItemFeatures.fit`.
    """
    names = [request.name for request in read_requests(wanted, table.columns)]
    rows = rows_of_items(with_matrices(table, wanted), item_ids, names)
    features = ItemFeatures.fit(rows, wanted, is_trained=is_trained, text_model=text_model, earlier=earlier)
    values = features.values(rows)
    for line in features.report(values):
        logger.warning("%s", line)  # as a warning, so that it is always shown
    return features, values

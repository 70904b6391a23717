"""The ranks of all evaluated rows as a table, for metrics of one's own."""

import numpy as np
import polars as pl

from seqrec.errors import InputError
from seqrec.evaluation.evaluator import Ranking
from seqrec.interactions.catalogue import Catalogue
from seqrec.interactions.histories import Histories
from seqrec.interactions.item_rows import rows_of
from seqrec.interactions.special_tokens import NUM_SPECIAL_TOKENS

__all__ = ["ranks_table"]


def ranks_table(ranking: Ranking, rows: Histories, items: Catalogue) -> pl.DataFrame:
    """List the rank of each row's target.

    Args:
        ranking: The ranking of `rows`.
        rows: The ranked rows, with `target` and, if known, `user_id`.
        items: The catalogue of their token ids.

    Returns:
        One row per evaluated row, in their order: `user_id` (if known); `item_id`, the raw id of the target (text, null
        if the catalogue does not contain it); and `rank` (int64), 1 for the best, and 2147483647 (`NOT_RANKED`) for a
        target that cannot be recommended. The hit rate at 10, for example, is the mean of `rank <= 10`.

    Raises:
        InputError: If ranking and rows differ in number.
    """
    if len(ranking.ranks_U) != len(rows):
        raise InputError(
            f"There are {len(ranking.ranks_U)} ranks for {len(rows)} rows. Pass the rows that were ranked."
        )
    targets_U = rows.rows["target"].astype(np.int64)
    is_known_U = pl.Series(targets_U >= NUM_SPECIAL_TOKENS)
    places_U = rows_of(np.maximum(targets_U, NUM_SPECIAL_TOKENS))
    target_ids = items.frame["item_id"].gather(places_U)
    users = {"user_id": rows.rows["user_id"].tolist()} if "user_id" in rows.rows else {}
    return pl.DataFrame(
        {
            **users,
            "item_id": target_ids.set(~is_known_U, None),
            "rank": pl.Series(ranking.ranks_U, dtype=pl.Int64),
        }
    )

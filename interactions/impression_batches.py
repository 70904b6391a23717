"""Impressions in training batches: items that were shown and not chosen, with the position of the state before them.

Shape suffixes: B sequences, R rows of a batch, N events read, E events of the histories, M impressions, C impressions
of a row.
"""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from seqrec.interactions.batch_layout import BatchLayout
from seqrec.interactions.histories import IMPRESSION_IDS, IMPRESSION_PLACES, Histories
from seqrec.interactions.windows import count_within

__all__ = ["ShownItems", "shown_items"]


@dataclass(frozen=True)
class ShownItems:
    """The impressions of a batch.

    Attributes:
        ids_M: Token ids of the items.
        index_M: Index, among the events read, of the position whose state predicts their clicks.
    """

    ids_M: np.ndarray
    index_M: np.ndarray

    def lay_out(self, layout: BatchLayout) -> dict[str, Tensor]:
        """Return `impression_ids` (R, C), padded with 0, and `impression_positions` (R, C), the places in the rows."""
        num_rows, width = layout.shape
        rows_M, places_M = np.divmod(layout.places_N[self.index_M], width)
        order = np.argsort(rows_M, kind="stable")
        counts_R = np.bincount(rows_M, minlength=num_rows)
        num_columns = max(1, int(counts_R.max(initial=0)))
        own = BatchLayout(rows_M[order] * num_columns + count_within(counts_R), (num_rows, num_columns))
        return {
            "impression_ids": own.lay_out(self.ids_M[order]),
            "impression_positions": own.lay_out(places_M[order]),
        }


def shown_items(histories: Histories, predicted_N: np.ndarray, is_predicted_N: np.ndarray | None = None) -> ShownItems:
    """Find the positions that predict the clicks of impressions.

    Args:
        histories: The histories of a batch, with `impressions`.
        predicted_N: For each event read, the event of the concatenated histories (E,) that it predicts.
        is_predicted_N: Which of these are predicted; all if None.

    Returns:
        The impressions before the events that are predicted. Those before other events are left out.
    """
    assert histories.impressions is not None
    shown, counts_B = histories.impressions.compact()
    starts_B = histories.lengths_R.cumsum() - histories.lengths_R
    following_M = shown[IMPRESSION_PLACES] + starts_B.repeat(counts_B)
    index_N = np.arange(len(predicted_N))
    index_E = np.full(int(histories.lengths_R.sum()) + 1, -1)  # one more: after the last event of all
    index_E[predicted_N] = index_N if is_predicted_N is None else np.where(is_predicted_N, index_N, -1)
    index_M = np.where(shown[IMPRESSION_PLACES] < histories.lengths_R.repeat(counts_B), index_E[following_M], -1)
    is_kept_M = index_M >= 0
    return ShownItems(shown[IMPRESSION_IDS][is_kept_M], index_M[is_kept_M])

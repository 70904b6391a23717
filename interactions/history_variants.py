"""Copies of a history from which some events are left out.

Shape suffixes: R copies, L events of the history.
"""

import numpy as np

from seqrec.interactions.histories import Histories

__all__ = ["variants_of"]


def variants_of(history: Histories, kept_RL: np.ndarray) -> Histories:
    """Return one copy of a history for each row of `kept_RL`, with the events for which it is True, in their order.

    Args:
        history: One row.
        kept_RL: Which events each copy keeps (bool).
    """
    start, length = int(history.starts_R[0]), int(history.lengths_R[0])
    assert kept_RL.shape[1] == length
    columns = {
        name: np.broadcast_to(values[start : start + length], kept_RL.shape)[kept_RL]
        for name, values in history.columns.items()
    }
    lengths_R = kept_RL.sum(axis=1)
    rows = {name: values.repeat(len(kept_RL)) for name, values in history.rows.items()}
    return Histories(columns, lengths_R.cumsum() - lengths_R, lengths_R, rows)

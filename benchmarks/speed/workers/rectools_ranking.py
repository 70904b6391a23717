"""Ranks held-out items with a model of RecTools, by seqrec's protocol.

The target of each row is ranked among all items that the model knows, without those of the row's full history; ties
count against it. A target that the model does not know, or that is in the history, is a miss. The model is told the
time of the request, which is the target's. As in RecTools' own `recommend`, unknown items of a history are left out.

Shape suffixes: N events, R rows, B rows of a batch, L length, V items including padding, D hidden size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

RANKED_AT_ONCE = 256


@dataclass(frozen=True)
class HeldOut:
    """Held-out events that follow others of their user.

    Attributes:
        items_N: The model's number of the item of each event, sorted by user and time; 0 if it does not know the item.
        times_N: Time of each event, in seconds.
        targets_R: Place of each row's target among the events.
        starts_R: Place of the first event of the target's user, where its history begins.
    """

    items_N: np.ndarray
    times_N: np.ndarray
    targets_R: np.ndarray
    starts_R: np.ndarray

    @classmethod
    def from_table(cls, table: pd.DataFrame, part: int, item_ids: Sequence) -> "HeldOut":
        """Collect the rows of one part from all events.

        Args:
            table: All events, sorted by user and time.
            part: The part, as in the column `part`.
            item_ids: The model's items, in the order of their numbers; the first is padding.
        """
        numbers = pd.Series(np.arange(len(item_ids)), index=item_ids)
        items_N = numbers.reindex(table["item_id"], fill_value=0).to_numpy()
        steps_N = table.groupby("user_id").cumcount().to_numpy()
        targets_R = np.flatnonzero((table["part"].to_numpy() == part) & (steps_N > 0))
        return cls(items_N, table["timestamp"].to_numpy(), targets_R, targets_R - steps_N[targets_R])

    def history(self, row: int, length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return a row as the model reads it.

        Returns:
            The newest `length` known items, padded with 0 on the left (L,); their times and the target's, with the
            earliest one as padding (L + 1,); and all items of the history, which are not to be recommended.
        """
        end = self.targets_R[row]
        events = np.arange(self.starts_R[row], end)
        seen = self.items_N[events]
        newest = events[seen > 0][-length:]
        times = self.times_N[[*newest, end]]
        missing = length - len(newest)
        return np.pad(self.items_N[newest], (missing, 0)), np.pad(times, (missing, 0), mode="edge"), seen

    @torch.no_grad()
    def ndcg(self, model: Any, length: int) -> float:
        """Rank all targets, and return NDCG@10.

        Args:
            model: RecTools' `TransformerTorchBackbone`.
            length: Its `session_max_len`, L.
        """
        model.eval()
        items_VD = model.item_model.get_all_embeddings()
        gains = []
        for start in range(0, len(self.targets_R), RANKED_AT_ONCE):
            rows = range(start, min(start + RANKED_AT_ONCE, len(self.targets_R)))
            newest_BL, times_BL, seen = zip(*(self.history(row, length) for row in rows), strict=True)
            batch = {"x": torch.as_tensor(np.stack(newest_BL)), "unix_ts": torch.as_tensor(np.stack(times_BL))}
            users_BD = model.encode_sessions(batch, items_VD)[:, -1]
            scores_BV = model.similarity_module(users_BD, items_VD)
            scores_BV[:, 0] = -torch.inf
            for row, items in enumerate(seen):
                scores_BV[row, items] = -torch.inf
            targets_B1 = torch.as_tensor(self.items_N[self.targets_R[rows]])[:, None]
            gains.append(gains_at_10(scores_BV, targets_B1))
        model.train()
        return float(torch.cat(gains).mean())


def gains_at_10(scores_BV: torch.Tensor, targets_B1: torch.Tensor) -> torch.Tensor:
    """Return each target's gain in NDCG@10 (B,); a score of −inf is a miss."""
    target_scores_B1 = scores_BV.gather(1, targets_B1)
    ranks_B = (scores_BV >= target_scores_B1).sum(dim=1)
    is_hit_B = (ranks_B <= 10) & target_scores_B1.isfinite().squeeze(1)
    return torch.where(is_hit_B, 1 / torch.log2(ranks_B + 1.0), 0.0)

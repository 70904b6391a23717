"""A baseline that knows the time: what was most popular in the days before each request.

Shape suffixes: N events of all users, B requests of a batch in the order of time, V vocabulary, C items of one
stretch. Items are represented by their token ids.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from seqrec.errors import InputError
from seqrec.interactions.histories import as_histories
from seqrec.interactions.prepared_sets import PreparedData
from seqrec.interactions.seconds import SECONDS_PER_DAY, are_seconds
from seqrec.search.scoring import Scores

__all__ = ["RecentPopularityBaseline"]

NUM_DAYS = 7


class RecentPopularityBaseline:
    """Recommend the items with the most interactions in the days before the request.

    The interactions of all users in [t − window, t) count, where t is the time of the request: those for training and
    those held out. Interactions at t, such as the target, and later ones do not.

    The integer part of a score is the item's number of interactions in the window. Its fraction orders items with equal
    numbers, such as those with none, by their interactions at all times before t. (In float32, some such ties remain
    where the product of the largest two numbers exceeds 2^23.) Items that are equal in both score the same.

    Ji et al. 2020, "A Re-visit of the Popularity Baseline in Recommender Systems" ("RecentPop").

    Args:
        items_N: Token id of each event of the data set, in any order.
        times_N: Time of each event.
        vocab_size: V.
        window: Length of the window before a request, in the unit of `times_N`.

    Raises:
        InputError: If items and times differ in number, or the window is not longer than 0.
    """

    device = torch.device("cpu")
    row_columns = ("target_timestamp",)

    def __init__(self, items_N: np.ndarray, times_N: np.ndarray, vocab_size: int, *, window: int) -> None:
        if len(items_N) != len(times_N):
            raise InputError(f"There are {len(items_N)} items, but {len(times_N)} times. Give each event one of each.")
        if window <= 0:
            raise InputError(f"window must be longer than 0, got {window}.")
        by_time_N = np.argsort(times_N, kind="stable")
        self.items_N, self.times_N = items_N[by_time_N].astype(np.int64), times_N[by_time_N]
        self.vocab_size, self.window = vocab_size, window
        self.unit = 1 + int(np.bincount(self.items_N, minlength=1).max())

    @classmethod
    def of_data(cls, data: PreparedData, *, num_days: int = NUM_DAYS) -> "RecentPopularityBaseline | None":
        """Count the events of prepared data, in windows of some days; None if their timestamps are not real times."""
        log = as_histories(data.sequences["train"]).columns  # the events of all parts
        times_N = log.get("timestamps")
        if times_N is None or not are_seconds(times_N):
            return None
        return cls(log["input_ids"], times_N, len(data.tokenizer), window=num_days * SECONDS_PER_DAY)

    def score_users(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, *, target_timestamp: Tensor, **columns: Tensor
    ) -> Scores:
        """Score the catalogue for requests at given times.

        Args:
            input_ids: Histories (B, L); only their number matters.
            attention_mask: Ignored.
            target_timestamp: Time of each request (B,), in the unit of the events' times.
            **columns: Ignored.
        """
        times, order_B = target_timestamp.sort()
        starts_B = np.searchsorted(self.times_N, times.numpy() - self.window)
        stops_B = np.searchsorted(self.times_N, times.numpy())
        windows = Windows(self.items_N, starts_B, stops_B, order_B.numpy(), self.unit)
        return Scores(windows.stretch, (len(input_ids), self.vocab_size), self.device)


@dataclass(frozen=True)
class Windows:
    """The windows of a batch of requests, and the scores in them.

    Attributes:
        items_N: Token ids of all events, in the order of time.
        starts_B: Index of the first event in each request's window.
        stops_B: Index of the first event after it.
        places_B: Row of each request in the scores.
        unit: More than the number of events of any item.
    """

    items_N: np.ndarray
    starts_B: np.ndarray
    stops_B: np.ndarray
    places_B: np.ndarray
    unit: int

    def stretch(self, start: int, stop: int) -> Tensor:
        """See `Scores.stretch`.

        From one request to the next, only the scores of items that enter or leave the window change.
        """
        first = int(self.starts_B[0])
        columns = self.columns(self.items_N[first : self.stops_B[-1]], start, stop)
        entering, leaving = np.split(columns, self.stops_B - first), np.split(columns, self.starts_B - first)
        before_C = np.bincount(self.columns(self.items_N[:first], start, stop), minlength=stop - start + 1)
        recent_C = np.zeros_like(before_C)
        current_C = before_C / self.unit
        scores_BC = np.empty((len(self.places_B), stop - start), dtype=np.float32)
        for place, come, gone in zip(self.places_B, entering, leaving, strict=False):
            np.add.at(before_C, come, 1)
            np.add.at(recent_C, come, 1)
            np.subtract.at(recent_C, gone, 1)
            for changed in (come, gone):
                current_C[changed] = recent_C[changed] + before_C[changed] / self.unit
            scores_BC[place] = current_C[:-1]
        return torch.from_numpy(scores_BC)

    @staticmethod
    def columns(items: np.ndarray, start: int, stop: int) -> np.ndarray:
        """Return the columns of items in a stretch; all other items have the one after the last."""
        return np.where((items >= start) & (items < stop), items - start, stop - start)

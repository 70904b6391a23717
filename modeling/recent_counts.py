"""Recent popularity as a part of the score: how often each item was chosen in the days before a request.

Shape suffixes: N events, V vocabulary, W windows, C requests, T different days, E counted events; … any shape of token
ids or days.
"""

import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import initialization

from seqrec.errors import InputError
from seqrec.interactions.seconds import SECONDS_PER_DAY

__all__ = ["PopularityWeights", "RecentCounts", "days_of", "warn_of_old_counts"]

LARGEST_TABLE = 2**27  # numbers: 512 MiB in float32
DAYS_AT_ONCE = 64


def days_of(seconds: Tensor) -> Tensor:
    """Return the days (UTC, counted from 1970) of times in seconds."""
    return seconds.div(SECONDS_PER_DAY, rounding_mode="floor").long()


def warn_of_old_counts(counts: "RecentCounts | None", times_R: np.ndarray | None) -> None:
    """Warn if a model's latest counts end long before the requests.

    Args:
        counts: The model's counts, if it reads recent popularity.
        times_R: When recommendations are asked for, in seconds since 1970, if that is known; -inf for empty histories
            without a time.
    """
    if counts is None or times_R is None or not np.isfinite(times_R).any():
        return
    latest = int(counts.latest_day)
    age = int(times_R.max() // SECONDS_PER_DAY) - latest
    if latest and age > max(counts.windows):
        last = np.datetime64(latest - 1, "D")
        warnings.warn(
            f"The interactions that the model counts end on {last}, {age} days before the request. Call "
            "update_popularity with newer ones.",
            stacklevel=3,
        )


class PopularityWeights(nn.Linear):
    """The weights (…, W) that a user's hidden state (…, D) gives to the windows of `RecentCounts`.

    At first, all users have the same weights, which sum to 1: items are then chosen in proportion to one plus their
    count, which is a good model of a request about whose user nothing is known.
    """

    def __init__(self, config: Any) -> None:
        super().__init__(config.hidden_size, len(config.popularity_windows))

    def reset_parameters(self) -> None:
        """Set the initial weights."""
        initialization.zeros_(self.weight)
        initialization.constant_(self.bias, 1 / self.out_features)


class RecentCounts(nn.Module):
    """Counts of each item's interactions in windows of days, as ln(1 + count).

    For a request on day d, a window of n days consists of days d − n to d − 1, so that nothing that happened on the day
    of the request is told. Days begin at midnight, UTC.

    The counts after the last known event are saved with the model, for requests from then on. The events themselves,
    from which the counts of any day are computed, are not saved; training and evaluation set them (`set_events`).

    Attributes:
        latest_VW: Counts in the windows that end with the last known day.
        latest_day: The day after it.
    """

    latest_VW: Tensor
    latest_day: Tensor
    items_N: Tensor | None
    days_N: Tensor | None
    keys_N: Tensor | None
    logs_TWV: Tensor | None

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.windows = tuple(config.popularity_windows)
        self.register_buffer("latest_VW", torch.zeros(config.vocab_size, len(self.windows), dtype=torch.int32))
        self.register_buffer("latest_day", torch.zeros((), dtype=torch.int64))
        self.first_day = 0
        for name in ("items_N", "days_N", "keys_N", "logs_TWV"):
            self.register_buffer(name, None, persistent=False)

    @property
    def has_events(self) -> bool:
        """Whether the events are known, so that the counts of any day can be computed."""
        return self.items_N is not None

    def set_events(self, items_N: np.ndarray, times_N: np.ndarray) -> None:
        """Set the events to count, and with them the latest counts.

        Args:
            items_N: Token id of each event, in any order.
            times_N: Time of each event, in seconds since 1970.

        Raises:
            InputError: If items and times differ in number, or there are none.
        """
        if len(items_N) != len(times_N) or not len(items_N):
            raise InputError(
                f"{len(items_N)} items and {len(times_N)} times were given as events. Give one time for each item, and "
                "at least one of both."
            )
        days_N = np.floor_divide(times_N, SECONDS_PER_DAY).astype(np.int64)
        order_N = np.argsort(days_N, kind="stable")
        device = self.latest_VW.device
        self.items_N = torch.from_numpy(items_N[order_N].astype(np.int64)).to(device)
        self.days_N = torch.from_numpy(days_N[order_N]).to(device)
        self.keys_N = self.key_of(self.items_N, self.days_N).sort().values
        self.latest_day = self.days_N[-1] + 1
        latest = [self.count(self.latest_day[None], window)[0] for window in self.windows]
        self.latest_VW = torch.stack(latest, dim=1).to(torch.int32)
        self.tabulate()

    def tabulate(self) -> None:
        """Compute the counts before each day on which any can differ, unless they would take too much memory."""
        assert self.days_N is not None
        first, last = int(self.days_N[0]), int(self.days_N[-1])
        days_T = torch.arange(first, last + max(self.windows) + 2, device=self.days_N.device)
        self.first_day, self.logs_TWV = first, None
        if len(days_T) * self.latest_VW.numel() <= LARGEST_TABLE:
            self.logs_TWV = torch.cat([self.logs(some) for some in days_T.split(DAYS_AT_ONCE)])

    def latest_counts(self) -> np.ndarray:
        """Return the latest counts of all token ids, the longest window first: (V, W)."""
        longest_first = sorted(range(len(self.windows)), key=lambda index: -self.windows[index])
        return self.latest_VW.numpy(force=True)[:, longest_first]

    def latest(self, ids: Tensor | None = None) -> Tensor:
        """Return the latest ln(1 + count) of token ids (…), or of all: (…, W) or (V, W)."""
        counts = self.latest_VW if ids is None else self.latest_VW[ids]
        return counts.float().log1p()

    def of_catalogue(self, days: Tensor) -> Tensor:
        """Return ln(1 + count) of all token ids before each of the days (…): (…, W, V)."""
        if self.logs_TWV is not None:
            return self.logs_TWV[(days - self.first_day).clamp(0, len(self.logs_TWV) - 1)]
        days_T, place = days.unique(return_inverse=True)
        return self.logs(days_T)[place]

    def of_items(self, days: Tensor, ids: Tensor) -> Tensor:
        """Return ln(1 + count) of token ids before days, which are broadcast to one shape (…): (…, W)."""
        assert self.keys_N is not None
        days, ids = torch.broadcast_tensors(days, ids)
        stops = torch.searchsorted(self.keys_N, self.key_of(ids, days))
        starts = [torch.searchsorted(self.keys_N, self.key_of(ids, days - window)) for window in self.windows]
        return torch.stack([stops - start for start in starts], dim=-1).float().log1p()

    def logs(self, days_T: Tensor) -> Tensor:
        """Compute ln(1 + count) of all token ids before each day: (T, W, V)."""
        counts = [self.count(days_T, window) for window in self.windows]
        return torch.stack(counts, dim=1).float().log1p_()

    def count(self, days_T: Tensor, window: int) -> Tensor:
        """Count the interactions of all token ids in the window before each day: (T, V) integers."""
        assert self.items_N is not None
        assert self.days_N is not None
        starts_T, stops_T = torch.searchsorted(self.days_N, torch.stack([days_T - window, days_T]))
        lengths_T = stops_T - starts_T
        first_T = lengths_T.cumsum(0) - lengths_T
        row_E = torch.arange(len(days_T), device=days_T.device).repeat_interleave(lengths_T)
        place_E = torch.arange(len(row_E), device=days_T.device) - (first_T - starts_T)[row_E]
        vocab_size = len(self.latest_VW)
        cells_E = row_E * vocab_size + self.items_N[place_E]
        return torch.bincount(cells_E, minlength=len(days_T) * vocab_size).view(len(days_T), vocab_size)

    @staticmethod
    def key_of(ids: Tensor, days: Tensor) -> Tensor:
        """Combine token ids and days into numbers that are ordered by both."""
        return ids * 2**32 + (days + 2**31).clamp(0, 2**32 - 1)

    def resize(self, vocab_size: int) -> None:
        """Change the number of token ids; new ones come last, without interactions. Forgets the events."""
        self.items_N = self.days_N = self.keys_N = self.logs_TWV = None
        kept_VW = self.latest_VW[:vocab_size]
        self.latest_VW = nn.functional.pad(kept_VW, (0, 0, 0, vocab_size - len(kept_VW)))

"""The time and the trials that a search may take."""

import time
from dataclasses import dataclass, field
from typing import Any

from seqrec.errors import InputError

__all__ = ["Budget", "Clock", "require_budget"]

SHARE_AT_END = 0.05  # of the time, kept for evaluating and saving the model, until a validation was timed
LARGEST_SHARE_AT_END = 0.3
EVALUATIONS_AT_END = 5  # of the model and the baselines, in the time of one of the model
SECONDS_TO_SAVE = 2.0


@dataclass(frozen=True)
class Budget:
    """What a search may take: minutes, or trials."""

    minutes: float | None = None
    trials: int | None = None


def require_budget(minutes: Any, trials: Any, processes: Any) -> Budget:
    """Return the budget, and refuse one that leaves nothing to search in.

    Raises:
        InputError: If both or none of them are given, one is not above 0, or there is no process.
    """
    if (minutes is None) == (trials is None):
        raise InputError(
            f"`minutes` and `trials` are {'both' if minutes is not None else 'not'} given. Say by one of them how long "
            "to search."
        )
    if minutes is not None and not (is_number(minutes) and 0 < minutes < float("inf")):
        raise InputError(f"minutes={minutes!r} leaves no time to search. Give a number above 0, or train without tune.")
    if trials is not None and not (is_number(trials) and trials == int(trials) and trials > 0):
        raise InputError(f"trials={trials!r} must be a whole number of at least 1; the first one tries the defaults.")
    if not (is_number(processes) and processes == int(processes) and processes > 0):
        raise InputError(f"processes={processes!r} must be a whole number of at least 1.")
    return Budget(minutes, trials)


def is_number(value: Any) -> bool:
    """Return whether a value is an integer or a float; NaN and infinity fail the comparisons that follow."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")


@dataclass
class Clock:
    """When trials must end, so that the whole search ends in time.

    Attributes:
        began: When this command began, in seconds since 1970.
        used: Seconds that earlier commands of the same search took.
        seconds: Seconds for the whole search; None for no limit.
        relative_size: Held-out rows of validation and test, divided by those of validation.
    """

    began: float
    used: float = 0.0
    seconds: float | None = None
    relative_size: float = 2.0
    evaluation: float | None = field(default=None, init=False)  # seconds of a validation

    @property
    def elapsed(self) -> float:
        """Seconds that the search has taken until now, in all commands."""
        return self.used + time.time() - self.began

    @property
    def end(self) -> float | None:
        """When the command is to end; None for no limit."""
        return None if self.seconds is None else self.began + self.seconds - self.used

    @property
    def deadline(self) -> float | None:
        """When the last trial must have ended; None for no limit."""
        if self.seconds is None or self.end is None:
            return None
        kept = SHARE_AT_END * self.seconds
        if self.evaluation is not None:
            kept = SECONDS_TO_SAVE + self.evaluation * (1 + EVALUATIONS_AT_END * self.relative_size)
        return self.end - min(kept, LARGEST_SHARE_AT_END * self.seconds)

    @property
    def left(self) -> float | None:
        """Seconds until the deadline, at least 0; None for no limit."""
        return None if self.deadline is None else max(0.0, self.deadline - time.time())

    @property
    def is_over(self) -> bool:
        """Whether the deadline has passed."""
        return self.left == 0

"""Options that make a list more diverse, shared by everything that recommends."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from seqrec.errors import InputError
from seqrec.interactions.number_checks import is_finite_number, is_integer

__all__ = ["CALIBRATED", "VECTORS", "DiversityMethod", "DiversityOptions"]

DiversityMethod = Literal["mmr", "dpp", "calibrated"]
METHODS = get_args(DiversityMethod)
CALIBRATED = "calibrated"
VECTORS = "vectors"


@dataclass(frozen=True)
class DiversityOptions:
    """How a list is chosen from the best items, instead of by their scores alone.

    With the defaults, lists stay as they are.

    Attributes:
        diversity: From 0 (only scores matter) to 1 (only the method's aim matters, and scores where that is equal).
        method: The aim: `"mmr"` keeps each item unlike the most similar one before it, `"dpp"` makes the list varied as
            a whole, `"calibrated"` makes its mix of categories that of the history. See `diversity_methods`.
        diversify_by: By what items are similar: `"vectors"` for the cosine similarity of the model's item vectors, or
            the name of a column of categories for the Jaccard similarity: shared categories by all categories of both.
            `"calibrated"` needs a column.
        max_per: Most items of one category in a list, by column, such as `{"genres": 3}`. An item counts for each of
            its categories; items without one are not limited.
        popularity_penalty: Strength, at least 0, of removing popularity: the z-score of the logarithm of 1 + training
            interactions, times this, is subtracted from the z-score of an item's score.
        exploration: Temperature, at least 0, of drawing items at random instead of taking the best: an item is next
            with a probability proportional to exp(score / exploration).
        seed: Makes the draws of a history the same at each request; None for other ones each time.

    Raises:
        InputError: If an option has another form, is out of range, or has no effect.
    """

    diversity: float = 0.0
    method: DiversityMethod = "mmr"
    diversify_by: str = VECTORS
    max_per: Mapping[str, int] | None = None
    popularity_penalty: float = 0.0
    exploration: float = 0.0
    seed: int | None = None

    def __post_init__(self) -> None:
        if not is_finite_number(self.diversity) or not 0 <= self.diversity <= 1:
            raise InputError(f"diversity={self.diversity!r:.60} is not a number from 0 to 1.")
        if self.method not in METHODS:
            raise InputError(f"method={self.method!r:.60} does not exist. Choose from: {', '.join(METHODS)}.")
        if not isinstance(self.diversify_by, str) or not self.diversify_by:
            raise InputError(
                f"diversify_by={self.diversify_by!r:.60} is neither 'vectors' nor the name of a column of the items."
            )
        for name in ("popularity_penalty", "exploration"):
            value = getattr(self, name)
            if not is_finite_number(value) or value < 0:
                raise InputError(f"{name}={value!r:.60} is not a finite number of at least 0.")
        if self.seed is not None and not is_integer(self.seed):
            raise InputError(f"seed={self.seed!r:.60} is not an integer.")
        require_caps(self.max_per)
        self.require_effects()

    def require_effects(self) -> None:
        """Raise an `InputError` for an option that has no effect, or lacks another one."""
        for name in ("method", "diversify_by"):
            if not self.diversity and getattr(self, name) != getattr(DiversityOptions, name):
                raise InputError(
                    f"{name}={getattr(self, name)!r} has no effect without `diversity`. Give it a number from 0 to 1, "
                    f"or leave `{name}` out."
                )
        if self.seed is not None and not self.exploration:
            raise InputError(f"seed={self.seed!r} has no effect without `exploration`. Leave it out.")
        if self.diversity and self.method == CALIBRATED and self.diversify_by == VECTORS:
            raise InputError(
                "method='calibrated' needs a column of categories. Name one in `diversify_by`, such as 'genres'."
            )

    def __bool__(self) -> bool:
        return bool(self.diversity or self.max_per or self.popularity_penalty or self.exploration)


def require_caps(max_per: Any) -> None:
    """Raise an `InputError` unless these are integers of at least 1 by column, or None."""
    if max_per is None:
        return
    if not isinstance(max_per, Mapping) or not max_per:
        raise InputError(f"max_per must be a dictionary of numbers, such as {{'genres': 3}}, got {max_per!r:.60}.")
    for column, most in max_per.items():
        if not isinstance(column, str):
            raise InputError(f"max_per must name columns of the items, got {column!r:.60}.")
        if not is_integer(most) or most < 1:
            raise InputError(f"max_per of {column!r} must be an integer of at least 1, got {most!r:.60}.")

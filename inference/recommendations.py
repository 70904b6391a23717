"""What recommending returns."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Recommendation:
    """One recommended item. The score is the model's logit: only its order within one list has a meaning."""

    item_id: str
    score: float
    title: str | None = None


class Recommendations(list[Recommendation]):
    """A user's recommendations, best first, and what was particular about them.

    `unknown_items` are those of the history that the model does not know and that were left out;
    `is_popularity` says that no known item was left, so that these are the catalogue's most popular items,
    whose scores only tell their order.
    """

    def __init__(
        self,
        items: Sequence[Recommendation] = (),
        *,
        unknown_items: Sequence[str] = (),
        is_popularity: bool = False,
    ) -> None:
        super().__init__(items)
        self.unknown_items = tuple(unknown_items)
        self.is_popularity = is_popularity

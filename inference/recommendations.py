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


def describe(
    scores_K: Sequence[float], token_ids_K: Sequence[int], names_V: Sequence[tuple[str, str | None]]
) -> list[Recommendation]:
    """Turn one list of scores and token ids into recommendations, without its empty places.

    Args:
        scores_K: Scores.
        token_ids_K: Token ids, 0 in empty places.
        names_V: Each token id's raw id and title.
    """
    found = []
    for score, token_id in zip(scores_K, token_ids_K, strict=True):
        if token_id:
            item_id, title = names_V[token_id]
            found.append(Recommendation(item_id, score, title))
    return found

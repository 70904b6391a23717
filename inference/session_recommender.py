"""Begin sessions: the part of `Recommender` for it."""

from collections.abc import Iterable
from typing import Any, overload

from seqrec.inference.list_recommender import ListRecommender
from seqrec.inference.sessions import Session, as_one
from seqrec.interactions.raw_ids import ItemIds, Unknown
from seqrec.interactions.request_reading import read_requests
from seqrec.interactions.timed_requests import Unsorted

__all__ = ["SessionRecommender"]


class SessionRecommender(ListRecommender):
    """Begins sessions; `Recommender` is one."""

    @overload
    def session(self, history: ItemIds = ..., **options: Any) -> Session: ...

    @overload
    def session(self, history: Iterable[ItemIds], **options: Any) -> list[Session]: ...

    def session(
        self,
        history: ItemIds | Iterable[ItemIds] = (),
        *,
        timestamps: Any = None,
        unsorted: Unsorted = "sort",
        unknown: Unknown = "skip",
        **columns: Any,
    ) -> Session | list[Session]:
        """Begin a session: a history to which events are added one by one, between recommendations.

        It gives the lists of `recommend`, sooner: causal models compute only what is new; see `Session`. `recommend`
        takes several sessions as one batch, as it takes several histories.

        Args:
            history: See `recommend`; an empty one by default. Several histories begin several sessions.
            timestamps: See `recommend`.
            unsorted: See `recommend`.
            unknown: See `recommend`.
            **columns: See `recommend`.

        Raises:
            InputError: As in `recommend`.

        Example:
            >>> session = recommender.session(["50", "181"])  # doctest: +SKIP
            >>> session.add("258")  # doctest: +SKIP
            >>> session.recommend(k=10)  # doctest: +SKIP
            >>> sessions = recommender.session([["50"], ["1", "2"]])  # doctest: +SKIP
            >>> recommender.recommend(sessions, k=10)  # doctest: +SKIP
        """
        begun = read_requests(
            history,
            self.tokenizer.look_up,
            timestamps=timestamps,
            unsorted=unsorted,
            columns=columns,
            wanted_columns=self.retriever.columns,
            unknown=unknown,
            is_asked=False,
        )
        found = [
            Session(self, as_one(begun.histories.select([row]).compact()[0]), missing, begun.has_zone)
            for row, missing in enumerate(begun.unknown_items)
        ]
        return found[0] if begun.is_single else found

"""Recommend lists of items by raw ids: the part of `Recommender` for it.

Shape suffixes: R histories, K list length.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, overload

import numpy as np

from seqrec.inference.item_columns import require_item_columns
from seqrec.inference.label_predictor import LabelPredictor
from seqrec.inference.recommendations import Recommendations, describe
from seqrec.inference.sessions import Session, encode_sessions, requests_of, sessions_in
from seqrec.interactions.catalogue import Catalogue
from seqrec.interactions.item_sets import ItemSet
from seqrec.interactions.polars_threads import require_polars
from seqrec.interactions.raw_ids import ItemIds, Unknown, encode_lists, look_up, read_ids
from seqrec.interactions.request_options import require_list_length, require_switch
from seqrec.interactions.request_reading import AllowDeny, read_requests, warn_of_empty
from seqrec.interactions.special_tokens import UNK_ID
from seqrec.interactions.timed_requests import Unsorted
from seqrec.search.diversity import Diversifier, make_diversifier
from seqrec.search.diversity_options import DiversityMethod, DiversityOptions
from seqrec.search.interfaces import Reranker
from seqrec.search.reranking import make_rerankers
from seqrec.search.score_floor import read_min_score

__all__ = ["BY_POPULARITY", "ListRecommender"]

BY_POPULARITY = "the most popular items are recommended for them"


class ListRecommender(LabelPredictor):
    """Recommends lists of items for histories and tables of them; `Recommender` is one."""

    items: Catalogue

    @overload
    def recommend(self, history: ItemIds | Session, k: int = ..., **options: Any) -> Recommendations: ...

    @overload
    def recommend(
        self, history: Iterable[ItemIds] | Sequence[Session], k: int = ..., **options: Any
    ) -> list[Recommendations]: ...

    def recommend(
        self,
        history: ItemIds | Iterable[ItemIds] | Session | Sequence[Session],
        k: int = 10,
        *,
        timestamps: Any = None,
        at: Any = None,
        unsorted: Unsorted = "sort",
        exclude_seen: bool = True,
        allow: AllowDeny = None,
        deny: AllowDeny = None,
        where: str | None = None,
        min_score: float | None = None,
        item_columns: Sequence[str] = (),
        unknown: Unknown = "skip",
        rank_by: Mapping[str, float] | None = None,
        rerank_from: int = 100,
        diversity: float = 0.0,
        method: DiversityMethod = "mmr",
        diversify_by: str = "vectors",
        max_per: Mapping[str, int] | None = None,
        popularity_penalty: float = 0.0,
        exploration: float = 0.0,
        seed: int | None = None,
        **columns: Any,
    ) -> Recommendations | list[Recommendations]:
        """Recommend the items a user will most likely want next.

        Args:
            history: Raw ids of one user's items, oldest first; or a list of such histories. An empty list is one empty
                history. A session, or a list of them, in place of histories.
            k: Number of items to recommend; lists are shorter if fewer items may be recommended.
            timestamps: When the user took each item, laid out like `history`: numbers of seconds, milliseconds,
                microseconds or nanoseconds since 1970, datetimes, or ISO text, without a time zone in UTC. Required by
                models that read times (`model.config.reads_time`), ignored by others.
            at: When the items are asked for: such a time, `"now"`, or a list of one for each history. Only for models
                whose `request_time` is "target"; without it, lists are as of each history's last event, with a warning.
            unsorted: If the timestamps of a history go backwards, `"sort"` to sort its items by time, with a warning,
                `"error"` to raise.
            exclude_seen: Whether to leave out the items of the history.
            allow: The only ids that may be recommended: one list for all, or one for each history. An empty list
                allows nothing. For long lists that are used again, see `item_set`.
            deny: Ids that may not be recommended: one list for all, or one for each history; see `allow`.
            where: A condition on the columns of the items (`items.frame`), such as
                `"year >= 1990 and 'Comedy' in genres"`; only items that meet it are recommended. See `find_items`.
            min_score: Items that score lower are left out, so lists may be shorter than k. The scores of popular items,
                for histories without a known item, are of another kind; see `Recommendations`.
            item_columns: Columns of the items (`items.frame`), such as `["year", "genres"]`, whose values come with
                each recommendation, in `columns`.
            unknown: `"skip"` to leave out unknown items of a history with a warning, `"error"` to raise.
            rank_by: Weights of several scores, such as `{"next_item": 1, "click": 0.5, "rating": 0.2}`: the items with
                the highest scores (`rerank_from` of them) are ranked again by the weighted sum of their z-scores in
                each of these, and the sum is their score. `next_item` is the score of recommending; the others are
                predictions (`predict`). A z-score is (value − mean) / standard deviation over those items. Histories
                without a known item get the most popular items all the same; diversity applies to them too.
            rerank_from: Number of best items, at least k, that `rank_by` ranks again and diverse lists are chosen from.
            diversity: From 0, the best items, to 1, the most diverse ones among the best `rerank_from`. The list is in
                the order of choosing, and each item keeps its score.
            method: How lists become diverse: `"mmr"` (maximal marginal relevance) avoids items that are like one
                already listed, `"dpp"` (determinantal point process) makes the list varied as a whole, `"calibrated"`
                gives it the history's mix of categories.
            diversify_by: `"vectors"` to compare items by the model's vectors, or the column of the items to compare
                them by, such as `"genres"`; `"calibrated"` needs one.
            max_per: Most items of one category in a list, by column, such as `{"genres": 3}`. An item counts for each
                of its categories; items without one are not limited. Where the best `rerank_from` items cannot fill a
                list, up to 16 times as many are considered; it is shorter than k if these cannot either.
            popularity_penalty: Strength of preferring less popular items: the z-score of the logarithm of an item's
                training interactions, times this, is subtracted from the z-score of its score.
            exploration: Temperature of drawing items at random, those with higher scores more often, instead of
                taking the best: 1 draws by the softmax of the scores, lower numbers stay closer to the best items.
            seed: Makes what is drawn for a history the same each time, whatever histories are asked for with it.
            **columns: The event columns that the model reads besides items and times, laid out like `history`, such as
                `device=["tv", "phone"]`. Labels of past events may be left out, or be None where there is none:
                `rating=[5, None, 3]`.

        Returns:
            `Recommendations` (a list of `Recommendation`, best first) for one history; a list of them for
            several.

        Raises:
            InputError: If the history is invalid or ambiguous, k is less than 1 or greater than the number of items,
                `where` is no condition on the items, `min_score` is not a finite number, `item_columns` names a column
                that the items lack, a column is missing or not read by the model, times are missing,
                cannot be read, do not fit the items or contradict each other, `at` has no effect, or, with
                `unknown="error"`, an item is unknown; if `rank_by` names a task that the model lacks, or a weight is
                not finite, or all are 0; if `rerank_from` is less than k; or if an option of diverse lists is out of
                range, names a column that the items lack, or has no effect.
            NonFiniteError: If scores or predictions are infinite or NaN.
        """
        k, exclude_seen = self.check_k(k), require_switch(exclude_seen, name="exclude_seen")
        options = DiversityOptions(diversity, method, diversify_by, max_per, popularity_penalty, exploration, seed)
        min_score = read_min_score(min_score)
        rerankers = self.rerankers(k, rank_by=rank_by, rerank_from=rerank_from, diversity=options, min_score=min_score)
        item_columns = require_item_columns(item_columns, self.items)
        sessions = sessions_in(history)
        if sessions:
            given = {"timestamps": timestamps, **columns}
            is_single = sessions[0] is history
            requests = requests_of(sessions, is_single=is_single, at=at, allow=allow, deny=deny, given=given)
        else:
            requests = read_requests(
                history,
                self.tokenizer.look_up,
                timestamps=timestamps,
                at=at,
                unsorted=unsorted,
                columns=columns,
                wanted_columns=self.retriever.columns,
                allow=allow,
                deny=deny,
                unknown=unknown,
            )
        warn_of_empty(requests.histories, BY_POPULARITY)
        self.warn_of_old_counts(requests.histories)
        scores_RK, token_ids_RK = self.retriever.retrieve(
            requests.histories,
            k,
            exclude_seen=exclude_seen,
            allowed=self.allowed(requests.allowed, where),
            denied=requests.denied,
            rerankers=rerankers,
            users_RD=encode_sessions(sessions, requests.histories) if sessions else None,
            min_score=min_score,
        )
        lists = describe(scores_RK, token_ids_RK, self.items, item_columns)
        lengths = requests.histories.lengths_R.tolist()
        found = [
            Recommendations(one, unknown_items=missing, is_popularity=length == 0)
            for one, missing, length in zip(lists, requests.unknown_items, lengths, strict=True)
        ]
        return found[0] if requests.is_single else found

    def item_set(self, item_ids: ItemIds) -> ItemSet:
        """Look up items once, to allow or deny them in many requests.

        With a million ids, looking them up takes most of a request's time. `allow` and `deny` take the result wherever
        they take a list of ids: for all histories, or for some of them.

        Args:
            item_ids: Raw ids. Unknown ones are left out, with a warning.

        Returns:
            A set for this recommender, as long as no items are added to it.

        Raises:
            InputError: If these are no ids.

        Example:
            >>> in_stock = recommender.item_set(stock["item_id"])  # doctest: +SKIP
            >>> recommender.recommend(["50", "181"], allow=in_stock)  # doctest: +SKIP
        """
        names = read_ids(item_ids, where="item_set", ordered=False)
        token_ids, _ = look_up(names, self.tokenizer.look_up, where="item_set")
        return ItemSet(token_ids[token_ids != UNK_ID], self.tokenizer.look_up)

    def rerankers(
        self,
        k: int,
        *,
        rank_by: Mapping[str, float] | None,
        rerank_from: int,
        diversity: DiversityOptions,
        min_score: float | None,
    ) -> list[Reranker]:
        """Return what ranks the best items again, in this order."""
        diversifier = partial(self.diversifier, diversity) if diversity else None
        return make_rerankers(self.model, rank_by, diversifier, k=k, rerank_from=rerank_from, min_score=min_score)

    def diversifier(self, options: DiversityOptions, *, k: int, rerank_from: int) -> Diversifier:
        """Return what chooses diverse lists from the best items."""
        return make_diversifier(
            options,
            k=k,
            rerank_from=rerank_from,
            item_vectors=self.model.item_vectors,
            counts_V=self.items.counts_by_token,
            categories=self.items.categories,
        )

    def allowed(self, allowed: Sequence[np.ndarray] | None, where: str | None) -> Sequence[np.ndarray] | None:
        """Return the token ids that may be listed, given allow lists and a condition on the items."""
        if where is None:
            return allowed
        require_polars()
        meets_V = self.items.meeting(where)
        return [np.flatnonzero(meets_V)] if allowed is None else [ids[meets_V[ids]] for ids in allowed]

    def encode_list(self, item_ids: ItemIds | ItemSet | None, *, where: str) -> list[np.ndarray] | None:
        """Encode the known items of an allow or deny list that applies to all users."""
        if item_ids is None:
            return None
        if isinstance(item_ids, ItemSet):
            return encode_lists(item_ids, 0, self.tokenizer.look_up, where=where)
        return encode_lists(read_ids(item_ids, where=where, ordered=False), 0, self.tokenizer.look_up, where=where)

    def check_k(self, k: int) -> int:
        """Return k; raise an `InputError` if it is not an integer from 1 to the number of items."""
        return require_list_length(k, len(self.items))

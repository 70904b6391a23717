"""Explain recommendations by raw ids: the part of `Recommender` for it.

Shape suffixes: N explained items, L events that the model reads, P recommendations, R histories.
"""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from tqdm.auto import tqdm

from seqrec.errors import InputError
from seqrec.inference.label_predictor import LabelPredictor
from seqrec.inference.pair_tables import histories_of_pairs, read_pairs
from seqrec.interactions.catalogue import Catalogue
from seqrec.interactions.histories import Histories
from seqrec.interactions.item_rows import rows_of
from seqrec.interactions.polars_threads import require_polars
from seqrec.interactions.raw_ids import ItemId, ItemIds, Unknown, id_text, may_hold_ids, read_ids
from seqrec.interactions.request_reading import read_requests
from seqrec.interactions.timed_requests import Unsorted
from seqrec.modeling.explanation_methods import explain_history, method_named, most_important, reasons_of

__all__ = ["Explainer"]

BAR_DELAY = 0.5  # seconds; shorter explanations need no progress bar
TYPES = {"source": pl.String, "position": pl.Int64, "item_id": pl.String, "title": pl.String}


class Explainer(LabelPredictor):
    """Explains scores by the items of the history; `Recommender` is one."""

    items: Catalogue

    def explain(
        self,
        history: ItemIds,
        item_id: ItemId | ItemIds,
        *,
        method: str = "leave_one_out",
        timestamps: Any = None,
        at: Any = None,
        unsorted: Unsorted = "sort",
        unknown: Unknown = "skip",
        **columns: Any,
    ) -> pl.DataFrame:
        """Tell how much each past item contributes to the score by which an item is recommended.

        The score is that of `recommend`, before anything that ranks its items again (`rank_by`). Only the newest
        `model.config.max_history_length` events have a part in it; a warning says if there are older ones.

        The methods are:

        - `"leave_one_out"`: the score with all events minus the score without this one, as `recommend` would compute
          it. It needs no assumptions, and is the reference. Contributions do not sum to the score, because events act
          together. See `leave_one_out` for histories of one item.
        - `"integrated_gradients"`: shares that sum to the score minus that of average events (Sundararajan et al.,
          ICML 2017), up to 1 %. They are divided by items' ids and features, and other columns of events.
        - `"attention_rollout"`: where the layers look (Abnar & Zuidema, ACL 2020), equal for all recommended items; not
          for HSTU, whose attention weights are no shares.

        Args:
            history: Raw ids of one user's items, oldest first.
            item_id: The raw id of the item whose score is to be explained, or several; any item that the model knows.
            method: One of the methods.
            timestamps: See `recommend`.
            at: See `recommend`.
            unsorted: See `recommend`.
            unknown: See `recommend`; unknown items have no part in the score.
            **columns: See `recommend`.

        Returns:
            A row for each event that the model reads, the highest contribution first: `source` ("item"), `position` (0
            for the newest known item of the history, 1 for the one before it, …), `item_id`, `title` and
            `contribution` (float32); before them, `recommended`, the id of the explained item, if several were given.
            By integrated gradients, a model that reads more than the items' ids also has columns `from_item_id`,
            `from_<feature>` and `from_event_<column>`, which sum to `contribution`.

            Other sources follow, with neither position nor id. `recent_popularity` is its term in the score, of a model
            with `popularity_windows`. `times`, by leaving out, is the score minus that of the same items all taken at
            the time of the request; the other methods cannot tell the share of times. `baseline`, by integrated
            gradients, is the score of average events, which the contributions add to.

        Raises:
            InputError: If the history holds no known item, several histories were given, an item to explain is unknown,
                the method does not exist or does not suit the model; otherwise as in `recommend`.
            RuntimeError: In a process forked from one that had already used polars.

        Example:
            >>> recommender.explain(["50", "181", "258"], "172")  # doctest: +SKIP
            >>> recommender.explain(["50", "181"], ["172", "174"], method="integrated_gradients")  # doctest: +SKIP
        """
        method = method_named(method)
        require_polars()
        requests = read_requests(
            history,
            self.tokenizer.look_up,
            timestamps=timestamps,
            at=at,
            unsorted=unsorted,
            columns=columns,
            wanted_columns=self.retriever.columns,
            unknown=unknown,
        )
        if not requests.is_single:
            raise InputError(
                f"{len(requests.histories)} histories were given, and explain takes one. Call it for each, or pass "
                "tables to explain_frame."
            )
        self.require_events(requests.histories)
        self.warn_of_old_counts(requests.histories)
        is_one = not may_hold_ids(item_id)
        names = [id_text(item_id, "item_id")] if is_one else read_ids(item_id, where="item_id")
        found = self.reasons(requests.histories, self.explained_ids(names), method)
        if is_one:
            return table_of(found[0])
        return table_of([{"recommended": name, **one} for name, own in zip(names, found, strict=True) for one in own])

    def explain_frame(
        self,
        lists: Any,
        histories: Any,
        *,
        method: str = "leave_one_out",
        num_reasons: int | None = 3,
        at: Any = None,
        unknown: Unknown = "skip",
        columns: Mapping[str, str] | None = None,
        progress: bool = False,
    ) -> pl.DataFrame:
        """Explain a table of recommendations.

        Args:
            lists: A file or frame of `user_id` and `item_id`, such as the result of `recommend_frame`; optionally with
                `timestamp`, when the item was recommended.
            histories: A file or frame of the users' interactions; see `predict_frame`.
            method: See `explain`.
            num_reasons: Number of past items for each recommendation, those with the highest contributions; None for
                all.
            at: When the items were recommended, one time for all without timestamps; see `recommend`.
            unknown: See `recommend`; applies to the items of histories.
            columns: Other names of the columns of both tables; `self.columns` is used otherwise.
            progress: Whether to show a progress bar.

        Returns:
            The columns of `explain` for several items, after `user_id`: the recommendations in the order of the users
            and of `lists`. Users without a known item, whose lists are by popularity, have no rows, with a warning.

        Raises:
            InputError: If a table cannot be read or lacks a column, or `num_reasons` is less than 1; otherwise as in
                `explain`.
            RuntimeError: In a process forked from one that had already used polars.

        Example:
            >>> lists = recommender.recommend_frame("interactions.csv")  # doctest: +SKIP
            >>> recommender.explain_frame(lists, "interactions.csv")  # doctest: +SKIP
        """
        method = method_named(method)
        if num_reasons is not None and not (isinstance(num_reasons, int) and num_reasons >= 1):
            raise InputError(f"num_reasons must be an integer of at least 1, or None for all, but is {num_reasons!r}.")
        names: dict[str, Any] = {"columns": columns, "remembered": self.columns}
        pairs = read_pairs(lists, self.tokenizer, has_histories=True, **names)
        rows, row_P = histories_of_pairs(
            pairs,
            histories,
            self.tokenizer,
            event_columns=self.retriever.columns,
            label_tasks=self.model.config.label_tasks,
            at=at,
            protocol=self.protocol,
            unknown=unknown,
            **names,
        )
        self.warn_of_old_counts(rows)
        is_empty_P = rows.lengths_R[row_P] == 0
        if is_empty_P.any():
            warnings.warn(
                f"{is_empty_P.sum()} of {len(row_P)} recommendations are for users without a known item. They follow "
                "popularity, and have no rows in the result.",
                stacklevel=2,
            )
        places_R = np.split(row_P.argsort(kind="stable"), np.bincount(row_P, minlength=len(rows)).cumsum()[:-1])
        parts = []
        wanted = [row for row in range(len(rows)) if rows.lengths_R[row]]
        for row in tqdm(wanted, desc="Explaining", delay=BAR_DELAY, disable=not progress):
            places = places_R[row]
            found = self.reasons(rows.select([row]), pairs.token_ids_P[places], method)
            users, names_P = pairs.table["user_id"][places], pairs.table["item_id"][places].to_list()
            kept = [
                {"user_id": user, "recommended": name, **one}
                for user, name, own in zip(users.to_list(), names_P, found, strict=True)
                for one in most_important(own, num_reasons)
            ]
            parts.append(table_of(kept, user_id=users.dtype))
        if not parts:
            raise InputError("No user of the recommendations has a known item in the histories. Check the user ids.")
        return pl.concat(parts)

    def reasons(self, history: Histories, token_ids_N: np.ndarray, method: str) -> list[list[dict[str, Any]]]:
        """Explain items for one history, both by token ids; see `reasons_of`."""
        explanation = explain_history(self.retriever.in_torch, history, token_ids_N, method)
        newest = history.newest(self.retriever.max_length)
        rows_L = rows_of(newest.compact(["input_ids"])[0]["input_ids"]).tolist()
        item_ids, titles = self.items.item_ids, self.items.titles
        return reasons_of(explanation, [item_ids[row] for row in rows_L], [titles[row] for row in rows_L])

    def explained_ids(self, names: list[str]) -> np.ndarray:
        """Return the token ids of items to explain; raise an `InputError` if one is unknown, or there are none."""
        if not names:
            raise InputError("No item to explain was given. Give the id of a recommended item, or a list of ids.")
        rows = [self.items.row_of(int(token_id)) for token_id in self.tokenizer.look_up(names)]
        unknown = [name for name, row in zip(names, rows, strict=True) if row is None]
        if unknown:
            raise InputError(
                f"{len(unknown)} of {len(names)} items to explain are not in the vocabulary (first: {unknown[0]!r}), "
                "so they have no score. Leave them out, or add them with add_items."
            )
        return self.tokenizer.look_up(names)

    def require_events(self, history: Histories) -> None:
        """Raise an `InputError` for an empty history; warn of events that are too old to be read."""
        length, max_length = int(history.lengths_R[0]), self.retriever.max_length
        if not length:
            raise InputError(
                "The history holds no known item, so no past item can explain a score: the most popular items are "
                "recommended for it. Give at least one item that the model knows."
            )
        if length > max_length:
            warnings.warn(
                f"The model reads the newest {max_length} of the {length} items of this history. The others have no "
                "part in the score, and no rows in the result.",
                stacklevel=3,
            )


def table_of(rows: list[dict[str, Any]], **types: Any) -> pl.DataFrame:
    """Return rows as a table, with contributions in float32, as they are computed."""
    numbers = {name: pl.Float32 for name in rows[0] if name == "contribution" or name.startswith("from_")}
    return pl.DataFrame(rows, schema_overrides={**TYPES, **numbers, **types})

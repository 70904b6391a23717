"""Predict labels, such as ratings and clicks, by raw ids: the part of `Recommender` for it.

Shape suffixes: R histories, P pairs.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from tqdm.auto import tqdm

from seqrec.inference.pair_tables import histories_in_pairs, histories_of_pairs, read_pairs
from seqrec.interactions.candidates import read_candidates
from seqrec.interactions.histories import Histories
from seqrec.interactions.polars_threads import require_polars
from seqrec.interactions.raw_ids import ItemIds, Unknown
from seqrec.interactions.request_reading import read_requests, warn_of_empty
from seqrec.interactions.timed_requests import Unsorted
from seqrec.interactions.tokenization_items import ItemTokenizer
from seqrec.modeling.modeling_next_item import NextItemHead
from seqrec.modeling.pipeline_predictions import BY_ITEM_ALONE
from seqrec.modeling.recent_counts import warn_of_old_counts
from seqrec.search.pair_predictions import predict_pairs, require_label_tasks
from seqrec.search.retriever import Retriever, lists_of

__all__ = ["LabelPredictor"]

PART = 2**12  # histories between two steps of the progress bar
BAR_DELAY = 0.5  # seconds; shorter predictions need no progress bar


class LabelPredictor:
    """Predicts labels of pairs of histories and items; `Recommender` is one."""

    model: NextItemHead
    tokenizer: ItemTokenizer
    retriever: Retriever

    @property
    def columns(self) -> dict[str, str]:
        """The columns of the training table whose names differ from ours: our name → the table's."""
        raise NotImplementedError

    @property
    def protocol(self) -> Any:
        """The protocol of the training; None if it is unknown."""
        raise NotImplementedError

    def predict(
        self,
        history: ItemIds | Iterable[ItemIds],
        candidates: ItemIds | Iterable[ItemIds],
        *,
        timestamps: Any = None,
        at: Any = None,
        unsorted: Unsorted = "sort",
        unknown: Unknown = "skip",
        **columns: Any,
    ) -> pl.DataFrame:
        """Predict how users would rate candidates, or the probabilities that they click on them, like them, ….

        The predictions are those that evaluation measures (`NextItemHead.predict_tasks`).

        Args:
            history: See `recommend`.
            candidates: Raw ids of the items to predict for, of known items only, hidden ones included: one list for
                all histories, or one for each.
            timestamps: See `recommend`.
            at: See `recommend`.
            unsorted: See `recommend`.
            unknown: See `recommend`; applies to the items of histories.
            **columns: See `recommend`. A model that reads past labels (`model.config.past_labels`) takes those of the
                history's items here, such as `rating=[5, None, 3]`, where None is no label.

        Returns:
            One row for each candidate, in the order given: `history` (the index of the history, only for several),
            `item_id` (text), and a column for each task that the model predicts (float32): `rating` on its scale, and
            calibrated probabilities of the others. Predictions for histories without a known item depend on the item
            alone.

        Raises:
            InputError: If the model predicts nothing but the next item, a candidate is unknown, candidates do not fit
                the histories; otherwise as in `recommend`.
            NonFiniteError: If predictions are infinite or NaN.
            RuntimeError: In a process forked from one that had already used polars.

        Example:
            >>> recommender.predict(["50", "181"], ["258", "286"])  # doctest: +SKIP
            >>> recommender.predict([["50"], ["1", "2"]], ["258", "286"])  # doctest: +SKIP
        """
        tasks = require_label_tasks(self.model.config)
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
        num_histories = len(requests.histories)
        chosen = read_candidates(candidates, num_histories, self.tokenizer.look_up)
        warn_of_empty(requests.histories, BY_ITEM_ALONE)
        self.warn_of_old_counts(requests.histories)
        found = self.predict_histories(requests.histories, chosen.token_ids, tasks)
        index = {} if requests.is_single else {"history": chosen.rows(num_histories)}
        return pl.DataFrame({**index, "item_id": pl.Series(chosen.names(num_histories), dtype=pl.String), **found})

    def predict_frame(
        self,
        pairs: Any,
        histories: Any = None,
        *,
        at: Any = None,
        unknown: Unknown = "skip",
        columns: Mapping[str, str] | None = None,
        progress: bool = False,
    ) -> pl.DataFrame:
        """Predict for a table of pairs of users and items.

        Args:
            pairs: A file or frame with one row per pair: `item_id`, `user_id` and, optionally, `timestamp`, when the
                item is offered. Without `histories`, it has a column `history` in place of `user_id`: raw ids, oldest
                first, as a list or as text in which commas separate them.
            histories: A file or frame of the users' interactions: `user_id`, `item_id`, `timestamp` and the event
                columns that the model reads; see `read_interactions`. Rows of impressions (`click` 0, if the model
                predicts clicks) are no part of histories. A pair with a timestamp is predicted from the
                user's interactions before that time, one without from all of them.
            at: When the items are offered, one time for all pairs without timestamps; see `recommend`.
            unknown: See `recommend`; applies to the items of histories.
            columns: Other names of the columns of both tables, such as `{"user_id": "uid"}`; `self.columns` is used
                otherwise.
            progress: Whether to show a progress bar.

        Returns:
            The pairs in their order: `user_id` and `timestamp` if they have them, `item_id` (text), and a column for
            each task, as in `predict`.

        Raises:
            InputError: If a table cannot be read or lacks a column; otherwise as in `predict`.
            NonFiniteError: If predictions are infinite or NaN.
            RuntimeError: In a process forked from one that had already used polars.

        Example:
            >>> recommender.predict_frame("pairs.csv", "interactions.csv")  # doctest: +SKIP
        """
        tasks = require_label_tasks(self.model.config)
        names: dict[str, Any] = {"columns": columns, "remembered": self.columns}
        found = read_pairs(pairs, self.tokenizer, has_histories=histories is not None, **names)
        told: dict[str, Any] = {"event_columns": self.retriever.columns, "at": at, "unknown": unknown}
        if histories is None:
            rows, row_P = histories_in_pairs(found, self.tokenizer, **told)
        else:
            rows, row_P = histories_of_pairs(
                found, histories, self.tokenizer, label_tasks=tasks, protocol=self.protocol, **told, **names
            )
        warn_of_empty(rows, BY_ITEM_ALONE)
        self.warn_of_old_counts(rows)
        candidates, order_P = found.candidates_of(row_P, len(rows))
        predictions = self.predict_histories(rows, candidates, tasks, progress=progress)
        return found.with_predictions(predictions, order_P)

    def predict_histories(
        self,
        histories: Histories,
        candidates: Sequence[np.ndarray],
        tasks: Sequence[str],
        *,
        progress: bool = False,
    ) -> dict[str, np.ndarray]:
        """Predict for token ids: one array of candidates for all histories, or one for each; see `predict_pairs`."""
        parts = []
        with tqdm(total=len(histories), desc="Predicting", delay=BAR_DELAY, disable=not progress) as bar:
            for rows in np.split(np.arange(len(histories)), range(PART, len(histories), PART)):
                users_RD = self.retriever.encode(histories.select(rows))
                own = lists_of(candidates, rows)
                parts.append(predict_pairs(self.model.predict_tasks, tasks, users_RD, own))
                bar.update(len(rows))
        return {task: np.concatenate([part[task] for part in parts]) for task in tasks}

    def warn_of_old_counts(self, histories: Histories) -> None:
        """Warn if the model's counts of recent interactions end long before the requests."""
        warn_of_old_counts(self.model.recent_counts, histories.rows.get("target_timestamp"))

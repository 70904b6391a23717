"""What next, and after that: continue histories by the model's own scores. The part of `Recommender` for it.

Shape suffixes: R histories, N histories that are being continued, K beams, V vocabulary, D size of a vector.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, overload

import numpy as np
import torch
from torch import Tensor

from seqrec.errors import InputError
from seqrec.inference.label_predictor import LabelPredictor
from seqrec.inference.recommendations import Recommendation
from seqrec.interactions.catalogue import Catalogue
from seqrec.interactions.events import TIME_COLUMNS, CategoricalColumn, event_column
from seqrec.interactions.histories import Histories
from seqrec.interactions.item_rows import by_row, rows_of
from seqrec.interactions.label_columns import is_label
from seqrec.interactions.raw_ids import ItemIds, Unknown
from seqrec.interactions.request_options import require_list_length, require_switch
from seqrec.interactions.request_reading import AllowDeny, Requests, read_requests, warn_of_empty
from seqrec.interactions.timed_requests import Unsorted, last_times
from seqrec.search.retriever import lists_of

__all__ = ["Rollout", "RolloutRecommender"]

MAX_SCORES = 2**24  # computed at once


@dataclass(frozen=True)
class Rollout:
    """One continuation of a history.

    Attributes:
        steps: The items in their order, each with its log-probability at its step as the score.
        score: The sum of these log-probabilities.
    """

    steps: list[Recommendation]
    score: float


@dataclass(frozen=True)
class Continuation:
    """A continuation in token ids, of the history in row `request`."""

    request: int
    token_ids: tuple[int, ...] = ()
    scores: tuple[float, ...] = ()

    @property
    def score(self) -> float:
        """The sum of the scores."""
        return sum(self.scores)


class RolloutRecommender(LabelPredictor):
    """Continues histories step by step; `Recommender` is one."""

    items: Catalogue

    @overload
    def rollout(self, history: ItemIds, num_steps: int = ..., **options: Any) -> list[Rollout]: ...

    @overload
    def rollout(self, history: Iterable[ItemIds], num_steps: int = ..., **options: Any) -> list[list[Rollout]]: ...

    def rollout(
        self,
        history: ItemIds | Iterable[ItemIds],
        num_steps: int = 5,
        *,
        beams: int = 1,
        timestamps: Any = None,
        at: Any = None,
        unsorted: Unsorted = "sort",
        exclude_seen: bool = True,
        allow: AllowDeny = None,
        deny: AllowDeny = None,
        unknown: Unknown = "skip",
        **columns: Any,
    ) -> list[Rollout] | list[list[Rollout]]:
        """Predict what a user wants next, and after that, as if the user took each item that is predicted.

        Each step adds an item to the history and asks again. With one beam, this is the best item of `recommend` at
        each step. With more, beam search looks for the continuations with the highest probability as a whole: at each
        step, it extends every continuation kept so far by its best items, and keeps the best `beams` of all.

        The log-probability of an item is the logarithm of the softmax of its score over all items of the catalogue,
        seen and hidden ones included. It is a probability as far as the model was trained as a classifier of the next
        item (`loss` "cross_entropy" or "sampled_softmax"); with other losses, it only ranks. At the first step of a
        history without a known item, it is the logarithm of an item's share of interactions.

        Items that were added have the time of the request (`at`, or else that of the last event), at which all steps
        are asked for; no labels; and unknown categories, in other columns that the model reads.

        Args:
            history: See `recommend`.
            num_steps: Number of items to predict; there are fewer if no item is left.
            beams: Number of continuations to keep and to return; at most the number of items.
            timestamps: See `recommend`.
            at: See `recommend`.
            unsorted: See `recommend`.
            exclude_seen: Whether to leave out the items of the history and of earlier steps.
            allow: See `recommend`.
            deny: See `recommend`.
            unknown: See `recommend`.
            **columns: See `recommend`.

        Returns:
            The continuations, the most probable first; a list of them for several histories.

        Raises:
            InputError: If `num_steps` or `beams` is not an integer of at least 1, or there are fewer items than beams;
                if the model reads times, and a history without a known item has none; if the model reads numbers of
                events, which future events do not have; otherwise as in `recommend`.
            NonFiniteError: If scores are infinite or NaN.

        Example:
            >>> recommender.rollout(["50", "181"], num_steps=3, beams=5)[0].steps  # doctest: +SKIP
        """
        num_steps = require_steps(num_steps)
        beams = require_list_length(beams, len(self.items), name="beams")
        exclude_seen = require_switch(exclude_seen, name="exclude_seen")
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
        warn_of_empty(requests.histories, "they begin with the most popular items")
        self.warn_of_old_counts(requests.histories)
        paths = self.search_paths(requests, num_steps, beams, exclude_seen=exclude_seen)
        found = [[self.describe_path(path) for path in own] for own in paths]
        return found[0] if requests.is_single else found

    def search_paths(
        self, requests: Requests, num_steps: int, beams: int, *, exclude_seen: bool
    ) -> list[list[Continuation]]:
        """Return the best continuations of each history, the best first."""
        values = future_values(requests.histories)
        with torch.inference_mode():
            items_VD = self.model.encode_items().float()
        paths = [Continuation(row) for row in range(len(requests.histories))]
        for _ in range(num_steps):
            histories = continued(requests.histories, paths, values)
            owners_N = np.array([path.request for path in paths])
            scores_NK, token_ids_NK = self.retriever.retrieve(
                histories,
                beams,
                exclude_seen=exclude_seen,
                allowed=lists_of(requests.allowed, owners_N),
                denied=lists_of(requests.denied, owners_N),
            )
            scores_NK = scores_NK - self.log_totals(histories, items_VD)[:, None]
            paths = best_extensions(paths, scores_NK, token_ids_NK, beams)
        return [[path for path in paths if path.request == row] for row in range(len(requests.histories))]

    @torch.inference_mode()
    def log_totals(self, histories: Histories, items_VD: Tensor) -> np.ndarray:
        """Return the logarithm of the sum of exp(score) over the catalogue for each history (N,), 0 for empty ones."""
        users_ND = self.retriever.encode(histories).float()
        rows = max(1, MAX_SCORES // len(items_VD))
        totals = [(part_PD @ by_row(items_VD).T).logsumexp(dim=1) for part_PD in users_ND.split(rows)]
        return np.where(histories.lengths_R > 0, torch.cat(totals).numpy(force=True), 0)

    def describe_path(self, path: Continuation) -> Rollout:
        """Return a continuation by raw ids."""
        steps = [
            Recommendation(self.items.item_ids[row], score, self.items.titles[row])
            for row, score in zip(map(rows_of, path.token_ids), path.scores, strict=True)
        ]
        return Rollout(steps, path.score)


def best_extensions(
    paths: Sequence[Continuation], scores_NK: np.ndarray, token_ids_NK: np.ndarray, beams: int
) -> list[Continuation]:
    """Return the best `beams` extensions of each request's paths, the best first; ties are in the order found.

    A path that no item can extend stays as it is.
    """
    extended = []
    for path, scores_K, token_ids_K in zip(paths, scores_NK.tolist(), token_ids_NK.tolist(), strict=True):
        found = [
            Continuation(path.request, (*path.token_ids, token_id), (*path.scores, score))
            for score, token_id in zip(scores_K, token_ids_K, strict=True)
            if token_id
        ]
        extended.extend(found or [path])
    kept = []
    for _, own in groupby(extended, key=lambda path: path.request):
        kept.extend(sorted(own, key=lambda path: -path.score)[:beams])
    return kept


def future_values(histories: Histories) -> dict[str, np.ndarray]:
    """Return the value of each event column, besides the items, at events to come: one for each history.

    Raises:
        InputError: If there is none for a column.
    """
    found = {}
    for name in histories.columns:
        if name == "timestamps":
            found[name] = times_to_come(histories)
        elif is_label(name):
            found[name] = np.full(len(histories), np.nan, dtype=np.float32)
        elif name != "input_ids" and name not in TIME_COLUMNS:
            column = event_column(name)
            if not isinstance(column, CategoricalColumn):
                raise InputError(
                    f"The model reads {name}, which events to come do not have. Ask for one step, by recommend."
                )
            found[name] = np.full(len(histories), column.fill)
    return found


def times_to_come(histories: Histories) -> np.ndarray:
    """Return the times of the requests (R,), or else of the last events.

    Raises:
        InputError: If a history has neither.
    """
    times_R = histories.rows.get("target_timestamp", last_times(histories))
    if not np.isfinite(times_R).all():
        raise InputError(
            "The model reads times, but a history without known items has none for what comes next. Give at least one "
            "known item, or leave the history out."
        )
    return times_R


def continued(histories: Histories, paths: Sequence[Continuation], values: dict[str, np.ndarray]) -> Histories:
    """Return the history of each path, followed by the items of the path."""
    requests = [path.request for path in paths]
    own = histories.select(requests)
    lists = {"input_ids": [np.append(ids, path.token_ids) for ids, path in zip(own["input_ids"], paths, strict=True)]}
    lists["input_ids"] = [ids.astype(np.int64) for ids in lists["input_ids"]]
    for name, values_R in values.items():
        lists[name] = [
            np.append(known, np.repeat(values_R[path.request], len(path.token_ids)))
            for known, path in zip(own[name], paths, strict=True)
        ]
    return Histories.from_lists(lists, own.rows)


def require_steps(num_steps: Any) -> int:
    """Return the number of steps; raise an `InputError` unless it is an integer of at least 1."""
    if not isinstance(num_steps, int | np.integer) or isinstance(num_steps, bool) or num_steps < 1:
        raise InputError(f"num_steps must be an integer >= 1, got {num_steps!r:.60}.")
    return int(num_steps)

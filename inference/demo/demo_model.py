"""Answer the demo page: items found by title, lists with reasons, and similar items, without anything of the page."""

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from threading import Lock
from typing import Any

import numpy as np

from seqrec.errors import InputError
from seqrec.inference.demo.item_facts import ItemFacts
from seqrec.inference.demo.item_search import ItemSearch
from seqrec.inference.recommendations import Recommendations
from seqrec.inference.recommender import Recommender
from seqrec.interactions.events import TIME_COLUMNS
from seqrec.interactions.item_rows import rows_of
from seqrec.interactions.label_columns import is_label

__all__ = ["Answer", "Choices", "DemoModel", "Listed", "Reason"]

MOST_REASONS = 3  # past items that explain a recommendation
LEAST_CONTRIBUTION = 0.005  # less would be shown as 0.00
NUM_SIMILAR = 8
MOST_LISTED = 50


@dataclass(frozen=True)
class Choices:
    """Settings of the page.

    Attributes:
        k: Length of the list.
        diversity: From 0 to 1; see `Recommender.recommend`.
        where: Condition on the items, empty for none.
        columns: Columns of the items to show.
        with_reasons: Whether to explain the list.
        rank_by: Task by whose predictions the best items are ranked, empty for the score.
    """

    k: int = 10
    diversity: float = 0.0
    where: str = ""
    columns: tuple[str, ...] = ()
    with_reasons: bool = False
    rank_by: str = ""


@dataclass(frozen=True)
class Reason:
    """A past item that speaks for a recommended one.

    Attributes:
        number: Its number in the history, from 1, the oldest.
        name: Its title, or its id.
        contribution: See `Recommender.explain`.
    """

    number: int
    name: str
    contribution: float


@dataclass(frozen=True)
class Listed:
    """An item in a list.

    Attributes:
        item_id: Raw id.
        name: Its title, or its id.
        facts: Text of the chosen columns; see `ItemFacts`.
        score: Score in this list; None where there is none.
        predictions: What the model predicts of it, by task.
        reasons: Past items with the highest contributions; None if nobody asked for reasons.
    """

    item_id: str
    name: str
    facts: tuple[str, ...] = ()
    score: float | None = None
    predictions: tuple[tuple[str, float], ...] = ()
    reasons: tuple[Reason, ...] | None = None


@dataclass(frozen=True)
class Answer:
    """A list of recommended items, best first.

    Attributes:
        items: The list.
        is_popularity: Whether it holds the most popular items, because of an empty history.
        notes: Warnings.
    """

    items: tuple[Listed, ...]
    is_popularity: bool = False
    notes: tuple[str, ...] = ()


class DemoModel:
    """A model that the page asks. One call computes at a time.

    Args:
        recommender: The model.
        name: Its name, for the heading.

    Raises:
        InputError: If the model reads event columns that the page cannot ask for.
    """

    def __init__(self, recommender: Recommender, name: str) -> None:
        self.recommender = recommender
        self.name = name
        self.facts = ItemFacts(recommender.items.frame)
        self.lock = Lock()
        self.columns = recommender.retriever.columns
        further = [one for one in self.columns[1:] if one not in TIME_COLUMNS and not is_label(one)]
        if further:
            raise InputError(
                f"The model reads {', '.join(further)} of each event, which the page cannot ask for. Call "
                "Recommender.recommend, or `seqrec serve`, with these columns."
            )

    @property
    def num_items(self) -> int:
        """Number of items of the catalogue."""
        return len(self.recommender.items)

    @property
    def most_listed(self) -> int:
        """Length of the longest list."""
        return min(MOST_LISTED, self.num_items)

    @property
    def tasks(self) -> tuple[str, ...]:
        """What the model predicts besides the next item."""
        return tuple(self.recommender.model.config.label_tasks)

    @cached_property
    def search(self) -> ItemSearch:
        """Finds items by title or id."""
        items = self.recommender.items
        names = [title or item_id for title, item_id in zip(items.titles, items.item_ids, strict=True)]
        return ItemSearch(names, rows_of(items.by_popularity()), self.row_of_id)

    @cached_property
    def examples(self) -> tuple[tuple[str, ...], ...]:
        """Histories to begin with: those of the samples on the model's card that the catalogue knows."""
        samples = (self.recommender.metrics or {}).get("samples")
        found = [ids_of(sample) for sample in (samples if isinstance(samples, list) else [])]
        return tuple(ids for ids in found if ids and all(self.row_of_id(name) is not None for name in ids))

    def row_of_id(self, item_id: str) -> int | None:
        """Return the row of a raw id, None if it is unknown."""
        (token_id,) = self.recommender.tokenizer.look_up([item_id])
        return self.recommender.items.row_of(int(token_id))

    def found(self, query: str, columns: Sequence[str] = (), limit: int = 12) -> list[Listed]:
        """Find items by title or id; see `ItemSearch.find`."""
        rows = self.search.find(query, limit)
        item_ids = self.recommender.items.item_ids
        return self.listed([item_ids[row] for row in rows], columns)

    def listed(self, item_ids: Sequence[str], columns: Sequence[str] = ()) -> list[Listed]:
        """Describe known items."""
        rows = rows_of(np.asarray(self.recommender.tokenizer.look_up(list(item_ids)))).tolist() if item_ids else []
        titles, facts = self.recommender.items.titles, self.facts.of_rows(rows, columns)
        return [
            Listed(item_id, titles[row] or item_id, own)
            for item_id, row, own in zip(item_ids, rows, facts, strict=True)
        ]

    def recommend(self, history: Sequence[str], choices: Choices) -> Answer:
        """Recommend items for a history, oldest first; popular ones if it is empty.

        Raises:
            SeqrecError: As in `Recommender.recommend`.
        """
        ids, times = list(history), self.times(len(history))
        with self.lock, warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = self.recommender.recommend(
                ids,
                choices.k,
                diversity=choices.diversity,
                where=choices.where.strip() or None,
                rank_by={choices.rank_by: 1.0} if choices.rank_by else None,
                rerank_from=max(100, choices.k),
                **times,
            )
            items = self.described(found, choices)
            if self.tasks and items:
                items = self.with_predictions(items, ids, times)
            if choices.with_reasons and items and not found.is_popularity:
                items = self.with_reasons(items, ids, times)
        notes = dict.fromkeys(str(one.message) for one in caught if one.category is UserWarning and ids)
        return Answer(tuple(items), found.is_popularity, tuple(notes))

    def similar(self, item_id: str, columns: Sequence[str] = ()) -> list[Listed]:
        """List the items that are most similar to one; the score is their cosine similarity.

        Raises:
            SeqrecError: As in `Recommender.similar_items`.
        """
        with self.lock:
            found = self.recommender.similar_items(item_id, min(NUM_SIMILAR, self.num_items))
        return self.described(found, Choices(columns=tuple(columns)))

    def times(self, num_events: int) -> dict[str, Any]:
        """Return times as arguments of `Recommender.recommend`: the last event now, a second between two events."""
        if "timestamps" not in self.columns:
            return {}
        now = int(time.time())
        asked = {"at": now} if "request_times" in self.columns else {}
        return {"timestamps": list(range(now - num_events + 1, now + 1)), **asked}

    def described(self, found: Recommendations, choices: Choices) -> list[Listed]:
        """Describe the items of a list, with their scores."""
        items = self.listed([one.item_id for one in found], choices.columns)
        return [replace(item, score=one.score) for item, one in zip(items, found, strict=True)]

    def with_predictions(self, items: Sequence[Listed], history: list[str], times: dict[str, Any]) -> list[Listed]:
        """Add what the model predicts of each item."""
        table = self.recommender.predict(history, [item.item_id for item in items], **times)
        rows = table.select(self.tasks).iter_rows()
        return [
            replace(item, predictions=tuple(zip(self.tasks, row, strict=True)))
            for item, row in zip(items, rows, strict=True)
        ]

    def with_reasons(self, items: Sequence[Listed], history: list[str], times: dict[str, Any]) -> list[Listed]:
        """Add the past items that contribute most to each item's score, of those that contribute to it at all."""
        table = self.recommender.explain(history, [item.item_id for item in items], **times)
        names = [item.name for item in self.listed(history)]
        reasons: dict[str, list[Reason]] = {item.item_id: [] for item in items}
        for row in table.iter_rows(named=True):
            own = reasons[row["recommended"]]
            if row["source"] == "item" and row["contribution"] >= LEAST_CONTRIBUTION and len(own) < MOST_REASONS:
                number = len(history) - row["position"]
                own.append(Reason(number, names[number - 1], row["contribution"]))
        return [replace(item, reasons=tuple(reasons[item.item_id])) for item in items]


def ids_of(sample: Any) -> tuple[str, ...]:
    """Return the ids of a sample's history; none if it is of another form."""
    history = sample.get("history") if isinstance(sample, dict) else None
    items = history if isinstance(history, list) else []
    return tuple(str(item.get("item_id")) for item in items if isinstance(item, dict))

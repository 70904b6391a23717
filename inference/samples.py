"""Sample recommendations for the model card."""

from collections.abc import Collection, Sequence
from datetime import date, timedelta
from typing import Any

from seqrec.hub.card_usage import days_until
from seqrec.inference.recommender import Recommender
from seqrec.interactions.catalogue import Catalogue
from seqrec.interactions.events import TIME_COLUMNS
from seqrec.interactions.item_rows import rows_of
from seqrec.interactions.label_columns import is_label
from seqrec.interactions.tokenization_items import ItemTokenizer
from seqrec.modeling.modeling_next_item import NextItemHead

__all__ = ["sample_recommendations"]

NUM_HISTORIES = 3
HISTORY_LENGTH = 3
LIST_LENGTH = 5

Item = dict[str, str | None]


def sample_recommendations(
    model: NextItemHead,
    tokenizer: ItemTokenizer,
    items: Catalogue,
    *,
    exclude_seen: bool = True,
    last_day: str | None = None,
) -> list[dict[str, list[Item]]]:
    """Recommend for histories made up of the most popular items, so that no user's history is published.

    Args:
        model: A trained model.
        tokenizer: Its vocabulary.
        items: Its catalogue.
        exclude_seen: Whether to leave out the items of the history.
        last_day: Last day of the data, as ISO text, for a model that reads times: one item a day is then taken up to
            this day, and the next one is asked for on the day after.

    Returns:
        Up to three samples, `{"history": [item, …], "recommended": [item, …]}`, where an item is
        `{"item_id": …, "title": …}`: the history's items oldest first, and up to five recommended ones, best first.
        An empty list if the model reads further event columns, which popular items do not have; labels may be missing.
    """
    further = {name for name in model.config.event_columns if name != "input_ids" and not is_label(name)}
    if further - TIME_COLUMNS or (further and last_day is None):
        return []
    histories = popular_histories(items)
    times = times_of(histories, date.fromisoformat(last_day), further) if further and last_day else {}
    lists = Recommender(model, tokenizer, items).recommend(
        [[items.item_ids[row] for row in rows] for rows in histories],
        k=min(LIST_LENGTH, len(items)),
        exclude_seen=exclude_seen,
        **times,
    )
    return [
        {
            "history": [{"item_id": items.item_ids[row], "title": items.titles[row]} for row in rows],
            "recommended": [{"item_id": one.item_id, "title": one.title} for one in best],
        }
        for rows, best in zip(histories, lists, strict=True)
        if best
    ]


def times_of(histories: Sequence[Sequence[int]], last_day: date, columns: Collection[str]) -> dict[str, Any]:
    """Return the times of made-up histories, as arguments of `Recommender.recommend`."""
    timestamps = [days_until(last_day, len(history)) for history in histories]
    asked = {"at": (last_day + timedelta(days=1)).isoformat()} if "request_times" in columns else {}
    return {"timestamps": timestamps, **asked}


def popular_histories(items: Catalogue) -> list[list[int]]:
    """Divide the rows of the most popular items among histories, the most popular ones in the first."""
    rows = rows_of(items.by_popularity()[: NUM_HISTORIES * HISTORY_LENGTH]).tolist()
    return [rows[start : start + HISTORY_LENGTH] for start in range(0, len(rows), HISTORY_LENGTH)]

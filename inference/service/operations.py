"""What the service computes. A further operation is a request schema, a function and an entry of `OPERATIONS`."""

import warnings
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from seqrec.errors import InputError
from seqrec.inference.recommendations import Recommendation, Recommendations
from seqrec.inference.service.answer_schemas import ExplainAnswer, PredictAnswer, RecommendAnswer, SimilarAnswer
from seqrec.inference.service.loaded_model import LoadedModel
from seqrec.inference.service.request_schemas import (
    ExplainRequest,
    HistoriesRequest,
    PredictRequest,
    RecommendRequest,
    Request,
    SimilarRequest,
)

__all__ = ["OPERATIONS", "Operation", "answer_together", "group_of"]

Answer = dict[str, Any]
COLUMN = "columns."


@dataclass(frozen=True)
class Operation:
    """Something that clients ask of the model.

    Attributes:
        path: Its path.
        summary: One line about it.
        request: Schema of its requests.
        answer: Schema of its answers.
        run: Answers requests; several only if they are of one group.
        is_batched: Whether requests can be answered together.
        example: The body of a request that works, from ids of three items and the tasks of the model.
    """

    path: str
    summary: str
    request: type[Request]
    answer: type[BaseModel]
    run: Callable[[LoadedModel, Sequence[Any]], list[Answer]]
    example: Callable[[LoadedModel], Answer]
    is_batched: bool = False


def answer_together(loaded: LoadedModel, operation: Operation, requests: Sequence[Request]) -> list[Any]:
    """Answer requests of one group: an answer or an exception for each.

    If the call for all of them fails, each half is tried, so that one bad request does not fail the others.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they quote histories; answers tell what matters
            return operation.run(loaded, requests)
    except Exception as error:
        if len(requests) == 1:
            return [error]
    half = len(requests) // 2
    return [
        answer for part in (requests[:half], requests[half:]) for answer in answer_together(loaded, operation, part)
    ]


def group_of(operation: Operation, request: Request) -> Hashable:
    """Return the group of a request; None if it is answered alone.

    Requests of a group agree in their options, and in what is given for each history. Those with one list of ids for
    many histories are answered alone, because the list is then read once.
    """
    if not operation.is_batched or not isinstance(request, HistoriesRequest):
        return None
    given = request.per_history()
    if request.size > 1 and any(given[name][0] is given[name][-1] for name in request.LISTS if name in given):
        return None
    now = [isinstance(at, str) and at.strip().lower() == "now" for at in given.get("at", ())]
    return operation.path, tuple(map(frozen, request.options().values())), frozenset(given), all(now), any(now)


def frozen(value: Any) -> Hashable:
    """Return a hashable copy of a value read from JSON."""
    if isinstance(value, Mapping):
        return frozenset((name, frozen(one)) for name, one in value.items())
    return tuple(map(frozen, value)) if isinstance(value, list) else (type(value), value)


def recommend_together(loaded: LoadedModel, requests: Sequence[RecommendRequest]) -> list[Answer]:
    """Recommend for requests of one group."""
    histories, options = merged(loaded, requests)
    lists = loaded.recommender.recommend(histories, **requests[0].options(), **options)
    return divided(loaded, requests, map(recommended, lists))


def recommended(found: Recommendations) -> Answer:
    """Describe the recommendations for one history."""
    return {"items": list(map(described, found)), **told(found.unknown_items, is_empty=found.is_popularity)}


def predict_together(loaded: LoadedModel, requests: Sequence[PredictRequest]) -> list[Answer]:
    """Predict for requests of one group."""
    histories, options = merged(loaded, requests)
    frame = loaded.recommender.predict(histories, **requests[0].options(), **options)
    rows = frame.drop("history").rows(named=True)
    lengths = map(len, options["candidates"])
    lists = loaded.unknown_items(histories)
    results, place = [], 0
    for history, unknown, length in zip(histories, lists, lengths, strict=True):
        is_empty = len(unknown) == len(history)
        results.append({"items": rows[place : place + length], **told(unknown, is_empty=is_empty)})
        place += length
    return divided(loaded, requests, iter(results))


def similar_each(loaded: LoadedModel, requests: Sequence[SimilarRequest]) -> list[Answer]:
    """List similar items."""
    return [similar(loaded, request) for request in requests]


def similar(loaded: LoadedModel, request: SimilarRequest) -> Answer:
    """List the items that are similar to one item."""
    if loaded.unknown_items([[request.item_id]])[0]:
        raise InputError(f"The model does not know the item {request.item_id!r}. Give one of its catalogue.")
    found = loaded.recommender.similar_items(request.item_id, request.k)
    return {"items": list(map(described, found)), "model_version": loaded.version}


def explain_each(loaded: LoadedModel, requests: Sequence[ExplainRequest]) -> list[Answer]:
    """Explain the scores of items."""
    return [explained(loaded, request) for request in requests]


def explained(loaded: LoadedModel, request: ExplainRequest) -> Answer:
    """Explain the scores of the items of one request."""
    require_columns(loaded, request.columns or ())
    item_ids = list(dict.fromkeys(map(str, request.item_ids)))
    frame = loaded.recommender.explain(
        request.history,
        item_ids,
        method=request.method,
        timestamps=request.timestamps,
        at=request.at,
        unsorted=request.unsorted,
        unknown=request.unknown,
        **(request.columns or {}),
    )
    reasons: dict[str, list[Answer]] = {item_id: [] for item_id in item_ids}
    for row in frame.rows(named=True):
        reasons[row.pop("recommended")].append(row)
    return {
        "results": [{"item_id": item_id, "reasons": own} for item_id, own in reasons.items()],
        "unknown_items": loaded.unknown_items([request.history])[0],
        "model_version": loaded.version,
    }


def merged(loaded: LoadedModel, requests: Sequence[HistoriesRequest]) -> tuple[list[Any], dict[str, Any]]:
    """Return the histories of all requests, and what is given for each, as the recommender reads it.

    Raises:
        InputError: If the model does not read a column.
    """
    options: dict[str, list[Any]] = {}
    for request in requests:
        for name, values in request.per_history().items():
            options.setdefault(name.removeprefix(COLUMN), []).extend(values)
    require_columns(loaded, requests[0].columns or ())
    return [history for request in requests for history in request.rows], options


def require_columns(loaded: LoadedModel, names: Iterable[str]) -> None:
    """Raise an `InputError` for a column that the model does not read: the recommender could take it for an option."""
    for name in names:
        if name not in loaded.further_columns:
            known = ", ".join(loaded.further_columns) or "none"
            raise InputError(f"The model does not read the column {name!r}; it reads {known}. Leave it out.")


def divided(loaded: LoadedModel, requests: Sequence[HistoriesRequest], results: Iterator[Answer]) -> list[Answer]:
    """Give each request the results of its histories."""
    return [
        {"results": [next(results) for _ in range(request.size)], "model_version": loaded.version}
        for request in requests
    ]


def described(item: Recommendation) -> Answer:
    """Describe an item of a list."""
    return {"item_id": item.item_id, "score": item.score, "title": item.title}


def told(unknown_items: Sequence[str], *, is_empty: bool) -> Answer:
    """Tell how a history was answered."""
    return {"unknown_items": list(unknown_items), "answered_by": "popularity" if is_empty else "model"}


def recommend_example(loaded: LoadedModel) -> Answer:
    """Return a request for recommendations."""
    return {**loaded.example_history, "k": min(5, len(loaded.item_ids))}


def predict_example(loaded: LoadedModel) -> Answer:
    """Return a request for predictions."""
    return {**loaded.example_history, "candidates": loaded.item_ids[-2:]}


def explain_example(loaded: LoadedModel) -> Answer:
    """Return a request for reasons."""
    return {**loaded.example_history, "item_ids": loaded.item_ids[-1:]}


def similar_example(loaded: LoadedModel) -> Answer:
    """Return a request for similar items."""
    return {"item_id": loaded.item_ids[0], "k": min(5, len(loaded.item_ids))}


OPERATIONS = (
    Operation(
        "/recommend",
        "Recommend the items that users will most likely want next.",
        RecommendRequest,
        RecommendAnswer,
        recommend_together,
        recommend_example,
        is_batched=True,
    ),
    Operation(
        "/predict",
        "Predict ratings, and the probabilities of clicks and other outcomes.",
        PredictRequest,
        PredictAnswer,
        predict_together,
        predict_example,
        is_batched=True,
    ),
    Operation(
        "/explain",
        "Tell how much each past item contributes to the scores of items.",
        ExplainRequest,
        ExplainAnswer,
        explain_each,
        explain_example,
    ),
    Operation(
        "/similar",
        "List the items that are most similar to an item.",
        SimilarRequest,
        SimilarAnswer,
        similar_each,
        similar_example,
    ),
)

"""Read the body of a request, and put mistakes into one sentence."""

import difflib
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from seqrec.inference.service.request_schemas import Request
from seqrec.inference.service.service_errors import ServiceError

__all__ = ["read_request"]

SHOWN = 60  # characters of a value in a message
MEANINGS = {
    "history": "item ids, which are texts or integers",
    "histories": "lists of item ids, which are texts or integers",
    "timestamps": "times: ISO text or numbers, one for each item",
    "at": 'a time: ISO text, a number or "now"',
    "columns": "an object: the name of each column and its values",
    "allow": "a list of item ids, or one list for each history",
    "deny": "a list of item ids, or one list for each history",
    "candidates": "a list of item ids, or one list for each history",
    "item_ids": "1 to 20 item ids, which are texts or integers",
    "where": 'a text, such as "year >= 1990"',
    "diversity": "a number from 0 to 1",
    "diversify_by": '"vectors", or the name of a column of the items',
    "max_per": "an object: the name of each column and a number of items of at least 1",
    "popularity_penalty": "a number of at least 0",
    "exploration": "a number of at least 0",
    "seed": "an integer of at least 0",
    "item_id": "an item id, which is a text or an integer",
    "k": "an integer of at least 1",
    "rerank_from": "an integer of at least 1",
    "exclude_seen": "true or false",
    "rank_by": "an object: the name of each score and its weight, a number",
}
NAMED = ("rank_by", "max_per", "columns")  # objects with keys of the client
Body = TypeVar("Body", bound=Request)


def read_request(schema: type[Body], body: bytes) -> Body:
    """Read a request from JSON.

    Raises:
        ServiceError: If the body is not JSON (400), or does not follow the schema (422).
    """
    try:
        return schema.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ServiceError(400 if first["type"] == "json_invalid" else 422, sentence(first, schema)) from None


def sentence(mistake: Mapping[str, Any], schema: type[Request]) -> str:
    """Put a mistake into words."""
    place, kind, given = mistake["loc"], mistake["type"], shown(mistake.get("input"))
    fields = list(schema.model_fields)
    if kind == "json_invalid":
        reason = str(mistake["ctx"]["error"])
        return f"The body is not valid JSON ({reason}). Send an object such as {{{fields[0]!r}: …}}.".replace("'", '"')
    if not place and kind == "value_error":
        return str(mistake["ctx"]["error"])
    if not place:
        return f"The body must be a JSON object with {', '.join(fields)}, but is {given}."
    name = str(place[0])
    if kind == "missing":
        return f"{name} is missing. Give {MEANINGS[name]}."
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(name, fields, n=1)
        advice = f"Did you mean {near[0]}?" if near else f"The options are {', '.join(fields)}."
        return f"There is no option {shown(name)}. {advice}"
    places = "".join(f"[{one!r}]" for one in place[1:] if isinstance(one, int) or name in NAMED)
    expected = MEANINGS.get(name) or f"one of {mistake.get('ctx', {}).get('expected', mistake['msg'])}"
    return f"{name}{places} is {given}, but {name if places else 'it'} must be {expected}."


def shown(value: Any) -> str:
    """Show a value in a message."""
    text = " ".join(repr(value).split())
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"

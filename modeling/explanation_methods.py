"""The methods by which scores are explained, and their results in raw ids.

Shape suffixes: N explained items, L events that the model reads, R histories, K list length.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from seqrec.errors import InputError
from seqrec.interactions.histories import Histories
from seqrec.interactions.item_rows import rows_of
from seqrec.modeling.explanation import Explanation
from seqrec.modeling.explanation_attention import attention_rollout, last_attention
from seqrec.modeling.explanation_gradients import integrated_gradients
from seqrec.modeling.explanation_leave_one_out import leave_one_out
from seqrec.search.retriever import Retriever

__all__ = [
    "METHODS",
    "contribution_functions",
    "explain_history",
    "explain_lists",
    "method_named",
    "most_important",
    "reasons_of",
]

ITEM = "item"
METHODS: dict[str, Callable[..., Explanation]] = {
    "leave_one_out": leave_one_out,
    "integrated_gradients": integrated_gradients,
    "attention_rollout": attention_rollout,
}
NEED_ATTENTION = ("attention_rollout", "last_attention")
SIMPLE_METHODS = {"last_attention": last_attention}  # to compare the others with


def method_named(method: Any, *, default: str = "leave_one_out") -> str:
    """Return a method's name; `True` stands for the default.

    Raises:
        InputError: If it does not exist.
    """
    if method is True:
        return default
    if not (isinstance(method, str) and method in METHODS):
        raise InputError(f"method must be one of {', '.join(map(repr, METHODS))}, but is {method!r}.")
    return method


def explain_history(
    retriever: Retriever, history: Histories, token_ids_N: np.ndarray, method: str = "leave_one_out"
) -> Explanation:
    """Explain the scores of items for a history that is not empty.

    Args:
        retriever: What answers requests; its encoder is the model.
        history: One row with at least one event.
        token_ids_N: Token ids of the items to explain.
        method: Name of one of `METHODS` or `SIMPLE_METHODS`.

    Raises:
        InputError: If the method needs attention weights that the architecture does not have.
    """
    with torch.no_grad():
        items_ND = retriever.encoder.encode_items(torch.from_numpy(token_ids_N).to(retriever.index.device))
    return {**METHODS, **SIMPLE_METHODS}[method](retriever, history, items_ND)


def contribution_functions(retriever: Retriever) -> dict[str, Callable[[Histories, int], np.ndarray]]:
    """Return functions from a history and an item's token id to contributions (L), by the methods that suit a model.

    They include `last_attention`, to compare the others with.
    """

    def function(method: str) -> Callable[[Histories, int], np.ndarray]:
        return lambda history, token_id: explain_history(
            retriever, history, np.array([token_id]), method
        ).contributions_NL[0]

    model: Any = retriever.encoder
    names = [name for name in (*METHODS, *SIMPLE_METHODS) if model.uses_attention or name not in NEED_ATTENTION]
    return {name: function(name) for name in names}


def reasons_of(
    explanation: Explanation, item_ids: Sequence[str], titles: Sequence[str | None]
) -> list[list[dict[str, Any]]]:
    """Return, for each explained item, the past items that contribute to its score, the highest contribution first.

    Args:
        explanation: Contributions of L events.
        item_ids: Raw ids of the items of these events, the oldest first.
        titles: Their titles.

    Returns:
        Lists of dictionaries: `source` ("item", or the name of another source, which come last), `position` (0 for the
        newest event, 1 for the one before it, …), `item_id`, `title`, `contribution`, and `from_…` for each part. Other
        sources have None for position, id, title and parts.
    """
    places = [*range(len(item_ids) - 1, -1, -1)]
    found = []
    for row, values_L in enumerate(explanation.contributions_NL.tolist()):
        parts = {f"from_{name}": shares_NL[row].tolist() for name, shares_NL in explanation.parts.items()}
        reasons = [
            {
                "source": ITEM,
                "position": places[event],
                "item_id": item_ids[event],
                "title": titles[event],
                "contribution": values_L[event],
                **{name: shares[event] for name, shares in parts.items()},
            }
            for event in np.argsort(-explanation.contributions_NL[row], kind="stable").tolist()
        ]
        for source, values_N in explanation.others.items():
            nothing = dict.fromkeys(("position", "item_id", "title"))
            reasons.append({"source": source, **nothing, "contribution": float(values_N[row]), **dict.fromkeys(parts)})
        found.append(reasons)
    return found


def most_important(reasons: list[dict[str, Any]], number: int | None) -> list[dict[str, Any]]:
    """Return the first past items of a list of reasons, and its other sources; all if `number` is None."""
    num_items = sum(one["source"] == ITEM for one in reasons)
    return reasons if number is None else reasons[:number] + reasons[max(number, num_items) :]


def explain_lists(
    retriever: Retriever,
    histories: Histories,
    token_ids_RK: np.ndarray,
    method: Any,
    item_ids: Sequence[str],
    titles: Sequence[str | None],
) -> list[list[list[dict[str, Any]]]]:
    """Explain the recommended items of several histories; see `reasons_of`. Empty histories have no reasons.

    Args:
        retriever: What answered the requests.
        histories: The histories R.
        token_ids_RK: Their lists, 0 in empty places, which come last.
        method: See `method_named`.
        item_ids: Raw ids of the catalogue, in the order of the token ids.
        titles: Titles in the same order.
    """
    name = method_named(method)
    found: list[list[list[dict[str, Any]]]] = []
    for row, token_ids_K in enumerate(token_ids_RK):
        token_ids_N, history = token_ids_K[token_ids_K > 0], histories.select([row])
        if not histories.lengths_R[row]:
            found.append([[] for _ in token_ids_N])
            continue
        explanation = explain_history(retriever, history, token_ids_N, name)
        past_L = rows_of(history.newest(retriever.max_length).compact(["input_ids"])[0]["input_ids"]).tolist()
        found.append(reasons_of(explanation, [item_ids[past] for past in past_L], [titles[past] for past in past_L]))
    return found

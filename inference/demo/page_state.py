"""The state of somebody's page, and how clicks and settings change it, without anything of the page's looks."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from seqrec.errors import SeqrecError
from seqrec.inference.demo.demo_model import Answer, Choices, DemoModel, Listed
from seqrec.interactions.one_line import one_line

__all__ = ["NO_ANSWER", "Opened", "PageState", "after_click", "refreshed"]

T = TypeVar("T")
logger = logging.getLogger("seqrec.demo")
NO_ANSWER = Answer(())
NO_ITEMS: tuple[Listed, ...] = ()
MOST_EVENTS = 500  # more cannot be clicked by hand


@dataclass(frozen=True)
class Opened:
    """An item whose similar items are shown.

    Attributes:
        place: `"history"` or `"list"`.
        key: Number of the event in the history, or id of the item in the list.
        similar: The similar items, best first.
    """

    place: str
    key: str
    similar: tuple[Listed, ...]


@dataclass(frozen=True)
class PageState:
    """A history, the answer to it, and the item whose similar items are shown.

    Attributes:
        history: Raw ids, oldest first.
        choices: The settings of the answer; None if the history is not yet answered.
        answer: The last answer.
        problem: Why there is no answer, as a sentence; empty if there is one.
        opened: See `Opened`.
    """

    history: tuple[str, ...] = ()
    choices: Choices | None = None
    answer: Answer = NO_ANSWER
    problem: str = ""
    opened: Opened | None = None


def refreshed(model: DemoModel, state: PageState, choices: Choices) -> PageState:
    """Return the state with the answer to its history; the same state if it has that answer."""
    if state.choices == choices:
        return state
    answer, problem = attempt(lambda: model.recommend(state.history, choices), NO_ANSWER)
    return replace(state, choices=choices, answer=answer, problem=problem, opened=None)


def after_click(model: DemoModel, state: PageState, act: str, key: str, choices: Choices) -> PageState:
    """Return the state after a click.

    Args:
        model: The model.
        state: The state before it.
        act: `"add"` an item, `"remove"` an event, `"clear"` the history, take an `"example"`, or show the items similar
            to one of the `"history"` or of the `"list"`; a second click hides them. Anything else changes nothing.
        key: The item's raw id; the number of the event or of the example, from 0.
        choices: The settings.
    """
    if act in ("history", "list"):
        return with_similar(model, state, act, key, choices)
    history = changed_history(model, state.history, act, key)
    if history == state.history:
        return state
    return refreshed(model, replace(state, history=history, choices=None), choices)


def changed_history(model: DemoModel, history: tuple[str, ...], act: str, key: str) -> tuple[str, ...]:
    """Return the history after a click."""
    if act == "add" and model.row_of_id(key) is not None:
        return (*history, key)[-MOST_EVENTS:]
    if act == "remove" and (place := place_in(history, key)) is not None:
        return history[:place] + history[place + 1 :]
    if act == "clear":
        return ()
    if act == "example" and (place := place_in(model.examples, key)) is not None:
        return model.examples[place]
    return history


def with_similar(model: DemoModel, state: PageState, place: str, key: str, choices: Choices) -> PageState:
    """Return the state with the items shown that are similar to one, or hidden if they were shown."""
    if state.opened is not None and (state.opened.place, state.opened.key) == (place, key):
        return replace(state, opened=None)
    number = place_in(state.history, key) if place == "history" else None
    item_id = key if number is None else state.history[number]
    if model.row_of_id(item_id) is None:
        return state
    similar, problem = attempt(lambda: tuple(model.similar(item_id, choices.columns)), NO_ITEMS)
    return replace(state, problem=problem, opened=Opened(place, key, similar))


def place_in(values: Sequence[object], key: str) -> int | None:
    """Return the place that a key names; None if there is no such place."""
    return int(key) if key.isascii() and key.isdigit() and int(key) < len(values) else None


def attempt(compute: Callable[[], T], otherwise: T) -> tuple[T, str]:
    """Return the result and no problem; if it fails, another value, and the reason as a sentence."""
    try:
        return compute(), ""
    except SeqrecError as error:
        return otherwise, str(error)
    except Exception as error:
        logger.exception("The demo page could not answer.")
        return otherwise, f"Something went wrong ({type(error).__name__}: {one_line(error)}). The log tells more."

"""Clicks and settings change the page's state; errors become sentences."""

import pytest

from seqrec.inference.demo.demo_model import Choices
from seqrec.inference.demo.page_state import PageState, after_click, refreshed

CHOICES = Choices(k=3)


def clicked(model, *clicks, state=None):
    state = state or PageState()
    for act, key in clicks:
        state = after_click(model, state, act, key, CHOICES)
    return state


def test_a_history_is_clicked_together(plain):
    state = clicked(plain, ("add", "item 3"), ("add", "item 8"), ("add", "item 3"))
    assert state.history == ("item 3", "item 8", "item 3")
    assert state.answer == plain.recommend(state.history, CHOICES)
    state = clicked(plain, ("remove", "0"), state=state)
    assert state.history == ("item 8", "item 3")
    state = clicked(plain, ("clear", ""), state=state)
    assert state.history == ()
    assert state.answer.is_popularity


@pytest.mark.parametrize(
    "click", [("add", "unknown"), ("remove", "7"), ("remove", "-1"), ("remove", "²"), ("example", "0"), ("list", "?")]
)
def test_clicks_on_nothing_change_nothing(plain, click):
    before = clicked(plain, ("add", "item 3"))
    assert clicked(plain, click, state=before) == before


def test_similar_items_open_and_close(plain):
    state = clicked(plain, ("add", "item 3"), ("add", "item 8"), ("history", "1"))
    assert state.opened.similar == tuple(plain.similar("item 8"))
    listed = state.answer.items[0].item_id
    state = clicked(plain, ("list", listed), state=state)
    assert (state.opened.place, state.opened.key) == ("list", listed)
    assert refreshed(plain, state, CHOICES) == state  # as when somebody leaves a text unchanged
    assert refreshed(plain, state, Choices(k=4)).opened is None
    assert clicked(plain, ("list", listed), state=state).opened is None
    assert clicked(plain, ("add", "item 1"), state=state).opened is None


def test_errors_are_sentences(plain, monkeypatch):
    state = clicked(plain, ("add", "item 3"))
    wrong = refreshed(plain, state, Choices(where="yaer > 1"))
    assert "no column 'yaer'" in wrong.problem
    assert wrong.answer.items == ()
    assert refreshed(plain, wrong, CHOICES) == state
    monkeypatch.setattr(plain.recommender, "similar_items", lambda *_: 1 / 0)
    bug = clicked(plain, ("history", "0"), state=state)
    assert bug.problem == "Something went wrong (ZeroDivisionError: division by zero). The log tells more."
    assert bug.answer == state.answer

"""The parts of the page as HTML. All text is escaped, also for the templates of the page."""

from collections.abc import Collection, Sequence
from html import escape

from seqrec.inference.demo.demo_model import Answer, Listed
from seqrec.inference.demo.page_state import Opened

__all__ = ["found_html", "header_html", "history_html", "list_html"]

FOR_TEMPLATES = str.maketrans({"{": "&#123;", "}": "&#125;", "$": "&#36;", "`": "&#96;"})


def text(value: object) -> str:
    """Return text for HTML and for the quotes of an attribute."""
    return escape(str(value)).translate(FOR_TEMPLATES)


def header_html(name: str, num_items: int, facts: Sequence[str], card: str) -> str:
    """Return the heading of the page.

    Args:
        name: The model's name.
        num_items: Number of items of its catalogue.
        facts: Further facts about it.
        card: Address of the model's card; empty without one.
    """
    told = [f"{num_items:,} items", *facts]
    link = f'<a href="{text(card)}"{target(card)}>Model card</a>' if card else ""
    return (
        f'<header class="sr-header"><div><h1>{text(name)}</h1><p>{text(" · ".join(told))}</p></div>'
        f"<nav>{link}</nav></header>"
    )


def target(address: str) -> str:
    """Return the attributes of a link that opens other sites in a tab of their own."""
    return ' target="_blank" rel="noopener noreferrer"' if address.startswith("http") else ""


def found_html(query: str, found: Sequence[Listed], history: Collection[str]) -> str:
    """Return the items that a search found."""
    if not found:
        return f'<p class="sr-empty" role="status">No title contains “{text(query.strip())}”.</p>'
    told = "Popular items" if not query.strip() else "Found items"
    lines = "".join(f"<li>{add_button(item, history)}</li>" for item in found)
    return f'<p class="sr-caption" role="status">{told}</p><ul class="sr-found" aria-label="{told}">{lines}</ul>'


def add_button(item: Listed, history: Collection[str]) -> str:
    """Return a button that appends an item to the history."""
    mark = "✓" if item.item_id in history else "+"
    return (
        f'<button type="button" class="sr-add" data-act="add" data-key="{text(item.item_id)}" '
        f'aria-label="Add {text(item.name)} to the history"><span class="sr-mark" aria-hidden="true">{mark}</span>'
        f'<span class="sr-name">{text(item.name)}</span>{facts_html(item.facts)}</button>'
    )


def facts_html(facts: Sequence[str]) -> str:
    """Return the columns of an item."""
    return f'<span class="sr-facts">{text(" · ".join(facts))}</span>' if facts else ""


def history_html(items: Sequence[Listed], examples: Sequence[Sequence[Listed]], opened: Opened | None) -> str:
    """Return the history, or examples if it is empty.

    Args:
        items: The items of the history, oldest first.
        examples: Histories to begin with.
        opened: The item whose similar items are shown.
    """
    if not items:
        told = '<p class="sr-empty">Click items in the order in which somebody took them.</p>'
        return f"<h2>History</h2>{told}{examples_html(examples)}"
    lines = "".join(event_html(number, item, opened) for number, item in enumerate(items))
    return (
        '<div class="sr-row"><h2>History</h2><span class="sr-caption">oldest first</span>'
        '<button type="button" class="sr-small" data-act="clear" data-key="">Clear</button></div>'
        f'<ol class="sr-history" aria-label="History, oldest first">{lines}</ol>'
    )


def event_html(number: int, item: Listed, opened: Opened | None) -> str:
    """Return one event of the history."""
    is_open = opened is not None and (opened.place, opened.key) == ("history", str(number))
    similar = similar_html(item.name, opened.similar) if is_open and opened else ""
    return (
        f'<li><div class="sr-event"><span class="sr-number">{number + 1}</span>'
        f'<span class="sr-name">{text(item.name)}</span>{similar_button("history", str(number), item.name, is_open)}'
        f'<button type="button" class="sr-small sr-remove" data-act="remove" data-key="{number}" '
        f'aria-label="Remove {text(item.name)}, event {number + 1}">×</button></div>{similar}</li>'
    )


def examples_html(examples: Sequence[Sequence[Listed]]) -> str:
    """Return buttons for histories to begin with."""
    if not examples:
        return ""
    buttons = "".join(
        f'<li><button type="button" class="sr-example" data-act="example" data-key="{number}">'
        f"{text(' → '.join(item.name for item in items))}</button></li>"
        for number, items in enumerate(examples)
    )
    return f'<p class="sr-caption">Or take an example</p><ul class="sr-examples" aria-label="Examples">{buttons}</ul>'


def list_html(answer: Answer, problem: str, num_events: int, opened: Opened | None) -> str:
    """Return the recommended items.

    Args:
        answer: The list.
        problem: Why there is none, or none of similar items; empty if all went well.
        num_events: Length of the history.
        opened: The item whose similar items are shown.
    """
    notes = "".join(f'<p class="sr-note">{text(note)}</p>' for note in answer.notes)
    told = f'<p class="sr-problem" role="alert">{text(problem)}</p>' if problem else ""
    if not answer.items:
        nothing = "" if problem else '<p class="sr-empty">No item is left to recommend.</p>'
        return f"<h2>Recommendations</h2>{told}{nothing}{notes}"
    lines = "".join(
        listed_html(rank, item, opened, with_score=not answer.is_popularity)
        for rank, item in enumerate(answer.items, start=1)
    )
    return (
        f'<div class="sr-row"><h2>Recommendations</h2><span class="sr-caption" role="status">'
        f"{heading(len(answer.items), num_events, answer.is_popularity)}</span></div>{told}{notes}"
        f'<ol class="sr-list" aria-label="Recommendations">{lines}</ol>'
    )


def heading(num_items: int, num_events: int, is_popularity: bool) -> str:
    """Say what a list holds."""
    if is_popularity:
        return "popular items, as the history is empty" if not num_events else "popular items"
    return f"{num_items} after {num_events} {'event' if num_events == 1 else 'events'}"


def listed_html(rank: int, item: Listed, opened: Opened | None, *, with_score: bool) -> str:
    """Return one recommended item."""
    is_open = opened is not None and (opened.place, opened.key) == ("list", item.item_id)
    similar = similar_html(item.name, opened.similar) if is_open and opened else ""
    score = score_html(item.score, "Score; compare it within this list only") if with_score else ""
    return (
        f'<li><div class="sr-item"><span class="sr-number">{rank}</span>{add_button(item, ())}'
        f'<div class="sr-side">{predictions_html(item)}{score}'
        f"{similar_button('list', item.item_id, item.name, is_open)}</div>{reasons_html(item)}</div>{similar}</li>"
    )


def score_html(score: float | None, meaning: str) -> str:
    """Return a score with as many digits as can be read."""
    return "" if score is None else f'<span class="sr-score" title="{meaning}">{score:.2f}</span>'


def predictions_html(item: Listed) -> str:
    """Return the predictions for an item: a rating, and probabilities in percent."""
    shown = [
        f"{task} {value:.1f}" if task == "rating" else f"{task} {100 * value:.0f} %" for task, value in item.predictions
    ]
    return "".join(f'<span class="sr-prediction">{text(one)}</span>' for one in shown)


def reasons_html(item: Listed) -> str:
    """Return the past items that speak for an item."""
    if item.reasons is None:
        return ""
    if not item.reasons:
        return '<div class="sr-reasons"><span class="sr-caption">no event of the history speaks for it</span></div>'
    told = "".join(
        f'<span class="sr-reason">{one.number}. {text(one.name)} <b>{one.contribution:+.2f}</b></span>'
        for one in item.reasons
    )
    return f'<div class="sr-reasons"><span class="sr-caption">because of</span>{told}</div>'


def similar_button(place: str, key: str, name: str, is_open: bool) -> str:
    """Return a button that shows or hides similar items."""
    return (
        f'<button type="button" class="sr-small" data-act="{place}" data-key="{text(key)}" '
        f'aria-expanded="{str(is_open).lower()}" aria-label="Items similar to {text(name)}">Similar</button>'
    )


def similar_html(name: str, items: Sequence[Listed]) -> str:
    """Return the items that are similar to one, with cosine similarities."""
    lines = "".join(f"<li>{add_button(item, ())}{score_html(item.score, 'Cosine similarity')}</li>" for item in items)
    told = f"Similar to {text(name)}"
    return f'<div class="sr-similar"><p class="sr-caption">{told}</p><ul aria-label="{told}">{lines}</ul></div>'

"""The page that Gradio shows: the only module here that imports it. What it shows is decided by the others."""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # must be set before Gradio is imported

import gradio as gr

from seqrec.inference.demo.demo_html import found_html, header_html, history_html, list_html
from seqrec.inference.demo.demo_model import Choices, DemoModel
from seqrec.inference.demo.page_state import PageState, after_click, refreshed
from seqrec.inference.demo.shown_card import ShownCard

__all__ = ["build_page", "launch_options"]

FOLDER = Path(__file__).parent
BY_SCORE = "score"
FONTS = ("Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif")  # none is downloaded
PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
ONE_AT_A_TIME: dict[str, Any] = {**PRIVATE, "concurrency_id": "model", "concurrency_limit": 1}


def build_page(model: DemoModel, card: ShownCard) -> gr.Blocks:
    """Lay the page out, and connect its parts.

    Args:
        model: Answers the page.
        card: The model's card.
    """
    model.found("")  # indexes the titles, before anybody waits for it
    with gr.Blocks(title=f"{model.name} · seqrec", analytics_enabled=False) as page:
        gr.HTML(header_html(model.name, model.num_items, card.facts, card.address), **html("header.js"))
        with gr.Row(equal_height=False):
            with gr.Column(scale=2, min_width=300, elem_classes=["sr-panel"]):
                query = gr.Textbox(label="Search items", placeholder="Title or id", autofocus=True, elem_id="search")
                found = clickable("found")
                history = clickable("history")
            with gr.Column(scale=3, min_width=300, elem_classes=["sr-panel"]):
                settings = Settings(model)
                recommended = clickable("recommended")
        if card.text:
            with gr.Accordion("Model card", open=False, elem_id="model-card", elem_classes=["sr-panel"]):
                gr.Markdown(card.text)
        Connections(model, query, settings, (found, history, recommended)).connect(page)
    return page


def launch_options() -> dict[str, Any]:
    """Return the looks of the page, as arguments of `launch`."""
    theme = gr.themes.Base(primary_hue="indigo", neutral_hue="slate", font=FONTS, font_mono=("monospace",))
    return {
        "theme": theme.set(body_text_color_subdued="*neutral_500", body_text_color_subdued_dark="*neutral_400"),
        "css_paths": [FOLDER / "page.css"],
        "footer_links": [],
        "ssr_mode": False,
        "enable_monitoring": False,
        "run_history": False,
        "show_error": False,
        "quiet": True,
    }


def html(script: str) -> dict[str, Any]:
    """Return arguments of HTML with our own looks and a script."""
    return {
        "apply_default_css": False,
        "elem_classes": ["sr"],
        "js_on_load": (FOLDER / script).read_text(encoding="utf-8"),
    }


def clickable(name: str) -> gr.HTML:
    """Return HTML whose buttons tell what was clicked."""
    return gr.HTML(elem_id=name, **html("buttons.js"))


class Settings:
    """The settings above the list."""

    def __init__(self, model: DemoModel) -> None:
        facts = model.facts
        with gr.Row(elem_classes=["sr-settings"]):
            self.k = slider("Length", 1, model.most_listed, min(10, model.most_listed), 1)
            self.diversity = slider("Diversity", 0, 1, 0, 0.1)
            self.with_reasons = gr.Checkbox(label="Give reasons", elem_id="reasons", container=False, min_width=120)
        tasks = [BY_SCORE, *model.tasks]
        with gr.Accordion("Filter and columns", open=False, elem_id="filter"):
            with gr.Row():
                self.where = gr.Textbox(
                    label="Only items where", placeholder=facts.example(facts.columns[0]), elem_id="where", scale=3
                )
                self.column = gr.Dropdown(
                    facts.columns, value=None, label="Example for a column", elem_id="column", scale=2, min_width=140
                )
            with gr.Row():
                self.columns = gr.Dropdown(
                    facts.columns, value=facts.first_columns, multiselect=True, label="Show columns", elem_id="columns"
                )
                self.rank_by = gr.Dropdown(
                    tasks, value=BY_SCORE, label="Rank by", elem_id="rank_by", visible=len(tasks) > 1, min_width=140
                )

    @property
    def inputs(self) -> list[gr.components.Component]:
        """The settings, in the order of `choices_of`."""
        return [self.k, self.diversity, self.where, self.columns, self.with_reasons, self.rank_by]

    @property
    def events(self) -> list[Any]:
        """The events that change the list."""
        sliders = [event for one in (self.k, self.diversity) for event in (one.input, one.release)]
        return [*sliders, self.with_reasons.input, self.where.submit, self.where.blur, self.rank_by.input]


def slider(label: str, least: float, most: float, value: float, step: float) -> gr.Slider:
    """Return a slider; a number typed out of range counts as the nearest within it."""
    found = gr.Slider(least, most, value, step=step, label=label, elem_id=label.lower(), buttons=[], min_width=130)
    found.preprocess = partial(within, least, most)  # a subclass would make Gradio write a file next to this module
    return found


def within(least: float, most: float, number: float | None) -> float:
    """Return the nearest number of a range; its least without a number."""
    return least if number is None else min(max(number, least), most)


def choices_of(
    k: float, diversity: float, where: str | None, columns: Sequence[str], with_reasons: bool, rank_by: str
) -> Choices:
    """Return the settings as the page has them."""
    task = "" if rank_by == BY_SCORE else rank_by
    return Choices(int(k), float(diversity), where or "", tuple(columns), bool(with_reasons), task)


class Connections:
    """Connects the parts of the page with the model.

    Args:
        model: Answers the page.
        query: The text to search for.
        settings: The settings.
        shown: Where found items, the history and the list are shown.
    """

    def __init__(
        self, model: DemoModel, query: gr.Textbox, settings: Settings, shown: tuple[gr.HTML, gr.HTML, gr.HTML]
    ) -> None:
        self.model, self.query, self.settings, self.shown = model, query, settings, shown

    def connect(self, page: gr.Blocks) -> None:
        """Show the first list, and answer clicks, typing and changed settings."""
        settings = self.settings
        state = gr.State(PageState())
        found, history, recommended = self.shown
        inputs, outputs = [state, *settings.inputs], [state, history, recommended]
        searching = {
            "fn": self.search,
            "inputs": [state, self.query, settings.columns],
            "outputs": found,
            "queue": False,
            **PRIVATE,
        }
        self.query.change(trigger_mode="always_last", **searching)
        # Marks of found items follow an answer by a search for the text of that moment, which may be a newer one.
        page.load(self.refresh, inputs, outputs, **ONE_AT_A_TIME).then(**searching)
        for one in self.shown:
            one.click(self.click, inputs, outputs, **ONE_AT_A_TIME).then(**searching)
        settings.columns.input(self.refresh, inputs, outputs, **ONE_AT_A_TIME).then(**searching)
        for event in settings.events:
            event(self.refresh, inputs, outputs, trigger_mode="always_last", **ONE_AT_A_TIME)
        filled = settings.column.input(self.model.facts.example, settings.column, settings.where, **PRIVATE)
        filled.then(self.refresh, inputs, outputs, **ONE_AT_A_TIME)

    def search(self, state: PageState, query: str, columns: Sequence[str]) -> str:
        """Return the found items."""
        return found_html(query, self.model.found(query, columns), state.history)

    def refresh(self, state: PageState, *settings: Any) -> tuple[PageState, str, str]:
        """Answer the history with other settings."""
        return self.display(refreshed(self.model, state, choices_of(*settings)))

    def click(self, state: PageState, event: gr.EventData, *settings: Any) -> tuple[PageState, str, str]:
        """Answer a click."""
        return self.display(after_click(self.model, state, str(event.act), str(event.key), choices_of(*settings)))

    def display(self, state: PageState) -> tuple[PageState, str, str]:
        """Return a state, and how its history and list are shown."""
        model = self.model
        examples = [] if state.history else [model.listed(one) for one in model.examples]
        return (
            state,
            history_html(model.listed(state.history), examples, state.opened),
            list_html(state.answer, state.problem, len(state.history), state.opened),
        )

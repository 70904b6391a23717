"""Text of the data is shown as it is, and never acts as HTML or as part of a template."""

import re
from dataclasses import replace

from seqrec.inference.demo.demo_html import found_html, header_html, history_html, list_html
from seqrec.inference.demo.demo_model import Answer, Listed, Reason
from seqrec.inference.demo.page_state import Opened

EVIL = "<script>\"'${value}{{value}}`&"
ITEM = Listed(EVIL, EVIL, (EVIL,), 1.234, ((EVIL, 0.5), ("rating", 3.21)), (Reason(2, EVIL, 0.5),))
OPENED = (None, Opened("list", EVIL, (ITEM,)), Opened("history", "0", (ITEM,)))


def test_nothing_of_the_data_acts():
    for opened in OPENED:
        parts = [
            header_html(EVIL, 1, [EVIL], EVIL),
            found_html(EVIL, [ITEM], []),
            found_html(EVIL, [], []),
            history_html([ITEM], [], opened),
            history_html([], [[ITEM]], opened),
            list_html(Answer((ITEM,), notes=(EVIL,)), EVIL, 1, opened),
        ]
        for part in parts:
            assert "&lt;script&gt;" in part
            assert not re.search(r"<script|[{}$`]", part)
            assert re.sub(r'<[a-z0-9]+( [a-z-]+="[^"<>]*")*>|</[a-z0-9]+>', "", part).count("<") == 0


def test_lists_say_what_they_hold():
    answer = Answer((ITEM,))
    assert "1 after 1 event<" in list_html(answer, "", 1, None)
    assert "1 after 2 events<" in list_html(answer, "", 2, None)
    assert "1.23" in list_html(answer, "", 2, None)
    popular = list_html(Answer((ITEM,), is_popularity=True), "", 0, None)
    assert "popular items" in popular
    assert "1.23" not in popular
    assert "No item is left" in list_html(Answer(()), "", 1, None)
    assert "No item is left" not in list_html(Answer(()), "Wrong.", 1, None)
    assert 'role="alert">Wrong.<' in list_html(Answer(()), "Wrong.", 1, None)


def test_predictions_and_reasons():
    shown = list_html(Answer((ITEM,)), "", 2, None)
    assert "rating 3.2" in shown
    assert " 50 %" in shown
    assert "<b>+0.50</b>" in shown
    assert "no event" in list_html(Answer((replace(ITEM, reasons=()),)), "", 2, None)
    assert "event of" not in list_html(Answer((replace(ITEM, reasons=None),)), "", 2, None)


def test_buttons_have_names():
    shown = history_html([ITEM], [], OPENED[2]) + list_html(Answer((ITEM,)), "", 1, OPENED[1])
    buttons = re.findall(r"<button[^>]*>[^<]*", shown)
    assert all("aria-label=" in button or button.split(">")[1] for button in buttons)
    assert shown.count('aria-expanded="true"') == 2

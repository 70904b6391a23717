"""Tables for a terminal fit it, and show control characters in ids and titles instead of sending them."""

import io

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from seqrec.evaluation.tables import align, display_width, metrics_table, printable, shorten, terminal_width, wrap

HOSTILE = {
    "\x1b[2J": "\\x1b[2J",
    "\x9b2J": "\\x9b2J",
    "a\nb\rc\td": "a\\nb\\rc\\td",
    "a\x00b\x7f": "a\\x00b\\x7f",
    "\u202eevil\u2066": "\\u202eevil\\u2066",
    "one\u2028two\u2029": "one\\u2028two\\u2029",
    "\ufeffid": "\\ufeffid",
    "\U000e0041": "\\U000e0041",
    "\ud800": "\\ud800",
}


@pytest.mark.parametrize("text", HOSTILE)
def test_what_commands_a_terminal_is_escaped(text):
    assert printable(text) == HOSTILE[text]
    assert printable(text).encode("utf-8")


@pytest.mark.parametrize(
    "text", ["", "Amélie (2001)", "千と千尋の神隠し", "a\u00a0b\u3000c", "می\u200cخواهم", "👩\u200d👩", "\\x1b"]
)
def test_what_can_be_read_is_left_as_it_is(text):
    assert printable(text) == text


def test_a_table_has_a_line_for_each_row_whatever_its_cells_hold():
    table = align([["id", "score"], ["a\nb\x1b[2J", "1"]], left_columns=1)
    assert table.splitlines() == ["id           score", "a\\nb\\x1b[2J      1"]


def test_columns_line_up_below_wide_characters():
    assert align([["名前", "1"], ["ab", "22"]], left_columns=1).splitlines() == ["名前   1", "ab    22"]


FIGURES = {
    ranker: {"test": dict.fromkeys(("ndcg@10", "hr@10", "mrr@10", "coverage@10", "novelty@10"), 0.5)}
    for ranker in ("model", "popularity", "item_knn")
}


@pytest.mark.parametrize(
    ("width", "last"), [(None, "novelty@10"), (80, "novelty@10"), (60, "coverage@10"), (45, "mrr@10"), (9, "ndcg@10")]
)
def test_metrics_that_do_not_fit_are_left_out(width, last):
    lines = metrics_table(FIGURES, width=width).splitlines()
    assert lines[0].endswith(last)
    assert {len(line) for line in lines} == {len(lines[0])}


@given(st.text(), st.integers(1, 30))
@example("00\u094d00", 3)  # a character without a width of its own
def test_a_shortened_text_fits_and_is_the_text_s_beginning(text, width):
    found = shorten(text, width)
    assert display_width(found) <= width
    assert found == text or (found.endswith("…") and text.startswith(found[:-1]))


@given(st.lists(st.text("ab", min_size=1, max_size=9), min_size=1), st.integers(12, 60))
def test_a_text_is_broken_between_words(words, width):
    text = " ".join(words)
    broken = wrap(text, width)
    assert broken.replace("\n  ", " ") == text
    assert max(map(len, broken.split("\n"))) <= width
    assert wrap(text, None) == text


def test_a_word_that_is_too_long_is_not_broken():
    assert wrap("see /a/very/long/path-of-a/file now", 10).splitlines() == [
        "see",
        "  /a/very/long/path-of-a/file",
        "  now",
    ]


def test_what_is_no_terminal_has_no_width():
    closed = io.StringIO()
    closed.close()
    assert [terminal_width(stream) for stream in (None, io.StringIO(), closed)] == [None] * 3

"""Tables for a terminal show control characters in ids and titles instead of sending them."""

import pytest

from seqrec.evaluation.tables import align, printable

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

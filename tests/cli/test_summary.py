"""Tables of recommendations fit a terminal: titles are shortened first."""

import numpy as np
import pytest

from seqrec.cli.parsers import split_ids
from seqrec.cli.summary import next_command, recommendations_table, saved_line
from seqrec.evaluation.tables import display_width
from seqrec.inference.recommendations import Recommendation
from seqrec.interactions.seconds import to_datetimes

FOUND = [
    Recommendation("item-00017", 12.3456, "The Empire Strikes Back"),
    Recommendation("x", -0.5, "千と千尋の神隠し"),
]


def test_without_a_terminal_nothing_is_shortened():
    assert recommendations_table(FOUND).splitlines() == [
        "rank  item_id     score   title",
        "1     item-00017  12.346  The Empire Strikes Back",
        "2     x           -0.500  千と千尋の神隠し",
    ]


@pytest.mark.parametrize(
    ("width", "lines"),
    [
        (40, ["rank  item_id     score   title", "1     item-00017  12.346  The Empire St…",
              "2     x           -0.500  千と千尋の神…"]),
        (32, ["rank  item_id     title", "1     item-00017  The Empire St…", "2     x           千と千尋の神…"]),
        (29, ["rank  item_id", "1     item-00017", "2     x"]),
        (12, ["rank  item_id", "1     item-…", "2     x"]),
    ],
)  # fmt: skip
def test_a_narrow_terminal_shortens_titles_and_then_leaves_out_columns(width, lines):
    assert recommendations_table(FOUND, width=width).splitlines() == lines


@pytest.mark.parametrize("width", range(13, 90))
def test_no_line_is_wider_than_the_terminal(width):
    assert max(map(display_width, recommendations_table(FOUND, width=width).splitlines())) <= width


def test_titles_that_a_console_cannot_show_are_measured_as_it_shows_them(monkeypatch):
    class Ascii:
        encoding = "ascii"

    monkeypatch.setattr("sys.stdout", Ascii())
    lines = recommendations_table(FOUND, width=40).splitlines()
    assert lines[1:] == [
        "1     item-00017  12.346  The Empire...",
        r"2     x           -0.500  \u5343\u306...",
    ]


def test_the_next_command_is_broken_between_flags_and_stays_one_command():
    folder, history = "runs/a model of ours", ["i1", "a, b", "i3"]
    whole = next_command(folder, history)
    assert "\n" not in whole
    broken = next_command(folder, history, 40)
    assert broken.splitlines() == [
        "  seqrec recommend \\",
        "    --model 'runs/a model of ours' \\",
        "    --history 'i1,\"a, b\",i3'",
    ]
    assert broken.replace("\\\n", "").split() == whole.split()
    assert split_ids('i1,"a, b",i3') == history


@pytest.mark.parametrize(("width", "number"), [(None, 1), (80, 1), (40, 3)])
def test_where_the_model_is(width, number):
    lines = saved_line("runs/ml-100k", width).splitlines()
    assert len(lines) == number
    assert lines[0].startswith("Saved to runs/ml-100k:")


def test_the_next_command_of_a_model_that_reads_times_gives_those_of_its_items():
    times = to_datetimes(np.array([1717113600, 1717156800, 1717156800.5, 1717156801]))
    history = ["1", "2", "\x1b[31m", "4"]
    wanted = "  seqrec recommend --model m --history 1,2,4 --timestamps "
    wanted += "2024-05-31T00:00:00,2024-05-31T12:00:00,2024-05-31T12:00:01"
    assert next_command("m", history, timestamps=times) == wanted
    assert next_command("m", history, timestamps=times, at=times[-1]) == f"{wanted} --at now"

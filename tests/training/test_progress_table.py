"""The table that training prints: what its cells hold, and that no line is wider than the terminal."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqrec.training.progress_table import ProgressTable, format_number, format_time, metric_names

METRICS = ("ndcg@10", "hr@10", "mrr@10")
WIDE = ProgressTable.fitting(80, "epoch", has_loss=True, metrics=METRICS, best="ndcg@10")


def written(table, values=0.1234, **others):
    found = dict.fromkeys(METRICS, values)
    return table.line(3, loss=4.5, metrics=found, best="ndcg@10", seconds=75, seconds_left=3725, **others)


def test_a_line_at_80_columns():
    assert WIDE.header() == "epoch    loss  ndcg@10   hr@10  mrr@10     time     left"
    assert written(WIDE) == "    3  4.5000   0.1234* 0.1234  0.1234     1:15  1:02:05"


def test_a_line_at_40_columns_leaves_out_other_metrics():
    table = ProgressTable.fitting(40, "epoch", has_loss=True, metrics=METRICS, best="ndcg@10")
    assert table.header() == "epoch    loss  ndcg@10     time     left"
    assert written(table) == "    3  4.5000   0.1234*    1:15  1:02:05"


@pytest.mark.parametrize(
    ("width", "header"),
    [
        (31, "epoch    loss  mrr@10     left"),
        (22, "epoch    loss  mrr@10"),
        (21, "epoch  mrr@10"),
        (1, "epoch  mrr@10"),
    ],
)
def test_the_metric_that_selects_the_best_checkpoint_is_always_shown(width, header):
    assert ProgressTable.fitting(width, "epoch", has_loss=True, metrics=METRICS, best="mrr@10").header() == header


def test_further_metrics_are_shown_as_far_as_they_fit():
    many = [f"{name}_ndcg@10" for name in ("new", "old", "seldom", "often")]
    table = ProgressTable.fitting(80, "step", has_loss=True, metrics=many, best="old_ndcg@10")
    assert table.header() == "   step    loss  new_ndcg@10  old_ndcg@10  seldom_ndcg@10     time     left"
    assert table.line(1500, best="old_ndcg@10", metrics={"old_ndcg@10": 0.5}) == (
        "   1500       -            -       0.5000*              -        -        -"
    )


def test_without_evaluation_or_losses():
    assert ProgressTable.fitting(80, "epoch", has_loss=True, metrics=(), best=None).header() == (
        "epoch    loss     time     left"
    )
    assert ProgressTable.fitting(80, "step", has_loss=False, metrics=("x",), best=None).line(7, metrics={"x": 1}) == (
        "      7       1        -        -"
    )


def test_names_command_no_terminal_and_have_a_limit():
    name = "\x1b[2J" + "x" * 60
    header = ProgressTable.fitting(80, "epoch", has_loss=True, metrics=[name], best=name).header()
    assert header.isprintable()
    assert r"\x1b[2Jxxxxxxxxxxxxxxx.." in header
    assert len(header) <= 80


sizes = st.floats(1e-90, 1e90)  # others have exponents of three digits
numbers = st.one_of(sizes, sizes.map(float.__neg__), st.integers(-(10**12), 10**12), st.just(0.0), st.just(math.nan))


@given(
    st.integers(13, 80),
    st.sampled_from(["epoch", "step"]),
    st.dictionaries(st.sampled_from([*METRICS, "map@5", "validation_of_new_users_ndcg@10"]), numbers, min_size=1),
    st.floats(0, 1e8),
    st.booleans(),
)
def test_no_line_is_wider_than_the_table_and_cells_end_where_titles_do(width, place, metrics, seconds, is_best):
    best = next(iter(metrics)) if is_best else None
    table = ProgressTable.fitting(width, place, has_loss=True, metrics=tuple(metrics), best=best)
    line = table.line(12345, loss=12.3, metrics=metrics, best=best, seconds=seconds, seconds_left=seconds)
    assert max(len(line), len(table.header())) <= table.width
    assert table.width <= width or (not table.has_loss and not table.times and table.metrics in ((), (best,)))
    ends = [found.end() for found in re.finditer(r"\S+", table.header())]
    assert all(line[end - 1] != " " and line[end : end + 2] in ("  ", "* ", "*", "") for end in ends)


@given(numbers)
def test_numbers_have_at_most_6_characters_and_keep_their_size(value):
    text = format_number(value)
    assert len(text) <= 6
    assert math.isnan(value) if text == "nan" else math.isclose(float(text), value, rel_tol=0.5, abs_tol=5e-4)


@given(st.floats(0, 1e8))
def test_times_have_at_most_7_characters(seconds):
    assert len(format_time(seconds)) <= 7


def test_only_numbers_of_an_evaluation_become_columns():
    found = {"eval_ndcg@10": 0.5, "eval_note": "text", "eval_users": 7, "epoch": 1.0, "loss": 0.1}
    assert metric_names(found) == ["ndcg@10", "users"]

"""The table that training prints: a line for each evaluation, none wider than the terminal.

Everything here is a pure function; `TrainingProgress` prints the lines.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

from seqrec.evaluation.tables import display_width, printable, shorten

__all__ = ["ProgressTable", "format_number", "format_time", "metric_names"]

PLACE_WIDTHS = {"epoch": 5, "step": 7}
NUMBER_WIDTH, TIME_WIDTH = 6, 7  # columns of a cell, at least
LONGEST_NAME = 24  # columns of a metric's name in the header
GAP = "  "
BEST = "*"  # stands in the gap after the best value so far


@dataclass(frozen=True)
class ProgressTable:
    """The columns of a table.

    Attributes:
        place: "epoch" or "step", the first column.
        has_loss: Whether the training loss is shown.
        metrics: The metrics shown, without "eval_".
        times: Of "time", passed since training began, and "left", estimated, those that are shown.
    """

    place: str
    has_loss: bool = False
    metrics: tuple[str, ...] = ()
    times: tuple[str, ...] = ()

    @classmethod
    def fitting(
        cls, width: int, place: str, *, has_loss: bool, metrics: Sequence[str], best: str | None
    ) -> "ProgressTable":
        """Choose the columns for a terminal.

        The place and the metric that selects the best checkpoint are always shown; the loss, the times and the other
        metrics follow in this order where they fit.

        Args:
            width: Columns of the terminal.
            place: "epoch" or "step".
            has_loss: Whether losses are logged.
            metrics: The metrics that are computed, without "eval_".
            best: The one that selects the best checkpoint, if any does.
        """
        table = cls(place, metrics=tuple(name for name in metrics if name == best))
        for addition in ({"has_loss": has_loss}, {"times": ("left",)}, {"times": ("time", "left")}):
            wider = replace(table, **addition)
            table = wider if wider.width <= width else table
        for name in metrics:
            wider = replace(table, metrics=tuple(one for one in metrics if one in {*table.metrics, name}))
            table = wider if wider.width <= width else table
        return table

    @property
    def columns(self) -> list[tuple[str, int]]:
        """The title and width of each column."""
        columns = [(self.place, PLACE_WIDTHS[self.place])]
        columns += [("loss", NUMBER_WIDTH)] * self.has_loss
        columns += [(shorten(printable(name), LONGEST_NAME, ellipsis=".."), NUMBER_WIDTH) for name in self.metrics]
        columns += [(name, TIME_WIDTH) for name in self.times]
        return [(title, max(width, display_width(title))) for title, width in columns]

    @property
    def width(self) -> int:
        """The columns of the widest possible line."""
        widths = [width for _, width in self.columns]
        return sum(widths) + len(GAP) * (len(widths) - 1) + (len(BEST) if self.metrics and not self.times else 0)

    def header(self) -> str:
        """Return the titles of the columns."""
        return GAP.join(" " * (width - display_width(title)) + title for title, width in self.columns)

    def line(
        self,
        place: float,
        *,
        loss: float | None = None,
        metrics: Mapping[str, Any] | None = None,
        best: str | None = None,
        seconds: float | None = None,
        seconds_left: float | None = None,
    ) -> str:
        """Return a line.

        Args:
            place: The epoch or step.
            loss: Mean training loss since the line before; None if none was logged.
            metrics: The metrics by name, without "eval_".
            best: The metric to mark because it is better than ever before.
            seconds: Time since training began.
            seconds_left: Estimated time until it ends.
        """
        values = metrics or {}
        times = {"time": format_time(seconds), "left": format_time(seconds_left)}
        cells = [f"{place}"]
        cells += [format_number(loss)] * self.has_loss
        cells += [format_number(values.get(name)) + BEST * (name == best) for name in self.metrics]
        cells += [times[name] for name in self.times]
        line = ""
        for cell, (_, width) in zip(cells, self.columns, strict=True):
            line += cell.rjust(width + len(BEST) * cell.endswith(BEST)).ljust(width + len(GAP))
        return line.rstrip()


def metric_names(metrics: Mapping[str, Any]) -> list[str]:
    """List an evaluation's metrics that are numbers, without "eval_"."""
    return [
        name.removeprefix("eval_")
        for name, value in metrics.items()
        if name.startswith("eval_") and isinstance(value, Real)
    ]


def format_number(value: float | None) -> str:
    """Format a number, of less than 1e100, in at most 6 characters; "-" for None.

    >>> [format_number(value) for value in (0.12345, 12.3456, -1234567.0, 0.00001, 42, None)]
    ['0.1235', '12.346', '-1e+06', '1e-05', '42', '-']
    """
    if value is None:
        return "-"
    if isinstance(value, int) or not math.isfinite(value):
        texts = [str(value)]
    elif value == 0 or abs(value) >= 1e-4:
        texts = [f"{value:.{digits}f}" for digits in (4, 3, 2, 1, 0)]
    else:
        texts = []
    texts += [f"{float(value):.{digits}g}" for digits in range(NUMBER_WIDTH, 0, -1)]
    return next((text for text in texts if len(text) <= NUMBER_WIDTH), texts[-1])


def format_time(seconds: float | None) -> str:
    """Format a duration in at most 7 characters; "-" for None.

    >>> [format_time(seconds) for seconds in (9.7, 125, 7322, 40_000, 400_000, None)]
    ['0:10', '2:05', '2:02:02', '11h 06m', '4d 15h', '-']
    """
    if seconds is None:
        return "-"
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days}d {hour:02}h" if days < 100 else f"{days}d"
    if hours >= 10:
        return f"{hours}h {minute:02}m"
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
